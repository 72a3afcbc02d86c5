//! What Winograd's kernels of Cortex-M3 and M4 are called with.

use super::winograd::Tiles;
use crate::kernels::cortex_m::winograd::{BLOCK, Form};

/// The arguments of two tiles, in the order of their frame.
#[repr(C)]
pub(super) struct WinogradCall {
    values: *const u32,
    weights: *const u8,
    bias: *const i32,
    multipliers: *const i32,
    output: *mut i8,
    output_end: *const i8,
    row_stride: usize,
    pixel_stride: usize,
    factor: u32,
    right: u32,
    shift: u32,
    offset: i32,
    fraction_bits: u32,
    residual_multiplier: i32,
    pair_bytes: usize,
    position_bytes: usize,
}

/// The inverse of 9 modulo 2^32.
const INVERSE_OF_9: u32 = 0x38E3_8E39;

impl WinogradCall {
    /// `None` if a slice is too short.
    #[inline(always)]
    pub fn new(tiles: Tiles<'_>, form: Form) -> Option<Self> {
        let Tiles { values, position_bytes, weights, epilogue, output, row_stride, channels } =
            tiles;
        let side = form.side;
        let positions = (side + 2) * (side + 2);
        let values_bytes = positions * position_bytes;
        // Of as many values for two output channels as there are for two tiles, in 16 bits.
        let pair_bytes = values_bytes / form.value_bytes * 2;
        let needed = row_stride * (side - 1) + channels * side * 2;
        let (bias, multipliers) = (epilogue.channels.bias, epilogue.channels.multipliers);
        let kept = values.len() * 4 >= values_bytes
            && position_bytes > 0
            && position_bytes.is_multiple_of(BLOCK * 2 * form.value_bytes)
            && channels > 0
            && channels.is_multiple_of(2)
            && weights.len() >= channels / 2 * pair_bytes
            && weights.as_ptr().addr().is_multiple_of(4)
            && bias.len() >= channels
            && multipliers.len() >= channels
            && output.len() >= needed;
        if !kept {
            return None;
        }
        let rq = epilogue.requantization;
        // (64 sum) << shift >> 6, by the factor as far as it goes to the left.
        let left = rq.shift.saturating_sub(6);
        let output = output.as_mut_ptr();
        Some(Self {
            values: values.as_ptr(),
            weights: weights.as_ptr(),
            bias: bias.as_ptr(),
            multipliers: multipliers.as_ptr(),
            output,
            output_end: output.wrapping_add(channels),
            row_stride,
            pixel_stride: channels,
            factor: INVERSE_OF_9 << left,
            right: 6 + left - rq.shift,
            shift: rq.shift,
            offset: rq.offset,
            fraction_bits: rq.fraction_bits,
            residual_multiplier: epilogue.residual_multiplier,
            pair_bytes,
            position_bytes,
        })
    }
}

/// Whether the slices have what an input transform reads and writes, aligned to words.
#[inline(always)]
pub(super) fn can_transform(
    form: Form,
    patch: &[i8],
    values: &[u32],
    position_bytes: usize,
) -> bool {
    let (rows, columns) = (form.side + 2, form.side * 2 + 2);
    let needed = (rows * rows - 1) * position_bytes + BLOCK * 2 * form.value_bytes;
    patch.len() >= rows * columns * BLOCK
        && patch.as_ptr().addr().is_multiple_of(4)
        && values.len() * 4 >= needed
        && position_bytes.is_multiple_of(4)
}
