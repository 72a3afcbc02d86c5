//! Average pools: sixteen channels of a pixel at a time.

use core::arch::aarch64::{
    vaddq_s32, vaddw_high_s16, vaddw_s16, vdupq_n_s32, vget_low_s8, vget_low_s16, vld1q_s8,
    vmovl_high_s8, vmovl_s8,
};
use core::ops::Range;

use super::Neon;
use super::requantize_block::Requantizer;
use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::winograd4::BLOCK;
use crate::kernels::{PoolShape, Residual};
use crate::numerics::{Channel, Requantization};

/// See [`crate::kernels::portable::reference::average_pool`].
pub fn average_pool_neon(
    token: Neon,
    shape: &PoolShape,
    channel: Channel,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let padding = shape.input_zero_point.into();
    average(token, shape, (input, output), padding, rq, |_| Some(channel)).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::average_pool_inside`].
pub fn average_pool_inside_neon(
    token: Neon,
    shape: &PoolShape,
    channels: Channels<'_>,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let constants = |inside: usize| channels.part(inside.checked_sub(1)?..inside)?.iter().next();
    average(token, shape, (input, output), 0, rq, constants).ok_or(Fault::Plan)
}

/// Average pooling: the constants of a window follow from its taps inside the map, and `padding` stands for each
/// tap outside.
#[inline(never)]
fn average(
    _token: Neon,
    shape: &PoolShape,
    (input, output): (&[i8], &mut [i8]),
    padding: i32,
    rq: &Requantization,
    constants: impl Fn(usize) -> Option<Channel>,
) -> Option<()> {
    let [_, width, channels] = shape.output;
    for pixel in 0..output.len() / channels.max(1) {
        let rows = inside(shape, 0, pixel / width.max(1));
        let columns = inside(shape, 1, pixel % width.max(1));
        let taps = rows.len() * columns.len();
        let Channel { bias, multiplier } = constants(taps)?;
        let outside = (shape.kernel[0] * shape.kernel[1] - taps) as i32;
        let bias = bias.wrapping_add(outside.wrapping_mul(padding));
        let constants = Channels { bias: &[bias; BLOCK], multipliers: &[multiplier; BLOCK] };
        let at = pixel * channels;
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { window(shape, input, rows, columns, constants, rq, at, output)? };
    }
    Some(())
}

/// Rows or columns of the input under the window at a position.
pub(super) fn inside(shape: &PoolShape, axis: usize, position: usize) -> Range<usize> {
    let first = position * shape.strides[axis];
    let end = (first + shape.kernel[axis]).saturating_sub(shape.pads[axis]).min(shape.input[axis]);
    first.saturating_sub(shape.pads[axis]).min(end)..end
}

/// All channels of one pixel, which begins at `at`.
#[target_feature(enable = "neon")]
#[allow(clippy::too_many_arguments, reason = "a window, its constants and where it goes")]
fn window(
    shape: &PoolShape,
    input: &[i8],
    rows: Range<usize>,
    columns: Range<usize>,
    constants: Channels<'_>,
    rq: &Requantization,
    at: usize,
    output: &mut [i8],
) -> Option<()> {
    let [_, in_w, channels] = shape.input;
    let all = Requantizer::new(constants, rq, Residual::None)?;
    for block in (0..channels).step_by(BLOCK) {
        let count = (channels - block).min(BLOCK);
        let mut sums = [vdupq_n_s32(0); 4];
        for y in rows.clone() {
            let first = (y * in_w + columns.start) * channels + block;
            for x in 0..columns.len() {
                let from = input.get(first + x * channels..)?;
                let mut part = [0; BLOCK];
                let values = match from.first_chunk() {
                    Some(values) => values,
                    None => {
                        part.iter_mut().zip(from.get(..count)?).for_each(|(to, &from)| *to = from);
                        &part
                    }
                };
                // SAFETY: these are sixteen readable bytes.
                let values = unsafe { vld1q_s8(values.as_ptr()) };
                let (low, high) = (vmovl_s8(vget_low_s8(values)), vmovl_high_s8(values));
                sums = [
                    vaddw_s16(sums[0], vget_low_s16(low)),
                    vaddw_high_s16(sums[1], low),
                    vaddw_s16(sums[2], vget_low_s16(high)),
                    vaddw_high_s16(sums[3], high),
                ];
            }
        }
        for (sum, bias) in sums.iter_mut().zip(all.bias) {
            *sum = vaddq_s32(*sum, bias);
        }
        all.with_channels(count).store(sums, at + block, output)?;
    }
    Some(())
}
