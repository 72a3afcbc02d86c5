//! The 36 products of matrices: up to six tiles times sixteen output channels, twelve accumulators.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::{BLOCK, GROUP, LANES, POSITIONS};

/// Where the tiles of a group lie in the transformed input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'v> {
    /// `[position][tile][input channel]`.
    pub values: &'v [i16],
    /// From one position to the next.
    pub stride: usize,
    /// The first tile's first channel of the chunk, within a position.
    pub first: usize,
    /// From one tile to the next.
    pub channels: usize,
}

/// Multiplies `tiles` tiles with a block of weights over `count` input channels, at all positions;
/// the products replace those of earlier channels, or add to them.
#[target_feature(enable = "avx2")]
pub(super) fn group(
    inputs: Inputs<'_>,
    weights: &[i16],
    weights_stride: usize,
    tiles: usize,
    count: usize,
    add: bool,
    products: &mut [i32],
) {
    let multiply = match tiles {
        1 => tile_group::<1>,
        2 => tile_group::<2>,
        3 => tile_group::<3>,
        4 => tile_group::<4>,
        5 => tile_group::<5>,
        _ => tile_group::<GROUP>,
    };
    let positions = products.chunks_exact_mut(GROUP * BLOCK).take(POSITIONS).enumerate();
    for (position, products) in positions {
        let values = inputs.values.get(position * inputs.stride + inputs.first..);
        let weights = weights.get(position * weights_stride..);
        let (Some(values), Some(weights)) = (values, weights) else { return };
        multiply(values, inputs.channels, weights, count, add, products);
    }
}

/// `T` tiles, `step` elements apart, times sixteen output channels, over `count` input channels.
#[target_feature(enable = "avx2")]
fn tile_group<const T: usize>(
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
        for (tile, [sum_low, sum_high]) in sums.iter_mut().enumerate() {
            // SAFETY: `tile < T` and `2 * pair + 1 < count`, so both elements lie within `needed`.
            let value =
                unsafe { values.add(tile * step + pair * 2).cast::<i32>().read_unaligned() };
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
