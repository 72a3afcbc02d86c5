//! [`Vectors`] of AVX-512 with its instructions for neural networks: 512 bits, a block of sums.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, __m512i, _mm256_loadu_si256, _mm512_add_epi16, _mm512_add_epi32, _mm512_cvtepi8_epi16,
    _mm512_cvtepi8_epi32, _mm512_cvtsepi32_epi8, _mm512_loadu_si512, _mm512_mask_shuffle_epi32,
    _mm512_mul_epi32, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_sll_epi32, _mm512_slli_epi16, _mm512_slli_epi32, _mm512_sra_epi32, _mm512_srli_epi64,
    _mm512_storeu_si512, _mm512_sub_epi16, _mm512_sub_epi32,
};
use core::ops::{Add, Sub};

use super::vector::{Block, Sums, Vector, Vectors, Words, vector};
use crate::kernels::x86_64::native::Avx512Vnni;
use crate::kernels::x86_64::tiled::{self, BLOCK, LANES, Width};

impl Vectors for Avx512Vnni {
    const WIDTH: Width = tiled::AVX512;

    type Words = Words512;
    type Sums = Sums512;
    type Block = Sums512;

    #[inline(always)]
    unsafe fn run<R>(work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn run<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: the caller vouches for these instructions.
        unsafe { run(work) }
    }

    #[inline(always)]
    fn add_products(
        Sums512(sums): Sums512,
        Words512(a): Words512,
        Words512(b): Words512,
    ) -> Sums512 {
        // SAFETY: there are vectors only where there are their instructions.
        Sums512(unsafe { dpwssd(sums, a, b) })
    }
}

/// `_mm512_dpwssd_epi32`, which the compiler takes apart into a multiplication and an addition.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn dpwssd(mut sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: the instruction reads and writes registers only.
    unsafe {
        asm!(
            "vpdpwssd {sums}, {a}, {b}",
            sums = inout(zmm_reg) sums,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

vector! {
    /// Thirty-two 16-bit values.
    Words512(__m512i): 2 * LANES, i16,
    _mm512_setzero_si512, _mm512_loadu_si512, _mm512_storeu_si512,
    _mm512_add_epi16, _mm512_sub_epi16, _mm512_slli_epi16
}

impl Words for Words512 {
    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: the caller vouches for the instructions and for as many bytes; the load needs no alignment.
        Self(unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn broadcast(pair: i32) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_set1_epi32(pair) })
    }
}

vector! {
    /// Sixteen sums.
    Sums512(__m512i): BLOCK, i32,
    _mm512_setzero_si512, _mm512_loadu_si512, _mm512_storeu_si512,
    _mm512_add_epi32, _mm512_sub_epi32, _mm512_slli_epi32
}

impl Sums for Sums512 {
    #[inline(always)]
    fn times8(self) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        Self(unsafe { _mm512_slli_epi32::<3>(self.0) })
    }
}

impl Block for Sums512 {
    type Sums = Self;

    #[inline(always)]
    fn from_sums([sums, _]: [Self; 2]) -> Self {
        sums
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_set1_epi32(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller vouches for the same.
        unsafe { <Self as Vector>::load(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: the caller vouches for the same.
        unsafe { <Self as Vector>::store(self, to) }
    }

    #[inline(always)]
    unsafe fn widen(values: __m128i) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_cvtepi8_epi32(values) })
    }

    #[inline(always)]
    fn product(self, other: Self) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        Self(unsafe { _mm512_mullo_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn shifted_left(self, bits: __m128i) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        Self(unsafe { _mm512_sll_epi32(self.0, bits) })
    }

    #[inline(always)]
    fn shifted_right(self, bits: __m128i) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        Self(unsafe { _mm512_sra_epi32(self.0, bits) })
    }

    #[inline(always)]
    fn odd(self) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        Self(unsafe { _mm512_srli_epi64::<32>(self.0) })
    }

    #[inline(always)]
    fn high_product(self, factors: Self, odd: Self) -> Self {
        // SAFETY: there are vectors only where there are their instructions.
        unsafe {
            let even = _mm512_mul_epi32(self.0, factors.0);
            let odd = _mm512_mul_epi32(self.odd().0, odd.0);
            Self(_mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even))
        }
    }

    #[inline(always)]
    fn narrow(self) -> __m128i {
        // SAFETY: there are vectors only where there are their instructions.
        unsafe { _mm512_cvtsepi32_epi8(self.0) }
    }
}
