//! From sums in registers to int8: [`crate::numerics`] for a block of output channels.
//!
//! A form's sums are the convolution times `2^SHIFT` and a factor with an inverse. Undoing both and the
//! shift of requantization are one product and one shift: with `r` a sum, `(r * inverse) >> SHIFT << s`
//! is `r * (inverse << (s - SHIFT))` or `(r * inverse) >> (SHIFT - s)`, since `r * inverse` is a
//! multiple of `2^SHIFT`. The bias, shifted as well, is added behind: all of it wraps.

use core::arch::x86_64::{__m128i, _mm_cvtsi32_si128, _mm_max_epi8, _mm_min_epi8, _mm_set1_epi8};

use super::Tiles;
use super::vector::{Block, Vectors};
use crate::format::Channels;
use crate::kernels::x86_64::tiled::BLOCK;
use crate::numerics::Requantization;

/// The constants of a block of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue<B> {
    factor: B,
    right: __m128i,
    bias: B,
    multipliers: B,
    /// Those of the odd lanes in even places.
    odd_multipliers: B,
    residual_multiplier: B,
    offset: B,
    fraction_bits: __m128i,
    clamp: (__m128i, __m128i),
}

impl<B: Block> Epilogue<B> {
    /// `None` if there are fewer channels than a block has.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`.
    pub unsafe fn new<V: Vectors<Block = B>, T: Tiles>(
        channels: Channels<'_>,
        rq: &Requantization,
    ) -> Option<Self> {
        let bias = channels.bias.first_chunk::<BLOCK>()?.as_ptr();
        let multipliers = channels.multipliers.first_chunk::<BLOCK>()?.as_ptr();
        let left = rq.shift.saturating_sub(T::SHIFT);
        let right = T::SHIFT.saturating_sub(rq.shift);
        // SAFETY: the caller vouches for the instructions.
        Some(unsafe {
            V::run(
                #[inline(always)]
                || {
                    let multipliers = B::load(multipliers);
                    Self {
                        factor: B::splat(T::INVERSE.wrapping_shl(left)),
                        right: _mm_cvtsi32_si128(right as i32),
                        bias: B::load(bias).shifted_left(_mm_cvtsi32_si128(rq.shift as i32)),
                        multipliers,
                        odd_multipliers: multipliers.odd(),
                        residual_multiplier: B::splat(rq.residual_multiplier),
                        offset: B::splat(rq.offset),
                        fraction_bits: _mm_cvtsi32_si128(rq.fraction_bits as i32),
                        clamp: (_mm_set1_epi8(rq.clamp.0), _mm_set1_epi8(rq.clamp.1)),
                    }
                },
            )
        })
    }

    /// Sums of a pixel and its residual to the output.
    #[inline(always)]
    pub fn apply(&self, sums: B, residual: Option<__m128i>) -> __m128i {
        let exact = sums.product(self.factor).shifted_right(self.right);
        // See [`crate::numerics::fixed_point`].
        let mut fixed = (exact + self.bias).high_product(self.multipliers, self.odd_multipliers);
        if let Some(residual) = residual {
            // SAFETY: there are sums, so there are the instructions.
            fixed = fixed + unsafe { B::widen(residual) }.product(self.residual_multiplier);
        }
        // Saturation to int8 and then the clamp are the clamp.
        let values = (fixed + self.offset).shifted_right(self.fraction_bits).narrow();
        // SAFETY: there are sums, so there is AVX2.
        unsafe { _mm_min_epi8(_mm_max_epi8(values, self.clamp.0), self.clamp.1) }
    }
}
