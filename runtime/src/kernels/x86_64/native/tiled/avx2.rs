//! [`Vectors`] of AVX2: 256 bits, half a block of sums.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_packs_epi16, _mm_srli_si128, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_blend_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_cvtepi8_epi32, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_mul_epi32, _mm256_mullo_epi32, _mm256_packs_epi32, _mm256_permute4x64_epi64,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sll_epi32, _mm256_slli_epi16,
    _mm256_slli_epi32, _mm256_sra_epi32, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi16,
    _mm256_sub_epi32,
};
use core::ops::{Add, Sub};

use super::vector::{Block, Sums, Vector, Vectors, Words, vector};
use crate::kernels::x86_64::native::Avx2;
use crate::kernels::x86_64::tiled::{self, BLOCK, LANES, Width};

impl Vectors for Avx2 {
    const WIDTH: Width = tiled::AVX2;

    type Words = Words256;
    type Sums = Sums256;
    type Block = Block256;

    #[inline(always)]
    unsafe fn run<R>(work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2")]
        fn run<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: the caller vouches for AVX2.
        unsafe { run(work) }
    }

    #[inline(always)]
    fn add_products(
        Sums256(sums): Sums256,
        Words256(a): Words256,
        Words256(b): Words256,
    ) -> Sums256 {
        // SAFETY: there are vectors only where there is AVX2.
        Sums256(unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) })
    }
}

vector! {
    /// Sixteen 16-bit values.
    Words256(__m256i): LANES, i16,
    _mm256_setzero_si256, _mm256_loadu_si256, _mm256_storeu_si256,
    _mm256_add_epi16, _mm256_sub_epi16, _mm256_slli_epi16
}

impl Words256 {
    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    pub unsafe fn widen_sixteen(values: __m128i) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe { _mm256_cvtepi8_epi16(values) })
    }
}

impl Words for Words256 {
    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: the caller vouches for AVX2 and for as many bytes; the load needs no alignment.
        Self(unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn broadcast(pair: i32) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe { _mm256_set1_epi32(pair) })
    }
}

vector! {
    /// Eight sums.
    Sums256(__m256i): BLOCK / 2, i32,
    _mm256_setzero_si256, _mm256_loadu_si256, _mm256_storeu_si256,
    _mm256_add_epi32, _mm256_sub_epi32, _mm256_slli_epi32
}

impl Sums for Sums256 {
    #[inline(always)]
    fn times8(self) -> Self {
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { _mm256_slli_epi32::<3>(self.0) })
    }
}

/// Twice eight sums.
#[derive(Debug, Clone, Copy)]
pub struct Block256(pub [__m256i; 2]);

impl Add for Block256 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (Self([a, b]), Self([c, d])) = (self, other);
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { [_mm256_add_epi32(a, c), _mm256_add_epi32(b, d)] })
    }
}

impl Block for Block256 {
    type Sums = Sums256;

    #[inline(always)]
    fn from_sums([low, high]: [Sums256; 2]) -> Self {
        Self([low.0, high.0])
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self([unsafe { _mm256_set1_epi32(value) }; 2])
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller vouches for AVX2 and for 64 bytes; the loads need no alignment.
        Self(unsafe {
            [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(BLOCK / 2).cast())]
        })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: the caller vouches for 64 bytes; the stores need no alignment.
        unsafe {
            _mm256_storeu_si256(to.cast(), self.0[0]);
            _mm256_storeu_si256(to.add(BLOCK / 2).cast(), self.0[1]);
        }
    }

    #[inline(always)]
    unsafe fn widen(values: __m128i) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe {
            [_mm256_cvtepi8_epi32(values), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(values))]
        })
    }

    #[inline(always)]
    fn product(self, other: Self) -> Self {
        let (Self([a, b]), Self([c, d])) = (self, other);
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { [_mm256_mullo_epi32(a, c), _mm256_mullo_epi32(b, d)] })
    }

    #[inline(always)]
    fn shifted_left(self, bits: __m128i) -> Self {
        let Self([a, b]) = self;
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { [_mm256_sll_epi32(a, bits), _mm256_sll_epi32(b, bits)] })
    }

    #[inline(always)]
    fn shifted_right(self, bits: __m128i) -> Self {
        let Self([a, b]) = self;
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { [_mm256_sra_epi32(a, bits), _mm256_sra_epi32(b, bits)] })
    }

    #[inline(always)]
    fn odd(self) -> Self {
        let Self([a, b]) = self;
        // SAFETY: there are vectors only where there is AVX2.
        Self(unsafe { [_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b)] })
    }

    #[inline(always)]
    fn high_product(self, factors: Self, odd: Self) -> Self {
        let (Self([a, b]), Self([a_odd, b_odd])) = (self, self.odd());
        // SAFETY: there are vectors only where there is AVX2.
        unsafe {
            let even = Self([_mm256_mul_epi32(a, factors.0[0]), _mm256_mul_epi32(b, factors.0[1])]);
            let Self([even_a, even_b]) = even.odd();
            let odd_a = _mm256_mul_epi32(a_odd, odd.0[0]);
            let odd_b = _mm256_mul_epi32(b_odd, odd.0[1]);
            Self([
                _mm256_blend_epi32::<0b1010_1010>(even_a, odd_a),
                _mm256_blend_epi32::<0b1010_1010>(even_b, odd_b),
            ])
        }
    }

    #[inline(always)]
    fn narrow(self) -> __m128i {
        let Self([low, high]) = self;
        // SAFETY: there are vectors only where there is AVX2.
        unsafe {
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let high = _mm256_extracti128_si256::<1>(words);
            _mm_packs_epi16(_mm256_castsi256_si128(words), high)
        }
    }
}
