//! Accumulators to int8, eight channels at a time: [`crate::numerics`] in NEON.

use core::arch::aarch64::{
    int32x4_t, vaddq_s32, vcombine_s16, vdupq_n_s32, vget_high_s16, vget_low_s16, vld1_s8,
    vld1q_s32, vmaxq_s32, vminq_s32, vmlaq_s32, vmovl_s8, vmovl_s16, vmovn_s16, vmovn_s32,
    vqdmulhq_s32, vshlq_s32, vshrq_n_s32, vst1_s8,
};

use super::Neon;
use crate::format::Channels;
use crate::kernels::{Requantize, Residual};
use crate::numerics::{Requantization, requantize_residual};

/// Channels of two vectors.
const LANES: usize = 8;

impl Requantize for Neon {
    fn requantize(
        self,
        acc: &[i32],
        channels: Channels<'_>,
        rq: &Requantization,
        residual: Residual<'_>,
        index: usize,
        output: &mut [i8],
    ) {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { requantize_pixel(acc, channels, rq, residual, index, output) }
    }
}

/// Requantizes the accumulators of one pixel; `index` is the position of its first channel in the
/// output tensor.
#[target_feature(enable = "neon")]
pub(super) fn requantize_pixel(
    acc: &[i32],
    channels: Channels<'_>,
    rq: &Requantization,
    residual: Residual<'_>,
    index: usize,
    output: &mut [i8],
) {
    let whole = output.len() / LANES * LANES;
    let (head, tail) = output.split_at_mut(whole);
    let constants = channels.bias.chunks_exact(LANES).zip(channels.multipliers.chunks_exact(LANES));
    let blocks = head.chunks_exact_mut(LANES).zip(acc.chunks_exact(LANES)).zip(constants);
    for (block, ((out, acc), (bias, multipliers))) in blocks.enumerate() {
        let shortcut: [i8; LANES] = match residual {
            Residual::None => [0; LANES],
            Residual::InPlace => read(out),
            Residual::Separate(values) => read(values.get(index + block * LANES..).unwrap_or(&[])),
        };
        let values = requantize_8(&read(acc), &read(bias), &read(multipliers), &shortcut, rq);
        out.copy_from_slice(&values);
    }
    let rest = acc.iter().zip(channels.iter()).skip(whole);
    for (lane, (out, (&acc, channel))) in tail.iter_mut().zip(rest).enumerate() {
        let residual = residual.at(index + whole + lane, *out);
        *out = requantize_residual(acc, residual, channel, rq);
    }
}

#[inline(always)]
fn read<T: Copy + Default>(values: &[T]) -> [T; LANES] {
    values.first_chunk().copied().unwrap_or_default()
}

#[target_feature(enable = "neon")]
#[inline]
fn requantize_8(
    acc: &[i32; LANES],
    bias: &[i32; LANES],
    multipliers: &[i32; LANES],
    residual: &[i8; LANES],
    rq: &Requantization,
) -> [i8; LANES] {
    // SAFETY: `residual` is eight readable bytes.
    let residual = vmovl_s8(unsafe { vld1_s8(residual.as_ptr()) });
    let quarter = |at: usize, residual: int32x4_t| {
        // SAFETY: `at` is 0 or 4, so four elements from there are readable in each array.
        let (acc, bias, multipliers) = unsafe {
            (
                vld1q_s32(acc.as_ptr().add(at)),
                vld1q_s32(bias.as_ptr().add(at)),
                vld1q_s32(multipliers.as_ptr().add(at)),
            )
        };
        let shifted = vshlq_s32(vaddq_s32(acc, bias), vdupq_n_s32(rq.shift as i32));
        // Multipliers are even: the doubling product with the half is the product itself, of which the
        // upper half remains.
        let fixed = vqdmulhq_s32(shifted, vshrq_n_s32::<1>(multipliers));
        let sum = vmlaq_s32(fixed, residual, vdupq_n_s32(rq.residual_multiplier));
        let sum = vaddq_s32(sum, vdupq_n_s32(rq.offset));
        let rounded = vshlq_s32(sum, vdupq_n_s32((rq.fraction_bits as i32).wrapping_neg()));
        let low = vdupq_n_s32(rq.clamp.0.into());
        let high = vdupq_n_s32(rq.clamp.1.into());
        vmovn_s32(vminq_s32(vmaxq_s32(rounded, low), high))
    };
    let low = quarter(0, vmovl_s16(vget_low_s16(residual)));
    let high = quarter(4, vmovl_s16(vget_high_s16(residual)));
    let mut out = [0i8; LANES];
    // SAFETY: `out` is eight writable bytes.
    unsafe { vst1_s8(out.as_mut_ptr(), vmovn_s16(vcombine_s16(low, high))) };
    out
}
