//! `A^T m A` and the exact division by 576, four output channels at a time.

use core::arch::aarch64::{
    int32x4_t, vaddq_s32, vdupq_n_s32, vld1q_s32, vmulq_n_s32, vshlq_n_s32, vshrq_n_s32, vst1q_s32,
    vsubq_s32,
};

use crate::kernels::winograd4::{BLOCK, GROUP, NINTH, SUMS, TILE, WINDOW};

/// Output channels of one vector.
const LANES: usize = 4;

/// See [`crate::kernels::winograd4::Isa::sum`].
#[target_feature(enable = "neon")]
pub(super) fn transform(products: &[i32], tiles: usize, add: bool, sums: &mut [i32]) {
    for (tile, sums) in sums.chunks_exact_mut(SUMS).take(tiles).enumerate() {
        for channel in (0..BLOCK).step_by(LANES) {
            let mut rows = [[vdupq_n_s32(0); WINDOW]; TILE];
            for x in 0..WINDOW {
                let at = |y: usize| ((y * WINDOW + x) * GROUP + tile) * BLOCK + channel;
                let column = core::array::from_fn(|y| load(products, at(y)));
                for (row, value) in rows.iter_mut().zip(transform_6(column)) {
                    row[x] = value;
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, value) in transform_6(row).into_iter().enumerate() {
                    let exact = vshrq_n_s32::<6>(vmulq_n_s32(value, NINTH));
                    let at = (y * TILE + x) * BLOCK + channel;
                    let sum = if add { vaddq_s32(load(sums, at), exact) } else { exact };
                    store(sums, at, sum);
                }
            }
        }
    }
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 0] [0 1 -1 8 -8 2].
#[target_feature(enable = "neon")]
#[inline]
fn transform_6([m0, m1, m2, m3, m4, m5]: [int32x4_t; WINDOW]) -> [int32x4_t; TILE] {
    let (near, near_odd) = (vaddq_s32(m1, m2), vsubq_s32(m1, m2));
    let (far, far_odd) = (vaddq_s32(m3, m4), vsubq_s32(m3, m4));
    [
        vaddq_s32(m0, vaddq_s32(near, far)),
        vaddq_s32(near_odd, vshlq_n_s32::<1>(far_odd)),
        vaddq_s32(near, vshlq_n_s32::<2>(far)),
        vaddq_s32(vaddq_s32(near_odd, vaddq_s32(m5, m5)), vshlq_n_s32::<3>(far_odd)),
    ]
}

/// Four elements; zeros where there are none.
#[target_feature(enable = "neon")]
#[inline]
fn load(from: &[i32], at: usize) -> int32x4_t {
    match from.get(at..).and_then(|from| from.first_chunk::<LANES>()) {
        // SAFETY: `values` is four readable elements.
        Some(values) => unsafe { vld1q_s32(values.as_ptr()) },
        None => vdupq_n_s32(0),
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn store(to: &mut [i32], at: usize, value: int32x4_t) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<LANES>()) {
        // SAFETY: `to` is four writable elements.
        unsafe { vst1q_s32(to.as_mut_ptr(), value) };
    }
}
