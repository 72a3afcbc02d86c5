//! A channel's weights, and what rounding them to int8 does.

/// The largest absolute weight.
#[must_use]
pub fn largest(weights: &[f32]) -> f64 {
    weights.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max)
}

/// Appends the nearest multiples of `scale`, from `-limit` to `limit`.
pub fn round(weights: &[f32], scale: f64, limit: f64, to: &mut Vec<i8>) {
    let round = |&weight: &f32| (f64::from(weight) / scale).round().clamp(-limit, limit) as i8;
    to.extend(weights.iter().map(round));
}

/// Sums over a channel's weights, for inputs from `least` to `greatest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Of the products: the least and the greatest that any inputs give.
    pub low: i64,
    pub high: i64,
    /// Of the weights.
    pub sum: i64,
}

impl Reach {
    #[must_use]
    pub fn of(weights: &[i8], (least, greatest): (i64, i64)) -> Self {
        let (mut low, mut high, mut sum) = (0, 0, 0);
        for &weight in weights {
            let weight = i64::from(weight);
            let (at_least, at_greatest) = (weight * least, weight * greatest);
            low += at_least.min(at_greatest);
            high += at_least.max(at_greatest);
            sum += weight;
        }
        Self { low, high, sum }
    }
}

/// What rounding takes from a channel's sum at mean inputs: `sum (w - w') * E[x]`, where `rounded` counts in
/// `scale` and the weights' input channels, whose means are given, vary fastest.
#[must_use]
pub fn lost(weights: &[f32], rounded: &[i8], scale: f64, means: &[f64]) -> f64 {
    let means = means.iter().cycle();
    let lost = weights.iter().zip(rounded).zip(means);
    lost.map(|((&exact, &rounded), mean)| (f64::from(exact) - f64::from(rounded) * scale) * mean)
        .sum()
}
