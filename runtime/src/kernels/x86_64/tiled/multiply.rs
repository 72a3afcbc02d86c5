//! Rows times a block of output channels: up to six rows in twelve accumulators. A pair of values of a
//! row is broadcast and meets the same pair of eight channels in one `vpmaddwd`; sums wrap.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::widen;
use crate::kernels::tiled::{BLOCK, GROUP, LANES};

/// A weight in 16 bits, or in eight.
pub(super) trait Weight: Copy {
    /// Sixteen weights in 16 bits.
    ///
    /// # Safety
    /// The CPU has AVX2, and `from` points to sixteen readable weights.
    unsafe fn load(from: *const Self) -> __m256i;
}

impl Weight for i16 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> __m256i {
        // SAFETY: the caller vouches for 32 readable bytes; the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
}

impl Weight for i8 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> __m256i {
        // SAFETY: the caller vouches for 16 readable bytes.
        unsafe { widen(from) }
    }
}

/// `count` rows, `step` values apart, times weights `[pair][channel][2]`, over `pairs` pairs of values;
/// products are `[row][channel]`, and replace what is there or add to it. At most [`GROUP`] rows.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn group<W: Weight>(
    count: usize,
    rows: &[i16],
    step: usize,
    weights: &[W],
    pairs: usize,
    add: bool,
    products: &mut [i32],
) {
    match count {
        0 => {}
        1 => rows_times_block::<1, W>(rows, step, weights, pairs, add, products),
        2 => rows_times_block::<2, W>(rows, step, weights, pairs, add, products),
        3 => rows_times_block::<3, W>(rows, step, weights, pairs, add, products),
        4 => rows_times_block::<4, W>(rows, step, weights, pairs, add, products),
        5 => rows_times_block::<5, W>(rows, step, weights, pairs, add, products),
        _ => rows_times_block::<GROUP, W>(rows, step, weights, pairs, add, products),
    }
}

#[target_feature(enable = "avx2")]
fn rows_times_block<const T: usize, W: Weight>(
    rows: &[i16],
    step: usize,
    weights: &[W],
    pairs: usize,
    add: bool,
    products: &mut [i32],
) {
    let needed = T.saturating_sub(1).saturating_mul(step).saturating_add(2 * pairs);
    if rows.len() < needed || weights.len() < pairs * BLOCK * 2 || products.len() < T * BLOCK {
        return;
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    if add {
        for (sums, from) in sums.iter_mut().zip(products.chunks_exact(BLOCK)) {
            let from = from.as_ptr();
            // SAFETY: `from` is sixteen readable i32; the loads need no alignment.
            *sums = unsafe {
                [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(BLOCK / 2).cast())]
            };
        }
    }
    let (rows, weights) = (rows.as_ptr(), weights.as_ptr());
    for pair in 0..pairs {
        // SAFETY: `pair < pairs`, and `weights` has `pairs` times 32 elements.
        let low = unsafe { W::load(weights.add(pair * BLOCK * 2)) };
        // SAFETY: the same.
        let high = unsafe { W::load(weights.add(pair * BLOCK * 2 + LANES)) };
        for (row, [sum_low, sum_high]) in sums.iter_mut().enumerate() {
            // SAFETY: `row < T` and `pair < pairs`, so both values lie within `needed`.
            let value = unsafe { rows.add(row * step + pair * 2).cast::<i32>().read_unaligned() };
            let value = _mm256_set1_epi32(value);
            *sum_low = _mm256_add_epi32(*sum_low, _mm256_madd_epi16(value, low));
            *sum_high = _mm256_add_epi32(*sum_high, _mm256_madd_epi16(value, high));
        }
    }
    for (sums, to) in sums.into_iter().zip(products.chunks_exact_mut(BLOCK)) {
        let [low, high] = sums;
        // SAFETY: `to` is sixteen writable i32; the stores need no alignment.
        unsafe {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(to.as_mut_ptr().add(BLOCK / 2).cast(), high);
        }
    }
}
