//! How grouped convolutions divide their work: as [`super::direct8`], a block of sixteen output channels at a time,
//! each from the input channels of its groups alone. Where a block has more than one group, weights of one group are 0
//! at the channels of the others.

use super::direct8::{BLOCK, PAIR, STEP};
use crate::format::{WeightLayout, align_up};
use crate::kernels::ConvShape;

/// Windows that are there at a time: a few tiles, in pairs.
const MOST_PATCHES: usize = 48;

/// Whether groups make up this convolution.
pub(super) const fn computes(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.output[2] > 0
}

/// The windows of a block; lengths in elements.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "the code reads all of it, other machines plan its scratch")]
pub(super) struct Plan {
    /// Input channels that a block sees, at most.
    pub channels: usize,
    /// A window in whole steps.
    pub padded: usize,
    /// Windows that are there at a time.
    pub patches: usize,
}

impl Plan {
    pub fn new(shape: &ConvShape) -> Self {
        let (inputs, outputs) = (shape.group_channels(), shape.output[2] / shape.groups.max(1));
        // Blocks begin and end with groups, or anywhere in them.
        let whole = outputs.is_multiple_of(BLOCK) || BLOCK.is_multiple_of(outputs.max(1));
        let groups = BLOCK.div_ceil(outputs.max(1)) + if whole { 0 } else { 1 };
        let channels = inputs.saturating_mul(groups.min(shape.groups));
        let taps = shape.kernel[0].saturating_mul(shape.kernel[1]);
        let padded = taps.saturating_mul(channels).saturating_add(STEP - 1) / STEP * STEP;
        let pixels = shape.output[0].saturating_mul(shape.output[1]);
        Self { channels, padded, patches: MOST_PATCHES.min(pixels).next_multiple_of(PAIR) }
    }

    /// Bytes of windows, of a pair of them, of a block of weights as rows, and of these in order.
    pub const fn bytes(&self) -> [usize; 4] {
        let block = align_up(self.padded.saturating_mul(BLOCK));
        let pair = align_up(self.padded.saturating_mul(PAIR));
        [align_up(self.padded.saturating_mul(self.patches)), pair, block, block]
    }
}

pub(super) fn scratch_bytes(shape: &ConvShape, _: WeightLayout) -> usize {
    Plan::new(shape).bytes().into_iter().fold(0, usize::saturating_add)
}
