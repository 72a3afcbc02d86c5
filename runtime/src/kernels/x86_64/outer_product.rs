//! The product that other kernels are made of: up to six rows times sixteen columns in twelve
//! accumulators. A pair of elements of a row is broadcast and meets the same pair of eight columns in
//! one `vpmaddwd`; sums wrap.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

/// Columns of weights.
pub(super) const BLOCK: usize = 16;
/// Most rows.
pub(super) const ROWS: usize = 6;
/// Elements of one vector of i16.
const LANES: usize = 16;

/// [`rows_times_block`] for a number of rows that is known at run time; at most [`ROWS`].
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn multiply(
    rows: usize,
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) {
    let multiply = match rows {
        0 => return,
        1 => rows_times_block::<1>,
        2 => rows_times_block::<2>,
        3 => rows_times_block::<3>,
        4 => rows_times_block::<4>,
        5 => rows_times_block::<5>,
        _ => rows_times_block::<ROWS>,
    };
    multiply(values, step, weights, count, add, products);
}

/// `T` rows of values, `step` elements apart, times [`BLOCK`] columns of weights, over `count` elements,
/// which is even. Weights are `[pair of elements][column][2]`, products `[row][column]`, which replace
/// what is there, or add to it.
#[target_feature(enable = "avx2")]
fn rows_times_block<const T: usize>(
    values: &[i16],
    step: usize,
    weights: &[i16],
    count: usize,
    add: bool,
    products: &mut [i32],
) {
    let pairs = count / 2;
    let needed = T.saturating_sub(1).saturating_mul(step).saturating_add(count);
    if values.len() < needed || weights.len() < pairs * BLOCK * 2 || products.len() < T * BLOCK {
        return;
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    if add {
        for (sums, from) in sums.iter_mut().zip(products.chunks_exact(BLOCK)) {
            // SAFETY: `from` is sixteen readable i32; the loads need no alignment.
            *sums = unsafe { [load(from.as_ptr().cast()), load(from.as_ptr().add(8).cast())] };
        }
    }
    let (values, weights) = (values.as_ptr(), weights.as_ptr());
    for pair in 0..pairs {
        // SAFETY: `pair < pairs`, and `weights` has `pairs` times 32 elements.
        let low = unsafe { load(weights.add(pair * BLOCK * 2)) };
        // SAFETY: the same.
        let high = unsafe { load(weights.add(pair * BLOCK * 2 + LANES)) };
        for (row, [sum_low, sum_high]) in sums.iter_mut().enumerate() {
            // SAFETY: `row < T` and `2 * pair + 1 < count`, so both elements lie within `needed`.
            let value = unsafe { values.add(row * step + pair * 2).cast::<i32>().read_unaligned() };
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
            _mm256_storeu_si256(to.as_mut_ptr().add(LANES / 2).cast(), high);
        }
    }
}

/// # Safety
/// `from` points to sixteen readable elements.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(from: *const i16) -> __m256i {
    // SAFETY: the caller vouches for 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.cast()) }
}
