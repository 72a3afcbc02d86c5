//! Generated tensors, for networks whose input is no image.

use crate::random::Random;

/// Tensor `index` of the series that `seed` starts: independent values with mean 0 and standard deviation 1,
/// bell-shaped (the sum of four uniform numbers), the same on every machine.
#[must_use]
pub fn noise(seed: u64, index: u64, length: usize) -> Vec<f32> {
    let mut random = Random::new(seed, index);
    (0..length).map(|_| random.bell() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_0_deviation_1_and_every_tensor_another() {
        let values = noise(0, 0, 100_000);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
        let power = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (power - 1.0).abs() < 0.02, "{mean} {power}");
        assert_eq!(noise(0, 0, 10), values[..10]);
        assert_ne!(noise(0, 1, 10), values[..10]);
        assert_ne!(noise(1, 0, 10), values[..10]);
    }
}
