//! `A^T m A` and the exact division by 576, four output channels at a time.

use core::arch::aarch64::{
    int32x4_t, vaddq_s32, vdupq_n_s32, vld1q_s32, vmlaq_s32, vmulq_n_s32, vshrq_n_s32, vsubq_s32,
};

use crate::kernels::aarch64::native::requantize_block::{Sums, VECTORS};
use crate::kernels::aarch64::winograd4::{GROUP, WINDOW};
use crate::kernels::aarch64::winograd4::{PRODUCTS, STEM_TILE};
use crate::kernels::winograd4::{BLOCK, INVERSE_OF_9};

/// Output channels of one vector.
const LANES: usize = 4;

/// The sums of tile number `tile` of a group: of each of its `T * T` pixels, a block of output channels.
#[target_feature(enable = "neon")]
pub(super) fn transform<const T: usize>(
    products: &[i32; PRODUCTS],
    tile: usize,
    sums: &mut [[Sums; T]; T],
) {
    let tile = tile.min(GROUP - 1);
    for vector in 0..VECTORS {
        let at = tile * BLOCK + vector * LANES;
        let mut rows = [[vdupq_n_s32(0); WINDOW]; T];
        for x in 0..WINDOW {
            let column = core::array::from_fn(|y| {
                let at = (y * WINDOW + x) * GROUP * BLOCK + at;
                // SAFETY: position, tile and vector are less than their numbers in PRODUCTS.
                unsafe { vld1q_s32(products.as_ptr().add(at)) }
            });
            for (row, value) in rows.iter_mut().zip(transform_6::<T>(column)) {
                row[x] = value;
            }
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            for (sum, value) in sums.iter_mut().zip(transform_6::<T>(row)) {
                sum[vector] = vshrq_n_s32::<6>(vmulq_n_s32(value, INVERSE_OF_9));
            }
        }
    }
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 0] [0 1 -1 8 -8 2] of F(4, 3), or the first two and
/// [0 1 1 4 4 2] of F(3, 4).
#[target_feature(enable = "neon")]
#[inline]
fn transform_6<const T: usize>([m0, m1, m2, m3, m4, m5]: [int32x4_t; WINDOW]) -> [int32x4_t; T] {
    let (two, four, eight) = (vdupq_n_s32(2), vdupq_n_s32(4), vdupq_n_s32(8));
    let (near, near_odd) = (vaddq_s32(m1, m2), vsubq_s32(m1, m2));
    let (far, far_odd) = (vaddq_s32(m3, m4), vsubq_s32(m3, m4));
    let third = vmlaq_s32(near, far, four);
    core::array::from_fn(|row| match row {
        0 => vaddq_s32(m0, vaddq_s32(near, far)),
        1 => vmlaq_s32(near_odd, far_odd, two),
        2 if T == STEM_TILE => vmlaq_s32(third, m5, two),
        2 => third,
        _ => vmlaq_s32(vmlaq_s32(near_odd, m5, two), far_odd, eight),
    })
}
