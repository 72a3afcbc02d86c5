//! From sums in registers to int8: [`crate::numerics`] for blocks of output channels.
//!
//! Sums begin with the bias and the correction of the block, which takes off what unsigned bytes have
//! added: all of it wraps.

use core::arch::x86_64::{
    __m128i, __m512i, _mm_cvtsi32_si128, _mm512_add_epi32, _mm512_castsi512_si128,
    _mm512_cvtepi8_epi32, _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_mask_shuffle_epi32,
    _mm512_max_epi8, _mm512_min_epi8, _mm512_mul_epi32, _mm512_mullo_epi32, _mm512_packs_epi16,
    _mm512_packs_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_setr_epi32, _mm512_sll_epi32, _mm512_sra_epi32, _mm512_srli_epi64,
};

use crate::format::Channels;
use crate::kernels::x86_64::vnni::{BLOCK, VECTOR};
use crate::numerics::Requantization;

/// The constants of `N` blocks of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue<const N: usize> {
    first: [__m512i; N],
    multipliers: [__m512i; N],
    /// Those of the odd lanes in even places.
    odd_multipliers: [__m512i; N],
    shift: __m128i,
    residual_multiplier: __m512i,
    offset: __m512i,
    fraction_bits: __m128i,
    clamp: (__m512i, __m512i),
}

impl<const N: usize> Epilogue<N> {
    /// `blocks` begin with their corrections; `None` if one is too short, or if there are fewer channels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub fn new(blocks: [&[u8]; N], channels: Channels<'_>, rq: &Requantization) -> Option<Self> {
        let zero = _mm512_set1_epi32(0);
        let (mut first, mut multipliers) = ([zero; N], [zero; N]);
        for (n, block) in blocks.into_iter().enumerate() {
            let correction = block.first_chunk::<VECTOR>()?.as_ptr();
            // SAFETY: the chunk is a vector; the load needs no alignment.
            let correction = unsafe { _mm512_loadu_si512(correction.cast()) };
            first[n] = _mm512_add_epi32(correction, load(channels.bias, n)?);
            multipliers[n] = load(channels.multipliers, n)?;
        }
        Some(Self {
            first,
            multipliers,
            odd_multipliers: multipliers.map(|both| _mm512_srli_epi64::<32>(both)),
            shift: _mm_cvtsi32_si128(rq.shift as i32),
            residual_multiplier: _mm512_set1_epi32(rq.residual_multiplier),
            offset: _mm512_set1_epi32(rq.offset),
            fraction_bits: _mm_cvtsi32_si128(rq.fraction_bits as i32),
            clamp: (_mm512_set1_epi8(rq.clamp.0), _mm512_set1_epi8(rq.clamp.1)),
        })
    }

    /// What the sums of `P` pixels begin with.
    #[inline(always)]
    pub fn first_sums<const P: usize>(&self) -> [[__m512i; N]; P] {
        [self.first; P]
    }

    /// Sums of a pixel and block `n`, with its residual, to output steps.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    pub fn round(&self, sums: __m512i, n: usize, residual: Option<__m128i>) -> __m512i {
        let shifted = _mm512_sll_epi32(sums, self.shift);
        let even = _mm512_mul_epi32(shifted, self.multipliers[n]);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(shifted), self.odd_multipliers[n]);
        // The high words: those of the even lanes beside those of the odd ones.
        let mut fixed = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
        if let Some(residual) = residual {
            let residual = _mm512_cvtepi8_epi32(residual);
            fixed = _mm512_add_epi32(fixed, _mm512_mullo_epi32(residual, self.residual_multiplier));
        }
        _mm512_sra_epi32(_mm512_add_epi32(fixed, self.offset), self.fraction_bits)
    }

    /// Four vectors of output steps to the output's bytes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    pub fn narrow(&self, [a, b, c, d]: [__m512i; 4]) -> [__m128i; 4] {
        // Saturation to int8 and then the clamp are the clamp.
        let bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        let bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, self.clamp.0), self.clamp.1);
        // Lane `l` holds four channels of each vector.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        [
            _mm512_castsi512_si128(bytes),
            _mm512_extracti32x4_epi32::<1>(bytes),
            _mm512_extracti32x4_epi32::<2>(bytes),
            _mm512_extracti32x4_epi32::<3>(bytes),
        ]
    }
}

/// Block `n` of constants.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn load(values: &[i32], n: usize) -> Option<__m512i> {
    let values = values.get(n * BLOCK..)?.first_chunk::<BLOCK>()?.as_ptr();
    // SAFETY: sixteen values are readable; the load needs no alignment.
    Some(unsafe { _mm512_loadu_si512(values.cast()) })
}
