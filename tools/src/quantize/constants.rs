//! Integer biases, the range of each accumulator, and bias correction.

use values::weights::Reach;

use super::weights::QuantizedWeights;
use crate::calibrate::Range;
use crate::lower::{Kind, Layer};

/// A channel's bias and the exact range of `accumulator + bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChannelRange {
    pub bias: i32,
    pub low: i64,
    pub high: i64,
}

/// Biases in units of the accumulator with the input's zero point folded in, and what the sums can
/// become for any input on its grid.
pub(super) fn accumulate_channels(weights: &QuantizedWeights, input: Range) -> Vec<ChannelRange> {
    let rows = weights.rows().zip(weights.scales.iter().zip(&weights.bias));
    rows.map(|(row, (scale, bias))| {
        let real = (bias / (scale * f64::from(input.scale))).round() as i64;
        channel(row, real, input)
    })
    .collect()
}

/// The average of `count` pixels is a row of ones.
pub(super) fn average_channel(count: usize, input: Range) -> ChannelRange {
    let (zero, highest) = (i64::from(input.zero_point), i64::from(input.highest));
    let count = count as i64;
    ChannelRange {
        bias: (-zero * count) as i32,
        low: count * (-128 - zero),
        high: count * (highest - zero),
    }
}

fn channel(row: &[i8], real_bias: i64, input: Range) -> ChannelRange {
    let (zero, highest) = (i64::from(input.zero_point), i64::from(input.highest));
    let Reach { low, high, sum } = Reach::of(row, (-128 - zero, highest - zero));
    // Wrapping is the definition: the accumulator of raw inputs plus this bias is the true sum.
    let bias = (real_bias - zero * sum) as i32;
    ChannelRange { bias, low: real_bias + low, high: real_bias + high }
}

/// Adds to each bias what the rounded weights lose on the mean input: `sum (w - w') * E[x]`
/// (Nagel et al., arXiv:1906.04721, section 4.2). Padding is not accounted for.
pub(super) fn bias_correction(
    layer: &Layer,
    weights: &[f32],
    means: &[f64],
    [height, width, channels]: [usize; 3],
    quantized: &mut QuantizedWeights,
) {
    let groups = match &layer.kind {
        Kind::Conv { geometry, .. } => geometry.groups,
        _ => 1,
    };
    if means.len() != channels {
        return;
    }
    let outputs = quantized.scales.len();
    let row = weights.len() / outputs.max(1);
    let group_in = channels / groups;
    debug_assert!(row.is_multiple_of(group_in) && height * width > 0);
    for oc in 0..outputs {
        let first = oc / (outputs / groups).max(1) * group_in;
        let row = oc * row..(oc + 1) * row;
        let (exact, rounded) = (&weights[row.clone()], &quantized.values[row]);
        let means = &means[first..first + group_in];
        let lost = values::weights::lost(exact, rounded, quantized.scales[oc], means);
        quantized.bias[oc] += lost;
    }
}
