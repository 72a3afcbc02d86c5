//! From a histogram to the real range that int8 covers.

use values::Histogram;

/// How the range is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[non_exhaustive]
pub enum Method {
    /// The range with the least mean squared error of clipping and rounding together.
    #[default]
    Mse,
    /// The extremes that were seen.
    MinMax,
    /// All but 0.01 % of the values on each side.
    Percentile,
}

/// A real range that contains 0, and the int8 grid on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub scale: f32,
    pub zero_point: i8,
    /// The greatest value; the least is -128.
    pub highest: i8,
}

/// How many values a tensor may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Bits {
    /// 128 values, where 16-bit sums of products gain from it: faster on AVX2, packed.
    #[value(name = "7")]
    Seven,
    /// 256 values.
    #[default]
    #[value(name = "8")]
    Eight,
}

impl Bits {
    /// The greatest value, from -128 on.
    const fn highest(self) -> i8 {
        match self {
            Self::Seven => -1,
            Self::Eight => 127,
        }
    }
}

/// Share of the values that [`Method::Percentile`] cuts off on each side.
const TAIL: f64 = 1e-4;
/// Candidates of [`Method::Mse`].
const CANDIDATES: u32 = 120;

impl Range {
    /// The grid of 255 steps, or 127, from `low` to `high`, both widened to contain 0, which becomes a
    /// grid point exactly.
    #[must_use]
    pub fn new(low: f64, high: f64, bits: Bits) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        // A tensor that is always zero still needs a scale.
        let span = (high - low).max(f64::from(f32::MIN_POSITIVE) * 1e6);
        let highest = bits.highest();
        let scale = (span / (f64::from(highest) + 128.0)) as f32;
        let zero_point = (-128.0 - low / f64::from(scale)).round();
        let zero_point = zero_point.clamp(-128.0, highest.into()) as i8;
        Self { scale, zero_point, highest }
    }

    /// The range for what was observed.
    #[must_use]
    pub fn choose(histogram: &Histogram, method: Method, bits: Bits) -> Self {
        if histogram.is_empty() {
            return Self::new(0.0, 0.0, bits);
        }
        let (min, max) = (f64::from(histogram.min), f64::from(histogram.max));
        match method {
            Method::MinMax => Self::new(min, max, bits),
            Method::Percentile => {
                let (low, high) = tails(histogram);
                Self::new(low.max(min), high.min(max), bits)
            }
            Method::Mse => least_squares(histogram, min, max, bits),
        }
    }

    /// Real value of an int8.
    #[must_use]
    pub fn dequantize(&self, value: i8) -> f32 {
        f32::from(i16::from(value) - i16::from(self.zero_point)) * self.scale
    }

    /// The nearest int8.
    #[must_use]
    pub fn quantize(&self, real: f32) -> i8 {
        let value = (real / self.scale + f32::from(self.zero_point)).round_ties_even();
        value.clamp(-128.0, self.highest.into()) as i8
    }
}

fn tails(histogram: &Histogram) -> (f64, f64) {
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let cut = (histogram.total() as f64 * TAIL) as u64;
    let half = histogram.bin_width() / 2.0;
    let low = edge(bins.iter(), cut).unwrap_or(0.0);
    let high = edge(bins.iter().rev(), cut).unwrap_or(0.0);
    (low - half, high + half)
}

/// The first bin by which more than `cut` values have been seen.
fn edge<'b>(mut bins: impl Iterator<Item = &'b (f64, u64)>, cut: u64) -> Option<f64> {
    let mut seen = 0;
    let found = bins.find(|(_, count)| {
        seen += count;
        seen > cut
    });
    found.map(|(centre, _)| *centre)
}

/// Shrinks the extremes together, then each by itself, keeping whatever has the least error.
fn least_squares(histogram: &Histogram, min: f64, max: f64, bits: Bits) -> Range {
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let shrink = |step: u32| 1.0 - f64::from(step) / f64::from(CANDIDATES) * 0.9;
    let mut best = (f64::INFINITY, min, max);
    let mut consider = |low: f64, high: f64| {
        let error = squared_error(&bins, Range::new(low, high, bits));
        if error < best.0 {
            best = (error, low, high);
        }
        best
    };
    for step in 0..CANDIDATES {
        consider(min * shrink(step), max * shrink(step));
    }
    let (_, low, _) = consider(min, max);
    for step in 0..CANDIDATES {
        consider(low, max * shrink(step));
    }
    let (_, _, high) = consider(min, max);
    for step in 0..CANDIDATES {
        consider(min * shrink(step), high);
    }
    let (_, low, high) = best;
    Range::new(low, high, bits)
}

/// Expected squared error of quantizing to `range`.
fn squared_error(bins: &[(f64, u64)], range: Range) -> f64 {
    let scale = f64::from(range.scale);
    let low = (-128.0 - f64::from(range.zero_point)) * scale;
    let high = (f64::from(range.highest) - f64::from(range.zero_point)) * scale;
    values::squared_error(bins, (low, high), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_grid_point() {
        for (low, high) in [(-1.0, 3.0), (0.0, 5.0), (-2.0, 0.0), (0.5, 1.0), (0.0, 0.0)] {
            for bits in [Bits::Seven, Bits::Eight] {
                let range = Range::new(low, high, bits);
                assert_eq!(range.quantize(0.0), range.zero_point);
                assert_eq!(range.dequantize(range.zero_point), 0.0);
                assert!(range.scale > 0.0);
            }
        }
    }

    #[test]
    fn seven_bits_are_128_values_of_twice_the_step() {
        let (seven, eight) = (Range::new(0.0, 2.0, Bits::Seven), Range::new(0.0, 2.0, Bits::Eight));
        assert_eq!((seven.quantize(0.0), seven.quantize(2.0), seven.quantize(9.0)), (-128, -1, -1));
        assert_eq!(
            (eight.quantize(0.0), eight.quantize(2.0), eight.quantize(9.0)),
            (-128, 127, 127)
        );
        assert!((seven.scale / eight.scale - 255.0 / 127.0).abs() < 1e-6);
    }

    #[test]
    fn an_outlier_is_clipped_by_least_squares_and_kept_by_min_max() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        histogram.extend(&values);
        histogram.extend(&[3.0]);
        let span = |method| Range::choose(&histogram, method, Bits::Eight).scale * 255.0;
        assert!(span(Method::Mse) < 1.5, "{}", span(Method::Mse));
        assert!((span(Method::MinMax) - 3.0).abs() < 0.01, "{}", span(Method::MinMax));
        assert!((span(Method::Percentile) - 1.0).abs() < 0.01, "{}", span(Method::Percentile));
    }
}
