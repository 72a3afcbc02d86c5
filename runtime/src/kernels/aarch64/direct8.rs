//! Direct convolution in 8 bits: windows of output pixels, copied into the scratch some at a time, times
//! blocks of output channels, accumulated in registers and requantized there.
//!
//! Windows are filled up with zeros to whole steps, and so are weights, whose order within a block is the
//! instruction set's. Windows may be in pairs, woven into each other as the instruction set reads them.
//! Weights in OHWI are brought into their order in the scratch, a block at a time, and meet all windows that
//! are there; so windows are as many as [`MAX_PATCH_BYTES`] take.

use crate::format::{WeightLayout, align_up};
use crate::kernels::ConvShape;
pub(crate) use crate::kernels::winograd4::BLOCK;

/// Windows of a group, where an instruction set has them in pairs.
pub(crate) const PAIR: usize = 2;
/// Elements of a window that are multiplied at a time.
pub(crate) const STEP: usize = 16;
/// Most bytes of windows, which stay in the second-level cache; but always a tile of them.
const MAX_PATCH_BYTES: usize = 256 << 10;
/// Output pixels of the largest tile of any instruction set, in whole groups.
const MAX_TILE: usize = 6;
/// Fewest output pixels that pay for bringing weights into order.
const LEAST_PIXELS: usize = 4;

/// Length of a window in whole steps, which is the number of bytes that an output channel's weights take.
pub(crate) const fn padded_len(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(STEP - 1) / STEP * STEP
}

/// Whether blocks of output channels make up this convolution.
pub(crate) const fn computes(shape: &ConvShape) -> bool {
    shape.groups == 1 && shape.output[2] > 0 && shape.output[2].is_multiple_of(BLOCK)
}

/// Whether there are pixels enough for bringing weights into order.
pub(super) const fn is_profitable(shape: &ConvShape) -> bool {
    shape.output[0].saturating_mul(shape.output[1]) >= LEAST_PIXELS
}

/// Windows that are there at a time, in whole groups: a group is one window, or a pair.
fn patches(shape: &ConvShape, group: usize) -> usize {
    let most = (MAX_PATCH_BYTES / padded_len(shape).max(1)).max(MAX_TILE);
    let pixels = shape.output[0].saturating_mul(shape.output[1]);
    most.min(pixels).div_ceil(group.max(1)) * group
}

pub(super) fn patch_bytes(shape: &ConvShape, group: usize) -> usize {
    patches(shape, group).saturating_mul(padded_len(shape))
}

/// A pair of windows that are yet to be woven into each other.
pub(super) const fn pair_bytes(shape: &ConvShape, group: usize) -> usize {
    if group > 1 { padded_len(shape).saturating_mul(group) } else { 0 }
}

/// Windows, in groups of `GROUP`, and a block of weights that are brought into order.
pub(super) fn scratch_bytes<const GROUP: usize>(shape: &ConvShape, layout: WeightLayout) -> usize {
    let block = match layout {
        WeightLayout::Ohwi => padded_len(shape).saturating_mul(BLOCK),
        _ => 0,
    };
    let windows = align_up(patch_bytes(shape, GROUP)).saturating_add(pair_bytes(shape, GROUP));
    windows.saturating_add(block)
}
