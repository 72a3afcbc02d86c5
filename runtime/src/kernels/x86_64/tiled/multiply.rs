//! Rows times a block of output channels: up to six rows in twelve accumulators. A pair of values of a
//! row is broadcast and meets the same pair of eight channels in one `vpmaddwd`; sums wrap.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};
use core::ops::Range;

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

/// What is multiplied, and where to.
pub(super) struct Operands<'a, W> {
    /// `[position][row]`.
    pub rows: &'a [i16],
    /// From one row to the next, and from one position to the next.
    pub step: usize,
    pub stride: usize,
    /// Blocks of `[channel][2]` of each filter and pair.
    pub weights: &'a [W],
    /// From one pair to the next, and from one filter to the next.
    pub weights_step: usize,
    pub weights_stride: usize,
    /// Pairs of values.
    pub pairs: usize,
    /// Whether products are added to those that are there.
    pub add: bool,
    /// `[position][row][channel]`.
    pub products: &'a mut [i32],
    /// From one position to the next.
    pub products_stride: usize,
}

/// Multiplies `count` rows at each of `positions`, at most [`GROUP`], with the weights that `filter` names
/// for a position.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn group<W: Weight>(
    count: usize,
    positions: Range<usize>,
    filter: impl Fn(usize) -> usize,
    operands: Operands<'_, W>,
) {
    match count {
        0 => {}
        1 => rows_times_block::<1, W>(positions, filter, operands),
        2 => rows_times_block::<2, W>(positions, filter, operands),
        3 => rows_times_block::<3, W>(positions, filter, operands),
        4 => rows_times_block::<4, W>(positions, filter, operands),
        5 => rows_times_block::<5, W>(positions, filter, operands),
        _ => rows_times_block::<GROUP, W>(positions, filter, operands),
    }
}

#[target_feature(enable = "avx2")]
fn rows_times_block<const T: usize, W: Weight>(
    positions: Range<usize>,
    filter: impl Fn(usize) -> usize,
    operands: Operands<'_, W>,
) {
    let Operands {
        rows,
        step,
        stride,
        weights,
        weights_step,
        weights_stride,
        pairs,
        add,
        products,
        products_stride,
    } = operands;
    for position in positions {
        let rows = rows.get(position * stride..).unwrap_or_default();
        let weights = weights.get(filter(position) * weights_stride..).unwrap_or_default();
        let products = products.get_mut(position * products_stride..).unwrap_or_default();
        let needed = T.saturating_sub(1).saturating_mul(step).saturating_add(2 * pairs);
        let needed_weights = pairs.saturating_sub(1).saturating_mul(weights_step) + BLOCK * 2;
        if rows.len() < needed || weights.len() < needed_weights || products.len() < T * BLOCK {
            return;
        }
        let (rows, weights) = (rows.as_ptr(), weights.as_ptr());
        let products = products.as_mut_ptr();
        let mut sums = [[_mm256_setzero_si256(); 2]; T];
        if add {
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `row < T`, and there are `T * BLOCK` products; the loads need no alignment.
                *sums = unsafe {
                    let from = products.add(row * BLOCK);
                    [
                        _mm256_loadu_si256(from.cast()),
                        _mm256_loadu_si256(from.add(BLOCK / 2).cast()),
                    ]
                };
            }
        }
        for pair in 0..pairs {
            // SAFETY: `pair < pairs`, so 32 weights are readable within `needed_weights`.
            let low = unsafe { W::load(weights.add(pair * weights_step)) };
            // SAFETY: the same.
            let high = unsafe { W::load(weights.add(pair * weights_step + LANES)) };
            for (row, [sum_low, sum_high]) in sums.iter_mut().enumerate() {
                // SAFETY: `row < T` and `pair < pairs`, so both values lie within `needed`.
                let value =
                    unsafe { rows.add(row * step + pair * 2).cast::<i32>().read_unaligned() };
                let value = _mm256_set1_epi32(value);
                *sum_low = _mm256_add_epi32(*sum_low, _mm256_madd_epi16(value, low));
                *sum_high = _mm256_add_epi32(*sum_high, _mm256_madd_epi16(value, high));
            }
        }
        for (row, &[low, high]) in sums.iter().enumerate() {
            // SAFETY: `row < T`, and there are `T * BLOCK` products; the stores need no alignment.
            unsafe {
                let to = products.add(row * BLOCK);
                _mm256_storeu_si256(to.cast(), low);
                _mm256_storeu_si256(to.add(BLOCK / 2).cast(), high);
            }
        }
    }
}
