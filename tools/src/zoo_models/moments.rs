//! Estimated mean and variance of each channel, carried through the network instead of running it.
//!
//! Elements are taken as independent and normally distributed. The estimates serve as batch-norm statistics: they need the right
//! size, not the right digits.

/// Mean and variance of each channel of a value.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

impl Moments {
    /// A preprocessed image: mean 0 and variance 1.
    pub fn image(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], variance: vec![1.0; channels] }
    }

    /// Behind weights `[out][in][taps]`.
    pub fn weighted(&self, weight: &[f32], outputs: usize) -> Self {
        let taps = weight.len() / (outputs * self.mean.len());
        let row_len = taps * self.mean.len();
        let sum = |row: &[f32], term: &dyn Fn(f64, usize) -> f64| -> f64 {
            row.iter().enumerate().map(|(i, &w)| term(f64::from(w), i / taps)).sum()
        };
        let rows = || weight.chunks_exact(row_len);
        Self {
            mean: rows().map(|row| sum(row, &|w, c| w * self.mean[c])).collect(),
            variance: rows().map(|row| sum(row, &|w, c| w * w * self.variance[c])).collect(),
        }
    }

    pub fn relu(&self) -> Self {
        let channel = |(&mean, &variance): (&f64, &f64)| rectified(mean, variance);
        let (mean, variance) = self.mean.iter().zip(&self.variance).map(channel).unzip();
        Self { mean, variance }
    }

    pub fn add(&self, other: &Self) -> Self {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        Self { mean: sum(&self.mean, &other.mean), variance: sum(&self.variance, &other.variance) }
    }

    /// The maximum of a 3x3 window lies about one deviation higher and varies less.
    pub fn max_pool(&self) -> Self {
        let raised = |(mean, variance): (&f64, &f64)| mean + variance.sqrt();
        Self {
            mean: self.mean.iter().zip(&self.variance).map(raised).collect(),
            variance: self.variance.iter().map(|v| v * 0.6).collect(),
        }
    }

    /// Zero channels before and after.
    pub fn with_zeros(&self, before: usize, after: usize) -> Self {
        let pad = |values: &[f64]| [&vec![0.0; before], values, &vec![0.0; after]].concat();
        Self { mean: pad(&self.mean), variance: pad(&self.variance) }
    }
}

/// Mean and variance of `max(z, 0)` for normal `z`: within one deviation of zero by polynomials for
/// the normal distribution function and its density, beyond it by how fast the other side fades.
fn rectified(mean: f64, variance: f64) -> (f64, f64) {
    let deviation = variance.sqrt();
    if deviation == 0.0 {
        return (mean.max(0.0), 0.0);
    }
    let t = mean / deviation;
    let fade = 1.0 / (t * t * t * t).max(1.0);
    if t > 1.0 {
        return (mean + 0.083 * deviation * fade, variance * (1.0 - 0.25 * fade));
    }
    if t < -1.0 {
        return (0.083 * deviation * fade, 0.068 * variance * fade);
    }
    let above = 0.5 + t * (0.4 - 0.058 * t * t);
    let density = 0.4 - t * t * (0.2 - 0.042 * t * t);
    let first = mean * above + deviation * density;
    let second = (mean * mean + variance) * above + mean * deviation * density;
    (first, second - first * first)
}
