//! Weights to int8: symmetric, one scale per output channel.

use crate::calibrate::Range;

/// Largest absolute weight; -128 is never used.
const LIMIT: f64 = 127.0;
/// A bias stays below this many units of the accumulator.
const MAX_BIAS: f64 = (1u64 << 28) as f64;
/// No channel's scale is smaller than this share of the layer's largest, so that all multipliers
/// of a layer share one exponent; weights that small move the output by less than rounding does.
const SMALLEST_SHARE: f64 = 1.0 / (1u64 << 14) as f64;

/// Of an output's step: what rounding a channel's weights may move it by, in the root mean square, before
/// the layer rather gets a coarser output.
const HARMLESS_STEPS: f64 = 0.25;

/// A layer's weights, rows of one output channel each, and their scales.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuantizedWeights {
    pub values: Vec<i8>,
    /// Real value of one step, per output channel.
    pub scales: Vec<f64>,
    /// Real bias, per output channel.
    pub bias: Vec<f64>,
}

impl QuantizedWeights {
    /// Quantizes `weights`, which are finite, in rows of one per element of `bias`.
    pub fn new(weights: &[f32], bias: &[f32], input: Range) -> Self {
        Self::with_scales(weights, bias, natural_scales(weights, bias, input))
    }

    /// As [`QuantizedWeights::new`], at these scales.
    pub fn with_scales(weights: &[f32], bias: &[f32], scales: Vec<f64>) -> Self {
        let mut values = Vec::with_capacity(weights.len());
        for (row, &scale) in rows(weights, bias.len()).zip(&scales) {
            values::weights::round(row, scale, LIMIT, &mut values);
        }
        Self { values, scales, bias: bias.iter().map(|&b| f64::from(b)).collect() }
    }

    /// Twice the scale for each of `channels`, where even that rounds its weights to less than what
    /// moves an output by a part of a step; `None` where one of them would lose more.
    pub fn coarser(&self, channels: &[usize], input: Range, output: Range) -> Option<Vec<f64>> {
        let row = self.values.len() / self.scales.len().max(1);
        // Rounding errors of `row` weights, each at most half a scale, times inputs of half the grid.
        let error = |scale: f64| {
            scale * f64::from(input.scale) * 128.0 * (row as f64 / 12.0).sqrt()
                / f64::from(output.scale)
        };
        let mut scales = self.scales.clone();
        for &channel in channels {
            scales[channel] *= 2.0;
            if error(scales[channel]) > HARMLESS_STEPS {
                return None;
            }
        }
        (!channels.is_empty()).then_some(scales)
    }

    /// Rows of one output channel each.
    pub fn rows(&self) -> impl Iterator<Item = &[i8]> {
        self.values.chunks_exact((self.values.len() / self.scales.len().max(1)).max(1))
    }

    /// Output steps per unit of the accumulator, per channel.
    pub fn factors(&self, input: Range, output: Range) -> Vec<f64> {
        let ratio = f64::from(input.scale) / f64::from(output.scale);
        self.scales.iter().map(|s| s * ratio).collect()
    }
}

/// Rows of one output channel each.
fn rows(weights: &[f32], channels: usize) -> impl Iterator<Item = &[f32]> {
    weights.chunks_exact((weights.len() / channels.max(1)).max(1))
}

/// The finest scales that the format has room for.
fn natural_scales(weights: &[f32], bias: &[f32], input: Range) -> Vec<f64> {
    let natural: Vec<f64> = rows(weights, bias.len()).map(natural_scale).collect();
    let largest = natural.iter().copied().fold(0.0, f64::max);
    // A layer of zeros: any scale will do that gives the biases room.
    let largest_bias = bias.iter().map(|b| f64::from(b.abs())).fold(0.0, f64::max);
    let any = (largest_bias / f64::from(input.scale) / f64::from(1 << 20)).max(1e-30);
    let floor = if largest > 0.0 { largest * SMALLEST_SHARE } else { any };
    let finest = |(&scale, &b): (&f64, &f32)| {
        let for_bias = f64::from(b.abs()) / (MAX_BIAS * f64::from(input.scale));
        scale.max(floor).max(for_bias)
    };
    natural.iter().zip(bias).map(finest).collect()
}

/// The scale that maps the largest weight to 127; 0 for a row of zeros.
fn natural_scale(row: &[f32]) -> f64 {
    values::weights::largest(row) / LIMIT
}
