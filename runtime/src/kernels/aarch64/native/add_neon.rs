//! Additions of two tensors, sixteen values at a time.

use core::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s8, vdupq_n_s32, vget_low_s8, vget_low_s16, vld1q_s8,
    vmaxq_s8, vminq_s8, vmlaq_s32, vmovl_high_s8, vmovl_high_s16, vmovl_s8, vmovl_s16, vmulq_s32,
    vqmovn_high_s16, vqmovn_s16, vshrn_high_n_s32, vshrn_n_s32, vshrq_n_s16, vst1q_s8,
};

use super::Neon;
use crate::error::Fault;
use crate::numerics::{self, ADD_FRACTION_BITS, Addition};

/// Values of one vector.
const LANES: usize = 16;

/// See [`crate::kernels::portable::reference::add`].
pub fn add_neon(
    _token: Neon,
    p: &Addition,
    a: &[i8],
    b: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    if a.len() != output.len() || b.len() != output.len() {
        return Err(Fault::Plan);
    }
    let (blocks, rest) = output.as_chunks_mut::<LANES>();
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b.as_chunks());
    for (to, (a, b)) in blocks.iter_mut().zip(a.iter().zip(b)) {
        // SAFETY: the token proves that the CPU has NEON.
        *to = unsafe { sums(p, a, b) };
    }
    for (to, (&a, &b)) in rest.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *to = numerics::add(a, b, p);
    }
    Ok(())
}

/// See [`crate::kernels::portable::reference::add_in_place`].
pub fn add_in_place_neon(
    _token: Neon,
    p: &Addition,
    a: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    if a.len() != output.len() {
        return Err(Fault::Plan);
    }
    let (blocks, rest) = output.as_chunks_mut::<LANES>();
    let (a, a_rest) = a.as_chunks();
    for (to, a) in blocks.iter_mut().zip(a) {
        // SAFETY: the token proves that the CPU has NEON.
        *to = unsafe { sums(p, a, to) };
    }
    for (to, &a) in rest.iter_mut().zip(a_rest) {
        *to = numerics::add(a, *to, p);
    }
    Ok(())
}

/// [`numerics::add`] of sixteen values. Their sums wrap in 32 bits; shifted they fit 16, in two steps.
#[target_feature(enable = "neon")]
#[inline]
fn sums(p: &Addition, a: &[i8; LANES], b: &[i8; LANES]) -> [i8; LANES] {
    const { assert!(ADD_FRACTION_BITS == 18) };
    let (ma, mb) = (vdupq_n_s32(p.multipliers.0), vdupq_n_s32(p.multipliers.1));
    let offset = vdupq_n_s32(p.offset);
    // SAFETY: both are sixteen readable bytes.
    let (a, b) = unsafe { (wide(vld1q_s8(a.as_ptr())), wide(vld1q_s8(b.as_ptr()))) };
    let sum = |n: usize| vaddq_s32(vmlaq_s32(vmulq_s32(a[n], ma), b[n], mb), offset);
    let low = vshrn_high_n_s32::<16>(vshrn_n_s32::<16>(sum(0)), sum(1));
    let high = vshrn_high_n_s32::<16>(vshrn_n_s32::<16>(sum(2)), sum(3));
    let (low, high) = (vshrq_n_s16::<2>(low), vshrq_n_s16::<2>(high));
    let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
    let clamped = vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(p.clamp.0)), vdupq_n_s8(p.clamp.1));
    let mut to = [0; LANES];
    // SAFETY: `to` is sixteen writable bytes.
    unsafe { vst1q_s8(to.as_mut_ptr(), clamped) };
    to
}

/// Sixteen values in 32 bits.
#[target_feature(enable = "neon")]
#[inline]
fn wide(bytes: int8x16_t) -> [int32x4_t; 4] {
    let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
    [
        vmovl_s16(vget_low_s16(low)),
        vmovl_high_s16(low),
        vmovl_s16(vget_low_s16(high)),
        vmovl_high_s16(high),
    ]
}
