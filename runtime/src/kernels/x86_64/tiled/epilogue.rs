//! From sums in registers to int8: [`crate::numerics`] for a block of output channels.
//!
//! A form's sums are the convolution times `2^SHIFT` and a factor with an inverse. Undoing both and the
//! shift of requantization are one product and one shift: with `r` a sum, `(r * inverse) >> SHIFT << s`
//! is `r * (inverse << (s - SHIFT))` or `(r * inverse) >> (SHIFT - s)`, since `r * inverse` is a
//! multiple of `2^SHIFT`. The bias, shifted as well, is added behind: all of it wraps.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_max_epi8, _mm_min_epi8, _mm_packs_epi16,
    _mm_set1_epi8, _mm_srli_si128, _mm256_add_epi32, _mm256_blend_epi32, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi32, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_mul_epi32,
    _mm256_mullo_epi32, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi32,
    _mm256_sll_epi32, _mm256_sra_epi32, _mm256_srli_epi64,
};

use super::Tiles;
use crate::format::Channels;
use crate::kernels::tiled::BLOCK;
use crate::numerics::Requantization;

/// Output channels of one vector.
const HALF: usize = BLOCK / 2;

/// The constants of a block of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue {
    factor: __m256i,
    left: __m128i,
    right: __m128i,
    bias: [__m256i; 2],
    multipliers: [__m256i; 2],
    /// Those of the odd lanes in even places.
    odd_multipliers: [__m256i; 2],
    residual_multiplier: __m256i,
    offset: __m256i,
    fraction_bits: __m128i,
    clamp: (__m128i, __m128i),
}

impl Epilogue {
    /// `None` if there are fewer channels than a block has.
    #[target_feature(enable = "avx2")]
    pub fn new<T: Tiles>(channels: Channels<'_>, rq: &Requantization) -> Option<Self> {
        let left = rq.shift.saturating_sub(T::SHIFT);
        let right = T::SHIFT.saturating_sub(rq.shift);
        let shift = _mm_cvtsi32_si128(rq.shift as i32);
        let bias = load(channels.bias)?.map(|bias| _mm256_sll_epi32(bias, shift));
        let multipliers = load(channels.multipliers)?;
        Some(Self {
            factor: _mm256_set1_epi32(T::INVERSE.wrapping_shl(left)),
            left: _mm_cvtsi32_si128(left as i32),
            right: _mm_cvtsi32_si128(right as i32),
            bias,
            multipliers,
            odd_multipliers: multipliers.map(|both| _mm256_srli_epi64::<32>(both)),
            residual_multiplier: _mm256_set1_epi32(rq.residual_multiplier),
            offset: _mm256_set1_epi32(rq.offset),
            fraction_bits: _mm_cvtsi32_si128(rq.fraction_bits as i32),
            clamp: (_mm_set1_epi8(rq.clamp.0), _mm_set1_epi8(rq.clamp.1)),
        })
    }

    /// Sums of a pixel and its residual to the output.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub fn apply<T: Tiles>(&self, [low, high]: [__m256i; 2], residual: Option<__m128i>) -> __m128i {
        let (mut low, mut high) = (self.fixed::<T>(low, 0), self.fixed::<T>(high, 1));
        if let Some(residual) = residual {
            low = _mm256_add_epi32(low, self.shortcut(residual));
            high = _mm256_add_epi32(high, self.shortcut(_mm_srli_si128::<8>(residual)));
        }
        let round =
            |fixed| _mm256_sra_epi32(_mm256_add_epi32(fixed, self.offset), self.fraction_bits);
        let words = _mm256_packs_epi32(round(low), round(high));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        // Saturation to int8 and then the clamp are the clamp.
        let values = _mm_packs_epi16(low, high);
        _mm_min_epi8(_mm_max_epi8(values, self.clamp.0), self.clamp.1)
    }

    /// [`crate::numerics::fixed_point`] of half a block.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn fixed<T: Tiles>(&self, sums: __m256i, half: usize) -> __m256i {
        let exact = match (T::INVERSE, T::SHIFT) {
            (1, 0) => _mm256_sll_epi32(sums, self.left),
            _ => _mm256_sra_epi32(_mm256_mullo_epi32(sums, self.factor), self.right),
        };
        let shifted = _mm256_add_epi32(exact, self.bias[half]);
        let even = _mm256_mul_epi32(shifted, self.multipliers[half]);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(shifted), self.odd_multipliers[half]);
        _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn shortcut(&self, residual: __m128i) -> __m256i {
        _mm256_mullo_epi32(_mm256_cvtepi8_epi32(residual), self.residual_multiplier)
    }
}

/// A block of constants.
#[target_feature(enable = "avx2")]
#[inline]
fn load(values: &[i32]) -> Option<[__m256i; 2]> {
    let values = values.first_chunk::<BLOCK>()?.as_ptr();
    // SAFETY: sixteen values are readable; the loads need no alignment.
    Some(unsafe {
        [_mm256_loadu_si256(values.cast()), _mm256_loadu_si256(values.add(HALF).cast())]
    })
}
