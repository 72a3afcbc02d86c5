//! Weights in OHWI order, interleaved into pairs of values side by side while a layer runs.

use core::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128, _mm_unpackhi_epi16,
    _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi16, _mm_unpacklo_epi32,
    _mm_unpacklo_epi64, _mm256_cvtepi8_epi16, _mm256_storeu_si256, _mm512_castsi512_si256,
    _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_permutex2var_epi64, _mm512_setr_epi64,
    _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi16,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use crate::kernels::x86_64::tiled::{BLOCK, LANES};

/// Output channels of one vector.
const HALF: usize = BLOCK / 2;
/// Pairs of values in sixteen bytes.
const PAIRS: usize = LANES / 2;

/// Most vectors of sixteen bytes that are interleaved at a time: a line of the cache.
pub(super) const MAX_VECTORS: usize = 4;

/// `[pair of values][row][2]`.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Interleaved(pub [[i8; 2 * BLOCK]; MAX_VECTORS * PAIRS]);

impl Interleaved {
    pub const EMPTY: Self = Self([[0; 2 * BLOCK]; MAX_VECTORS * PAIRS]);
}

/// The rows of [`BLOCK`] output channels, each of `len` weights, to `[pair][channel][2]` in 16 bits; an odd
/// length is filled up with a zero. `None` if a slice is too short.
#[target_feature(enable = "avx2")]
pub(super) fn pairs(rows: &[i8], len: usize, to: &mut [i16]) -> Option<()> {
    if rows.len() < len * BLOCK || to.len() < len.next_multiple_of(2) * BLOCK {
        return None;
    }
    for first in (0..len).step_by(LANES) {
        let count = (len - first).min(LANES).div_ceil(2);
        for half in 0..2 {
            let row = |row: usize| {
                let row = &rows[(half * HALF + row) * len..][..len];
                load(&row[first..])
            };
            let vectors = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            let to = to[first * BLOCK..].chunks_exact_mut(BLOCK).skip(half).step_by(2);
            for (to, &pair) in to.zip(&transpose(vectors)).take(count) {
                // SAFETY: `to` is 32 writable bytes; the store needs no alignment.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_cvtepi8_epi16(pair)) };
            }
        }
    }
    Some(())
}

/// The first sixteen weights; zeros behind the last.
#[target_feature(enable = "avx2")]
#[inline]
fn load(weights: &[i8]) -> __m128i {
    if let Some(weights) = weights.first_chunk::<LANES>() {
        // SAFETY: sixteen bytes are readable; the load needs no alignment.
        return unsafe { _mm_loadu_si128(weights.as_ptr().cast()) };
    }
    let mut filled = [0i8; LANES];
    for (to, &from) in filled.iter_mut().zip(weights) {
        *to = from;
    }
    if weights.is_empty() {
        return _mm_setzero_si128();
    }
    // SAFETY: the same.
    unsafe { _mm_loadu_si128(filled.as_ptr().cast()) }
}

/// A function that transposes eight rows of eight 16-bit pairs in all parts of 128 bits: pair `k` of every row
/// becomes result `k`.
macro_rules! transpose {
    (
        $name:ident($vector:ident) with $features:literal:
        $low16:ident $high16:ident $low32:ident $high32:ident $low64:ident $high64:ident
    ) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name(rows: [$vector; HALF]) -> [$vector; PAIRS] {
            let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
            let (a0, a1) = ($low16(r0, r1), $high16(r0, r1));
            let (a2, a3) = ($low16(r2, r3), $high16(r2, r3));
            let (a4, a5) = ($low16(r4, r5), $high16(r4, r5));
            let (a6, a7) = ($low16(r6, r7), $high16(r6, r7));
            let (b0, b1) = ($low32(a0, a2), $high32(a0, a2));
            let (b2, b3) = ($low32(a1, a3), $high32(a1, a3));
            let (b4, b5) = ($low32(a4, a6), $high32(a4, a6));
            let (b6, b7) = ($low32(a5, a7), $high32(a5, a7));
            [
                $low64(b0, b4),
                $high64(b0, b4),
                $low64(b1, b5),
                $high64(b1, b5),
                $low64(b2, b6),
                $high64(b2, b6),
                $low64(b3, b7),
                $high64(b3, b7),
            ]
        }
    };
}

transpose! {
    transpose(__m128i) with "avx2":
    _mm_unpacklo_epi16 _mm_unpackhi_epi16 _mm_unpacklo_epi32 _mm_unpackhi_epi32
    _mm_unpacklo_epi64 _mm_unpackhi_epi64
}

transpose! {
    transpose_lanes(__m512i) with "avx512f,avx512bw":
    _mm512_unpacklo_epi16 _mm512_unpackhi_epi16 _mm512_unpacklo_epi32 _mm512_unpackhi_epi32
    _mm512_unpacklo_epi64 _mm512_unpackhi_epi64
}

/// Interleaves `vectors` times sixteen values of sixteen rows, `pitch` bytes apart, into pairs of values side
/// by side.
///
/// # Safety
/// The values are readable.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn interleave(
    rows: *const i8,
    pitch: usize,
    vectors: usize,
    to: &mut Interleaved,
) {
    for (vector, to) in to.0.chunks_exact_mut(PAIRS).take(vectors).enumerate() {
        for half in 0..2 {
            let row = |row: usize| {
                // SAFETY: the caller vouches for the values; the load needs no alignment.
                unsafe {
                    let row = rows.add((half * HALF + row) * pitch + vector * LANES);
                    _mm_loadu_si128(row.cast())
                }
            };
            let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            for (to, pair) in to.iter_mut().zip(transpose(rows)) {
                // SAFETY: the second sixteen bytes of 32 are writable; the store needs no alignment.
                unsafe { _mm_storeu_si128(to.as_mut_ptr().add(half * LANES).cast(), pair) };
            }
        }
    }
}

/// [`interleave`] of [`MAX_VECTORS`] vectors: four transpositions in one.
///
/// # Safety
/// The values are readable.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn interleave_lines(
    rows: *const i8,
    pitch: usize,
    to: &mut Interleaved,
) -> Option<()> {
    // Quarters of both halves of the rows, alternating.
    let near = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let far = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    let half = |half: usize| {
        // SAFETY: the caller vouches for the values; the load needs no alignment.
        let row = |row: usize| unsafe {
            _mm512_loadu_si512(rows.add((half * HALF + row) * pitch).cast())
        };
        transpose_lanes([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)])
    };
    let halves = half(0).into_iter().zip(half(1));
    let [first, second, third, fourth] = to.0.as_chunks_mut::<PAIRS>().0 else { return None };
    for (pair, (low, high)) in halves.enumerate() {
        let near = _mm512_permutex2var_epi64(low, near, high);
        let far = _mm512_permutex2var_epi64(low, far, high);
        // SAFETY: each is 32 writable bytes; the stores need no alignment.
        unsafe {
            _mm256_storeu_si256(first[pair].as_mut_ptr().cast(), _mm512_castsi512_si256(near));
            let upper = _mm512_extracti64x4_epi64::<1>(near);
            _mm256_storeu_si256(second[pair].as_mut_ptr().cast(), upper);
            _mm256_storeu_si256(third[pair].as_mut_ptr().cast(), _mm512_castsi512_si256(far));
            let upper = _mm512_extracti64x4_epi64::<1>(far);
            _mm256_storeu_si256(fourth[pair].as_mut_ptr().cast(), upper);
        }
    }
    Some(())
}
