//! From sums in registers to int8: [`crate::numerics`] for blocks of output channels.
//!
//! Sums begin with the bias and the correction of the block, which takes off what unsigned bytes have
//! added: all of it wraps.

use core::arch::x86_64::{__m128i, _mm_cvtsi32_si128};

use crate::format::Channels;
use crate::kernels::x86_64::native::tiled::vector::Block;
use crate::kernels::x86_64::vnni::{BLOCK, VECTOR};
use crate::numerics::Requantization;

/// The constants of `N` blocks of output channels.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::x86_64::native) struct Epilogue<B, const N: usize> {
    /// What the sums of a pixel begin with.
    pub first: [B; N],
    multipliers: [B; N],
    /// Those of the odd lanes in even places.
    odd_multipliers: [B; N],
    shift: __m128i,
    residual_multiplier: B,
    offset: B,
    fraction_bits: __m128i,
    /// In each byte.
    pub clamp: (B, B),
}

impl<B: Block, const N: usize> Epilogue<B, N> {
    /// `blocks` begin with their corrections; `None` if one is too short, or if there are fewer channels.
    ///
    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    pub unsafe fn new(
        blocks: [&[u8]; N],
        channels: Channels<'_>,
        rq: &Requantization,
    ) -> Option<Self> {
        let bytes = |value: i8| i32::from_ne_bytes([value as u8; 4]);
        // SAFETY: the caller vouches for the instructions; chunks have a block's length.
        unsafe {
            let zero = B::splat(0);
            let (mut first, mut multipliers, mut odd_multipliers) =
                ([zero; N], [zero; N], [zero; N]);
            for (n, block) in blocks.into_iter().enumerate() {
                let correction = block.first_chunk::<VECTOR>()?.as_ptr();
                first[n] = B::load(correction.cast()) + B::load(part(channels.bias, n)?);
                multipliers[n] = B::load(part(channels.multipliers, n)?);
                odd_multipliers[n] = multipliers[n].odd();
            }
            Some(Self {
                first,
                multipliers,
                odd_multipliers,
                shift: _mm_cvtsi32_si128(rq.shift as i32),
                residual_multiplier: B::splat(rq.residual_multiplier),
                offset: B::splat(rq.offset),
                fraction_bits: _mm_cvtsi32_si128(rq.fraction_bits as i32),
                clamp: (B::splat(bytes(rq.clamp.0)), B::splat(bytes(rq.clamp.1))),
            })
        }
    }

    /// Sums of a pixel and block `n`, with its residual, to output steps.
    #[inline(always)]
    pub fn round(&self, sums: B, n: usize, residual: Option<__m128i>) -> B {
        let shifted = sums.shifted_left(self.shift);
        let mut fixed = shifted.high_product(self.multipliers[n], self.odd_multipliers[n]);
        if let Some(residual) = residual {
            // SAFETY: there are sums, so there are the instructions.
            fixed = fixed + unsafe { B::widen(residual) }.product(self.residual_multiplier);
        }
        (fixed + self.offset).shifted_right(self.fraction_bits)
    }
}

/// Block `n` of constants.
#[inline(always)]
fn part(values: &[i32], n: usize) -> Option<*const i32> {
    Some(values.get(n * BLOCK..)?.first_chunk::<BLOCK>()?.as_ptr())
}
