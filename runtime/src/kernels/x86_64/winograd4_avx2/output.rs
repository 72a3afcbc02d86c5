//! `A^T m A` and the exact division by 576, eight output channels at a time.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_mullo_epi32, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_storeu_si256,
    _mm256_sub_epi32,
};

use crate::kernels::winograd4::{BLOCK, GROUP, NINTH, SUMS, TILE, WINDOW};

/// Output channels of one vector.
const HALF: usize = BLOCK / 2;

/// Turns the products of a group of tiles into sums, or adds them to those of earlier channels.
#[target_feature(enable = "avx2")]
pub(super) fn transform(products: &[i32], tiles: usize, add: bool, sums: &mut [i32]) {
    for (tile, sums) in sums.chunks_exact_mut(SUMS).take(tiles).enumerate() {
        for half in 0..BLOCK / HALF {
            let mut rows = [[_mm256_setzero_si256(); WINDOW]; TILE];
            for x in 0..WINDOW {
                let at = |y: usize| ((y * WINDOW + x) * GROUP + tile) * BLOCK + half * HALF;
                let column = core::array::from_fn(|y| load(products, at(y)));
                for (row, value) in rows.iter_mut().zip(transform_6(column)) {
                    row[x] = value;
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, value) in transform_6(row).into_iter().enumerate() {
                    let exact =
                        _mm256_srai_epi32::<6>(_mm256_mullo_epi32(value, _mm256_set1_epi32(NINTH)));
                    let at = (y * TILE + x) * BLOCK + half * HALF;
                    let sum = if add { _mm256_add_epi32(load(sums, at), exact) } else { exact };
                    store(sums, at, sum);
                }
            }
        }
    }
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 0] [0 1 -1 8 -8 2].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_6([m0, m1, m2, m3, m4, m5]: [__m256i; WINDOW]) -> [__m256i; TILE] {
    let (near, near_odd) = (_mm256_add_epi32(m1, m2), _mm256_sub_epi32(m1, m2));
    let (far, far_odd) = (_mm256_add_epi32(m3, m4), _mm256_sub_epi32(m3, m4));
    let infinity = _mm256_add_epi32(m5, m5);
    [
        _mm256_add_epi32(m0, _mm256_add_epi32(near, far)),
        _mm256_add_epi32(near_odd, _mm256_slli_epi32::<1>(far_odd)),
        _mm256_add_epi32(near, _mm256_slli_epi32::<2>(far)),
        _mm256_add_epi32(_mm256_add_epi32(near_odd, infinity), _mm256_slli_epi32::<3>(far_odd)),
    ]
}

/// Eight sums; zeros where there are none.
#[target_feature(enable = "avx2")]
#[inline]
fn load(from: &[i32], at: usize) -> __m256i {
    match from.get(at..).and_then(|from| from.first_chunk::<HALF>()) {
        // SAFETY: `values` is 32 readable bytes; the load needs no alignment.
        Some(values) => unsafe { _mm256_loadu_si256(values.as_ptr().cast()) },
        None => _mm256_setzero_si256(),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [i32], at: usize, value: __m256i) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<HALF>()) {
        // SAFETY: `to` is 32 writable bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) };
    }
}
