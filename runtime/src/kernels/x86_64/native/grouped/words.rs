//! What the kernels need of an instruction set, beside its [`Vectors`]: words of values, and their products.
//!
//! What may not be broken: as in [`Vectors`], all that is called in its `run` is inlined into it, and blocks
//! only come from functions whose caller vouches for the CPU.

use core::arch::x86_64::{
    __m128i, _mm_loadu_si128, _mm_set1_epi8, _mm_storeu_si128, _mm_unpackhi_epi8,
    _mm_unpackhi_epi16, _mm_unpacklo_epi8, _mm_unpacklo_epi16, _mm_xor_si128, _mm256_add_epi32,
    _mm256_cvtepi8_epi16, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_permutevar8x32_epi32,
    _mm256_storeu_si256, _mm512_loadu_si512, _mm512_permutexvar_epi32,
};
use core::marker::PhantomData;

use super::tile::Pick;
use crate::kernels::x86_64::grouped::{self, BLOCK};
use crate::kernels::x86_64::native::tiled::avx2::Block256;
use crate::kernels::x86_64::native::tiled::avx512::Sums512;
use crate::kernels::x86_64::native::tiled::vector::{Block as _, Vectors};
use crate::kernels::x86_64::native::vnni::Dots256;
use crate::kernels::x86_64::native::vnni::dots::{self, Dots};
use crate::kernels::x86_64::native::{Avx2, Avx512Vnni};

/// Sums of a block of output channels, or a word for each.
pub(super) type Block<W> = <<W as Words>::Vectors as Vectors>::Block;

/// See the module.
pub(super) trait Words {
    type Vectors: Vectors;

    /// Values of a word.
    const VALUES: usize;
    /// What is added to each value of the input.
    const EXCESS: i32;
    /// Lanes of one vector.
    const LANES: usize;

    /// A word of weights, with zeros behind them.
    fn weights(values: &[i8]) -> i32;

    /// A word of one value of the input.
    fn filled(value: i8) -> i32;

    /// A word of values of the input, and anything behind them.
    fn values(values: &[i8]) -> i32;

    /// Words of sixteen values side by side.
    ///
    /// # Safety
    /// The CPU has the instructions, the values are readable, and their words are writable.
    unsafe fn copy(from: *const i8, to: *mut i32);

    /// Words of sixteen channels, each of a value of some rows: the first [`Words::VALUES`] of these.
    ///
    /// # Safety
    /// The CPU has the instructions, and sixteen words are writable.
    unsafe fn interleave(rows: [__m128i; 4], to: *mut i32);

    /// Adds the products of words and weights; it wraps.
    fn dot(sums: Block<Self>, words: Block<Self>, weights: Block<Self>) -> Block<Self>;

    /// The word of each lane.
    ///
    /// # Safety
    /// The CPU has the instructions; [`LANES`](Words::LANES) words are readable from each of the bases on, and
    /// lanes lie among them.
    unsafe fn permuted(from: *const i32, pick: &Pick) -> Block<Self>;

    /// Four blocks of output steps to the output's bytes, clamped.
    fn narrow(steps: [Block<Self>; 4], clamp: (Block<Self>, Block<Self>)) -> [__m128i; 4];
}

/// Words of two values of 16 bits.
impl Words for Avx2 {
    type Vectors = Self;

    const VALUES: usize = grouped::AVX2;
    const EXCESS: i32 = 0;
    const LANES: usize = BLOCK / 2;

    #[inline(always)]
    fn weights(values: &[i8]) -> i32 {
        Self::values(values)
    }

    #[inline(always)]
    fn filled(value: i8) -> i32 {
        Self::values(&[value; 2])
    }

    #[inline(always)]
    fn values(values: &[i8]) -> i32 {
        match *values {
            [a, b, ..] => (i32::from(b) << 16) | (i32::from(a) & 0xffff),
            [a] => i32::from(a) & 0xffff,
            [] => 0,
        }
    }

    #[inline(always)]
    unsafe fn copy(from: *const i8, to: *mut i32) {
        // SAFETY: the caller vouches for AVX2, 16 bytes and 8 words; neither needs alignment.
        unsafe {
            let values = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()));
            _mm256_storeu_si256(to.cast(), values);
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, ..]: [__m128i; 4], to: *mut i32) {
        // SAFETY: the caller vouches for AVX2 and sixteen words; the stores need no alignment.
        unsafe {
            let low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
            let high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
            _mm256_storeu_si256(to.cast(), low);
            _mm256_storeu_si256(to.add(BLOCK / 2).cast(), high);
        }
    }

    #[inline(always)]
    fn dot(
        Block256([a, b]): Block256,
        Block256(words): Block256,
        Block256(weights): Block256,
    ) -> Block256 {
        // SAFETY: there are blocks only where there is AVX2.
        unsafe {
            Block256([
                _mm256_add_epi32(a, _mm256_madd_epi16(words[0], weights[0])),
                _mm256_add_epi32(b, _mm256_madd_epi16(words[1], weights[1])),
            ])
        }
    }

    #[inline(always)]
    unsafe fn permuted(from: *const i32, pick: &Pick) -> Block256 {
        // SAFETY: the caller vouches for the same.
        unsafe { permuted_256(from, pick) }
    }

    #[inline(always)]
    fn narrow(steps: [Block256; 4], clamp: (Block256, Block256)) -> [__m128i; 4] {
        // To bytes they are the same for all sets of 256 bits.
        Dots256::<false>::narrow(steps, clamp)
    }
}

/// # Safety
/// As [`Words::permuted`] with AVX2.
#[inline(always)]
unsafe fn permuted_256(from: *const i32, pick: &Pick) -> Block256 {
    // SAFETY: the caller vouches for AVX2 and for eight words at each base; the loads need no alignment.
    unsafe {
        let Block256([low, high]) = Block256::load(pick.lanes.as_ptr());
        let [first, second] = pick.bases;
        Block256([
            _mm256_permutevar8x32_epi32(_mm256_loadu_si256(from.add(first).cast()), low),
            _mm256_permutevar8x32_epi32(_mm256_loadu_si256(from.add(second).cast()), high),
        ])
    }
}

/// Words of four unsigned bytes, of sets with their dot products.
pub(super) struct Quads<D>(PhantomData<D>);

/// What differs between blocks of one vector and of two.
pub(super) trait Permute: Dots {
    const LANES: usize;

    /// See [`Words::permuted`].
    ///
    /// # Safety
    /// As there.
    unsafe fn permuted(from: *const i32, pick: &Pick) -> dots::Block<Self>;
}

impl<const VEX: bool> Permute for Dots256<VEX> {
    const LANES: usize = BLOCK / 2;

    #[inline(always)]
    unsafe fn permuted(from: *const i32, pick: &Pick) -> Block256 {
        // SAFETY: the caller vouches for the same.
        unsafe { permuted_256(from, pick) }
    }
}

impl Permute for Avx512Vnni {
    const LANES: usize = BLOCK;

    #[inline(always)]
    unsafe fn permuted(from: *const i32, pick: &Pick) -> Sums512 {
        // SAFETY: the caller vouches for the instructions and for sixteen words; the load needs no alignment.
        unsafe {
            let words = _mm512_loadu_si512(from.add(pick.bases[0]).cast());
            Sums512(_mm512_permutexvar_epi32(Sums512::load(pick.lanes.as_ptr()).0, words))
        }
    }
}

impl<D: Permute> Words for Quads<D> {
    type Vectors = D::Vectors;

    const VALUES: usize = grouped::VNNI;
    const EXCESS: i32 = 128;
    const LANES: usize = D::LANES;

    #[inline(always)]
    fn weights(values: &[i8]) -> i32 {
        let bytes = match *values {
            [a, b, c, d, ..] => [a, b, c, d],
            [a, b, c] => [a, b, c, 0],
            [a, b] => [a, b, 0, 0],
            [a] => [a, 0, 0, 0],
            [] => [0; 4],
        };
        i32::from_le_bytes(bytes.map(i8::cast_unsigned))
    }

    #[inline(always)]
    fn filled(value: i8) -> i32 {
        Self::values(&[value; 4])
    }

    #[inline(always)]
    fn values(values: &[i8]) -> i32 {
        Self::weights(values) ^ i32::from_le_bytes([128; 4])
    }

    #[inline(always)]
    unsafe fn copy(from: *const i8, to: *mut i32) {
        // SAFETY: the caller vouches for the instructions, 16 bytes and 4 words; neither needs alignment.
        unsafe {
            let values = _mm_xor_si128(_mm_loadu_si128(from.cast()), _mm_set1_epi8(-128));
            _mm_storeu_si128(to.cast(), values);
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [__m128i; 4], to: *mut i32) {
        // SAFETY: the caller vouches for the instructions and sixteen words; the stores need no alignment.
        unsafe {
            let flip = _mm_set1_epi8(-128);
            let pairs = [
                (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d)),
                (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d)),
            ];
            for (half, (ab, cd)) in pairs.into_iter().enumerate() {
                let words = [_mm_unpacklo_epi16(ab, cd), _mm_unpackhi_epi16(ab, cd)];
                for (quarter, words) in words.into_iter().enumerate() {
                    let to = to.add((half * 2 + quarter) * BLOCK / 4);
                    _mm_storeu_si128(to.cast(), _mm_xor_si128(words, flip));
                }
            }
        }
    }

    #[inline(always)]
    fn dot(sums: Block<Self>, words: Block<Self>, weights: Block<Self>) -> Block<Self> {
        D::dot(sums, words, weights)
    }

    #[inline(always)]
    unsafe fn permuted(from: *const i32, pick: &Pick) -> Block<Self> {
        // SAFETY: the caller vouches for the same.
        unsafe { D::permuted(from, pick) }
    }

    #[inline(always)]
    fn narrow(steps: [Block<Self>; 4], clamp: (Block<Self>, Block<Self>)) -> [__m128i; 4] {
        D::narrow(steps, clamp)
    }
}
