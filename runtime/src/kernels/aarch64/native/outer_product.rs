//! The product that Winograd's form is made of: up to six rows times sixteen columns in 24 accumulators; an element of a row is broadcast by `SMLAL` itself, and sums wrap.

use core::arch::aarch64::{
    int16x8_t, int32x4_t, vdupq_n_s32, vget_low_s16, vld1q_s16, vld1q_s32, vmlal_high_laneq_s16,
    vmlal_laneq_s16, vst1q_s32,
};

use super::requantize_block::VECTORS;
use crate::kernels::winograd4::BLOCK;

/// Elements of one vector of i16.
const LANES: usize = 8;
const HALF: usize = LANES / 2;

/// `rows` rows of values, at most six, `step` elements apart, times [`BLOCK`] columns of weights, over `count`
/// elements, a multiple of four; rows have room for whole vectors. Weights are `[element][column]`,
/// products `[row][column]`, which replace what is there, or add to it. `None` if a slice is too short.
#[target_feature(enable = "neon")]
pub(super) fn multiply(
    rows: usize,
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) -> Option<()> {
    match rows {
        0 => Some(()),
        1 => some_rows::<1>(values, step, weights, count, add, products),
        2 => some_rows::<2>(values, step, weights, count, add, products),
        3 => some_rows::<3>(values, step, weights, count, add, products),
        4 => some_rows::<4>(values, step, weights, count, add, products),
        5 => some_rows::<5>(values, step, weights, count, add, products),
        _ => some_rows::<6>(values, step, weights, count, add, products),
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn some_rows<const T: usize>(
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) -> Option<()> {
    let whole = count.saturating_add(LANES - 1) / LANES * LANES;
    let needed = T.saturating_sub(1).saturating_mul(step).saturating_add(whole);
    let long = values.len() >= needed && weights.len() >= count * BLOCK;
    if !long || products.len() < T * BLOCK || !count.is_multiple_of(HALF) {
        return None;
    }
    let mut sums = [[vdupq_n_s32(0); VECTORS]; T];
    if add {
        for (sums, from) in sums.iter_mut().zip(products.chunks_exact(BLOCK)) {
            for (sum, from) in sums.iter_mut().zip(from.chunks_exact(4)) {
                // SAFETY: `from` is four readable elements.
                *sum = unsafe { vld1q_s32(from.as_ptr()) };
            }
        }
    }
    let (values, weights) = (values.as_ptr(), weights.as_ptr());
    let inputs = |element: usize| -> [int16x8_t; T] {
        core::array::from_fn(|row| {
            // SAFETY: `row < T` and `element + LANES <= whole`, so it ends within `needed`.
            unsafe { vld1q_s16(values.add(row * step + element)) }
        })
    };
    let eights = count / LANES * LANES;
    for element in (0..eights).step_by(LANES) {
        // SAFETY: `element + LANES <= count`, and `weights` has `count * BLOCK` elements.
        unsafe { eight_elements(&mut sums, &inputs(element), weights.add(element * BLOCK)) };
    }
    if eights < count {
        // SAFETY: `count` is a multiple of HALF, so there are weights for as many elements.
        unsafe { four_elements(&mut sums, &inputs(eights), weights.add(eights * BLOCK)) };
    }
    for (sums, to) in sums.into_iter().zip(products.chunks_exact_mut(BLOCK)) {
        for (sum, to) in sums.into_iter().zip(to.chunks_exact_mut(4)) {
            // SAFETY: `to` is four writable elements.
            unsafe { vst1q_s32(to.as_mut_ptr(), sum) };
        }
    }
    Some(())
}

/// Multiplies lanes of `T` rows with as many rows of weights.
macro_rules! lanes {
    ($sums:ident, $inputs:ident, $weights:ident: $($lane:literal)*) => {$(
        // SAFETY: the caller vouches for a row of weights a lane.
        let (low, high) = unsafe {
            let row = $weights.add($lane * BLOCK);
            (vld1q_s16(row), vld1q_s16(row.add(LANES)))
        };
        for (sums, &input) in $sums.iter_mut().zip($inputs) {
            sums[0] = vmlal_laneq_s16::<$lane>(sums[0], vget_low_s16(low), input);
            sums[1] = vmlal_high_laneq_s16::<$lane>(sums[1], low, input);
            sums[2] = vmlal_laneq_s16::<$lane>(sums[2], vget_low_s16(high), input);
            sums[3] = vmlal_high_laneq_s16::<$lane>(sums[3], high, input);
        }
    )*};
}

/// Eight elements of `T` rows.
///
/// # Safety
/// `weights` points to `8 * BLOCK` readable elements.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn eight_elements<const T: usize>(
    sums: &mut [[int32x4_t; VECTORS]; T],
    inputs: &[int16x8_t; T],
    weights: *const i16,
) {
    lanes!(sums, inputs, weights: 0 1 2 3 4 5 6 7);
}

/// The first four elements of `T` rows.
///
/// # Safety
/// `weights` points to `4 * BLOCK` readable elements.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn four_elements<const T: usize>(
    sums: &mut [[int32x4_t; VECTORS]; T],
    inputs: &[int16x8_t; T],
    weights: *const i16,
) {
    lanes!(sums, inputs, weights: 0 1 2 3);
}
