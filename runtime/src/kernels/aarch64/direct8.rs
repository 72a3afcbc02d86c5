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

/// Length of a window in whole steps, which is the number of bytes that an output channel's weights take.
pub(crate) const fn padded_len(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(STEP - 1) / STEP * STEP
}

/// Whether it computes this convolution. The last block of output channels need not be whole.
pub(crate) const fn computes(shape: &ConvShape) -> bool {
    shape.groups == 1 && shape.output[2] > 0
}

/// Whether whole blocks of output channels make up this convolution, as packed weights ask for.
pub(super) const fn packs(shape: &ConvShape) -> bool {
    computes(shape) && is_whole(shape)
}

const fn is_whole(shape: &ConvShape) -> bool {
    shape.output[2].is_multiple_of(BLOCK)
}

/// Whether windows lie in the input as they are multiplied, where they are not in pairs: one pixel each, in whole
/// steps.
pub(super) fn in_place(shape: &ConvShape, group: usize) -> bool {
    let one = shape.kernel == [1, 1] && shape.strides == [1, 1] && shape.pads == [0; 4];
    let pixels = shape.output[1] == shape.input[1];
    group == 1 && one && pixels && shape.input[2].is_multiple_of(STEP)
}

/// Windows that are there at a time, in whole groups: a group is one window, or a pair.
fn patches(shape: &ConvShape, group: usize) -> usize {
    if in_place(shape, group) {
        return 0;
    }
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

/// Rows of the last block of weights, where it is not whole.
pub(super) const fn last_rows_bytes(shape: &ConvShape) -> usize {
    if is_whole(shape) { 0 } else { shape.patch_len().saturating_mul(BLOCK) }
}

/// Windows, in groups of `GROUP`, and a block of weights that are brought into order.
pub(super) fn scratch_bytes<const GROUP: usize>(shape: &ConvShape, layout: WeightLayout) -> usize {
    let block = match layout {
        WeightLayout::Ohwi => {
            padded_len(shape).saturating_mul(BLOCK).saturating_add(last_rows_bytes(shape))
        }
        _ => 0,
    };
    let windows = align_up(patch_bytes(shape, GROUP)).saturating_add(pair_bytes(shape, GROUP));
    windows.saturating_add(block)
}
