//! Products of one position: up to four tiles times sixteen output channels, sixteen accumulators; an
//! element of a tile is broadcast by `SMLAL` itself.

use core::arch::aarch64::{
    int16x8_t, int32x4_t, vdupq_n_s16, vdupq_n_s32, vget_low_s16, vld1q_s16, vld1q_s32,
    vmlal_high_laneq_s16, vmlal_laneq_s16, vst1q_s32,
};

use super::LANES;
use crate::kernels::winograd4::BLOCK;

/// Accumulators of a tile.
const VECTORS: usize = BLOCK / 4;

/// `tiles` tiles, `step` elements apart, times a block of weights, over `count` input channels, a
/// multiple of eight; products replace those that are there, or add to them.
#[target_feature(enable = "neon")]
pub(super) fn tiles(
    tiles: usize,
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) {
    let mut done = 0;
    while done < tiles {
        let values = values.get(done * step..).unwrap_or_default();
        let products = products.get_mut(done * BLOCK..).unwrap_or_default();
        let rows = match tiles - done {
            1 => some_tiles::<1>(values, step, weights, count, add, products),
            2 => some_tiles::<2>(values, step, weights, count, add, products),
            // Rather three and two than four and one, and three twice than four and two.
            3 | 5 | 6 => some_tiles::<3>(values, step, weights, count, add, products),
            _ => some_tiles::<4>(values, step, weights, count, add, products),
        };
        done += rows;
    }
}

/// `T` tiles; returns `T`.
#[target_feature(enable = "neon")]
#[inline]
fn some_tiles<const T: usize>(
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) -> usize {
    let needed = T.saturating_sub(1).saturating_mul(step).saturating_add(count);
    let long = values.len() >= needed && weights.len() >= count * BLOCK;
    if !long || products.len() < T * BLOCK || !count.is_multiple_of(LANES) {
        return T;
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
    for channel in (0..count).step_by(LANES) {
        let mut inputs = [vdupq_n_s16(0); T];
        for (tile, input) in inputs.iter_mut().enumerate() {
            // SAFETY: `tile < T` and `channel + LANES <= count`, so it ends within `needed`.
            *input = unsafe { vld1q_s16(values.add(tile * step + channel)) };
        }
        // SAFETY: `channel + LANES <= count`, and `weights` has `count * BLOCK` elements.
        unsafe { eight_channels(&mut sums, &inputs, weights.add(channel * BLOCK)) };
    }
    for (sums, to) in sums.into_iter().zip(products.chunks_exact_mut(BLOCK)) {
        for (sum, to) in sums.into_iter().zip(to.chunks_exact_mut(4)) {
            // SAFETY: `to` is four writable elements.
            unsafe { vst1q_s32(to.as_mut_ptr(), sum) };
        }
    }
    T
}

/// Eight input channels of `T` tiles.
///
/// # Safety
/// `weights` points to `8 * BLOCK` readable elements.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn eight_channels<const T: usize>(
    sums: &mut [[int32x4_t; VECTORS]; T],
    inputs: &[int16x8_t; T],
    weights: *const i16,
) {
    macro_rules! channel {
        ($($lane:literal)*) => {$(
            // SAFETY: the lane is less than 8, so both vectors lie within what the caller vouches for.
            let (low, high) = unsafe {
                (vld1q_s16(weights.add($lane * BLOCK)), vld1q_s16(weights.add($lane * BLOCK + LANES)))
            };
            for (sums, &input) in sums.iter_mut().zip(inputs) {
                sums[0] = vmlal_laneq_s16::<$lane>(sums[0], vget_low_s16(low), input);
                sums[1] = vmlal_high_laneq_s16::<$lane>(sums[1], low, input);
                sums[2] = vmlal_laneq_s16::<$lane>(sums[2], vget_low_s16(high), input);
                sums[3] = vmlal_high_laneq_s16::<$lane>(sums[3], high, input);
            }
        )*};
    }
    channel!(0 1 2 3 4 5 6 7);
}
