//! What is kept of the values of one tensor.

use crate::Histogram;

/// What was seen of one tensor.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    pub histogram: Histogram,
    /// Sum over images and positions, per channel.
    sums: Vec<f64>,
    positions: u64,
}

impl Statistics {
    /// Adds one image's finite values, NCHW with batch 1.
    pub fn extend(&mut self, values: &[f32], channels: usize) {
        self.histogram.extend(values);
        self.sums.resize(channels, 0.0);
        let plane = values.len() / channels.max(1);
        for (sum, plane) in self.sums.iter_mut().zip(values.chunks_exact(plane.max(1))) {
            *sum += plane.iter().copied().map(f64::from).sum::<f64>();
        }
        self.positions += plane as u64;
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.sums.resize(other.sums.len().max(self.sums.len()), 0.0);
        for (to, from) in self.sums.iter_mut().zip(&other.sums) {
            *to += from;
        }
        self.positions += other.positions;
    }

    /// Mean of each channel.
    #[must_use]
    pub fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|s| s / self.positions.max(1) as f64).collect()
    }
}

/// Whether no value is infinite or not a number.
#[must_use]
pub fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
