//! How far values are from those that they stand for.

/// Where an error of zero would make it infinite.
const MAX_SQNR_DB: f64 = 200.0;

/// Sums of squares and products.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    float: f64,
    int8: f64,
    product: f64,
    error: f64,
}

impl Sums {
    /// Sums of `float` values and of the bytes of int8 values on a grid.
    #[must_use]
    pub fn of_int8(float: &[f32], int8: &[u8], scale: f32, zero_point: i8) -> Self {
        let zero = f64::from(zero_point);
        Self::over(float, int8.iter().map(|&byte| f64::from(byte.cast_signed()) - zero), scale)
    }

    /// Sums of `float` values and of the bytes of little-endian i32 values in steps of `scale`.
    #[must_use]
    pub fn of_i32(float: &[f32], words: &[u8], scale: f32) -> Self {
        let words = words.as_chunks::<4>().0.iter();
        Self::over(float, words.map(|&word| f64::from(i32::from_le_bytes(word))), scale)
    }

    /// Sums of values as they are.
    #[must_use]
    pub fn of_f64(float: &[f64], int8: &[f64]) -> Self {
        let mut sums = Self::default();
        for (&float, &int8) in float.iter().zip(int8) {
            sums.float += float * float;
            sums.int8 += int8 * int8;
            sums.product += float * int8;
            sums.error += (float - int8) * (float - int8);
        }
        sums
    }

    fn over(float: &[f32], steps: impl Iterator<Item = f64>, scale: f32) -> Self {
        let (mut sums, scale) = (Self::default(), f64::from(scale));
        for (&float, steps) in float.iter().zip(steps) {
            let (float, int8) = (f64::from(float), steps * scale);
            sums.float += float * float;
            sums.int8 += int8 * int8;
            sums.product += float * int8;
            sums.error += (float - int8) * (float - int8);
        }
        sums
    }

    pub fn add(&mut self, other: &Self) {
        self.float += other.float;
        self.int8 += other.int8;
        self.product += other.product;
        self.error += other.error;
    }

    /// `10 log10(sum f^2 / sum (f - q)^2)`, within 200 dB of 0.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        if self.error == 0.0 {
            return MAX_SQNR_DB;
        }
        (10.0 * (self.float / self.error).log10()).clamp(-MAX_SQNR_DB, MAX_SQNR_DB)
    }

    /// Cosine of the angle between the two; 1 where one of them is zero.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        let norm = (self.float * self.int8).sqrt();
        if norm == 0.0 { 1.0 } else { self.product / norm }
    }
}

/// The largest absolute value.
#[must_use]
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// The largest absolute difference; not a number where one is.
#[must_use]
pub fn largest_difference(expected: &[f32], found: &[f32]) -> f32 {
    let far = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (a - b).abs() };
    let more = |most: f32, d: f32| if d > most || d.is_nan() { d } else { most };
    expected.iter().zip(found).map(far).fold(0.0, more)
}
