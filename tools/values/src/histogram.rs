//! A streaming histogram whose memory does not grow with the number of values.
//!
//! What may not be broken: the counts do not depend on the order of the values or on how they were
//! split over threads. Bins have a power-of-two width and start at multiples of it, so widening
//! merges whole bins, exactly.

/// Bins on each side of zero.
const HALF: usize = 2048;

/// Counts of values in bins of equal width around zero, with the exact extremes.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    /// Each bin is `2^exponent` wide.
    exponent: i32,
    pub min: f32,
    pub max: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; 2 * HALF],
            exponent: -40,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Histogram {
    /// Adds finite values.
    pub fn extend(&mut self, values: &[f32]) {
        let (mut min, mut max) = (self.min, self.max);
        for &value in values {
            min = min.min(value);
            max = max.max(value);
        }
        (self.min, self.max) = (min, max);
        self.widen_to(max.max(-min));
        let scale = (-f64::from(self.exponent)).exp2() as f32;
        for &value in values {
            let bin = floor(value * scale) + HALF as i32;
            self.counts[bin.clamp(0, 2 * HALF as i32 - 1) as usize] += 1;
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        other.widen(exponent);
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// Number of values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Middle of each occupied bin and its count.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let width = f64::from(self.exponent).exp2();
        let occupied = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        occupied.map(move |(bin, &count)| ((bin as f64 - HALF as f64 + 0.5) * width, count))
    }

    /// Width of a bin.
    #[must_use]
    pub fn bin_width(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    fn widen_to(&mut self, magnitude: f32) {
        let mut exponent = self.exponent;
        while f64::from(magnitude) >= HALF as f64 * f64::from(exponent).exp2() {
            exponent += 1;
        }
        self.widen(exponent);
    }

    /// Merges pairs of bins until they are `2^exponent` wide.
    fn widen(&mut self, exponent: i32) {
        if self.exponent >= exponent {
            return;
        }
        if self.is_empty_counts() {
            self.exponent = exponent;
        }
        while self.exponent < exponent {
            let mut merged = vec![0; 2 * HALF];
            for (bin, &count) in self.counts.iter().enumerate() {
                let centred = bin as i64 - HALF as i64;
                merged[(centred.div_euclid(2) + HALF as i64) as usize] += count;
            }
            self.counts = merged;
            self.exponent += 1;
        }
    }

    fn is_empty_counts(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }
}

/// Expected squared error of quantizing what is in `bins` ([`Histogram::bins`]) to a grid of this step from
/// `low` to `high`: rounding within, clipping outside.
#[must_use]
pub fn squared_error(bins: &[(f64, u64)], (low, high): (f64, f64), step: f64) -> f64 {
    let rounding = step * step / 12.0;
    bins.iter()
        .map(|&(value, count)| {
            let beyond = (value - high).max(low - value).max(0.0);
            (rounding + beyond * beyond) * count as f64
        })
        .sum()
}

/// The largest whole number that is not above `value`, without a call of the C library.
fn floor(value: f32) -> i32 {
    let whole = value as i32;
    whole - i32::from(value < whole as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_and_split_do_not_matter(
            mut values in prop::collection::vec(-1e4f32..1e4, 1..200), at in 0usize..200,
        ) {
            let mut whole = Histogram::default();
            whole.extend(&values);
            values.reverse();
            let (a, b) = values.split_at(at.min(values.len()));
            let (mut one, mut two) = (Histogram::default(), Histogram::default());
            for value in a {
                one.extend(&[*value]);
            }
            two.extend(b);
            two.merge(&one);
            prop_assert_eq!(&whole, &two);
            prop_assert_eq!(whole.total(), values.len() as u64);
        }
    }
}
