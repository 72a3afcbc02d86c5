//! `G g G^T`: 3x3 weights of eight output channels and pairs of input channels at a time.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_setzero_si128, _mm_unpackhi_epi16, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi16, _mm_unpacklo_epi32, _mm_unpacklo_epi64,
    _mm256_add_epi16, _mm256_cvtepi8_epi16, _mm256_mullo_epi16, _mm256_set1_epi16,
    _mm256_setzero_si256, _mm256_slli_epi16, _mm256_storeu_si256, _mm256_sub_epi16,
};

use core::ops::Range;

use super::LANES;
use crate::kernels::winograd4::{BLOCK, POSITIONS, WINDOW};

/// Taps of a 3x3 filter.
const TAPS: usize = 9;
/// Output channels of one vector.
const HALF: usize = BLOCK / 2;
/// Input channels that are read at a time: one line of the cache, since the rows of many networks lie
/// a power of two apart and would drive each other out of it.
const LINE: usize = 64;
/// Pairs of input channels in sixteen bytes.
const PAIRS: usize = LANES / 2;

/// Transforms the weights (OHWI, `in_c` input channels) of output channels `oc..oc + BLOCK` and input
/// channels `part`; positions are `stride` elements apart.
#[target_feature(enable = "avx2")]
pub(super) fn transform(
    weights: &[i8],
    in_c: usize,
    oc: usize,
    part: Range<usize>,
    stride: usize,
    to: &mut [i16],
) {
    for first in (0..part.len()).step_by(LINE) {
        let vectors = LINE.min(part.len() - first) / LANES;
        for half in 0..BLOCK / HALF {
            let mut taps = [[[_mm_setzero_si128(); PAIRS]; LINE / LANES]; TAPS];
            for (tap, taps) in taps.iter_mut().enumerate() {
                for (vector, pairs) in taps.iter_mut().take(vectors).enumerate() {
                    let row = |index: usize| {
                        let filter = (oc + half * HALF + index) * TAPS + tap;
                        load(weights, filter * in_c + part.start + first + vector * LANES)
                    };
                    *pairs = transpose(core::array::from_fn(row));
                }
            }
            for pair in 0..vectors * PAIRS {
                let (vector, lane) = (pair / PAIRS, pair % PAIRS);
                let filter = taps.each_ref().map(|taps| _mm256_cvtepi8_epi16(taps[vector][lane]));
                let at = (first / 2 + pair) * BLOCK * 2 + half * LANES;
                store(filter, stride, to.get_mut(at..).unwrap_or_default());
            }
        }
    }
}

/// Transforms a filter, `[ky][kx]`, and writes its 36 positions `stride` elements apart.
#[target_feature(enable = "avx2")]
#[inline]
fn store(filter: [__m256i; TAPS], stride: usize, to: &mut [i16]) {
    let last = (POSITIONS - 1).saturating_mul(stride);
    if to.len() < last.saturating_add(LANES) {
        return;
    }
    let to = to.as_mut_ptr();
    let [a0, a1, a2, b0, b1, b2, c0, c1, c2] = filter;
    let left = transform_3(a0, b0, c0).into_iter();
    let rows = left.zip(transform_3(a1, b1, c1)).zip(transform_3(a2, b2, c2));
    for (y, ((left, middle), right)) in rows.enumerate() {
        let row = transform_3(left, middle, right);
        for (x, value) in row.into_iter().enumerate() {
            // SAFETY: the position is less than POSITIONS, so the 32 bytes end within `to`.
            unsafe { _mm256_storeu_si256(to.add((y * WINDOW + x) * stride).cast(), value) };
        }
    }
}

/// The rows [6 0 0] [-4 -4 -4] [-4 4 -4] [1 2 4] [1 -2 4] [0 0 12].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_3(a: __m256i, b: __m256i, c: __m256i) -> [__m256i; WINDOW] {
    let minus = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_add_epi16(a, c));
    let four = _mm256_add_epi16(a, _mm256_slli_epi16::<2>(c));
    let twice = _mm256_add_epi16(b, b);
    [
        _mm256_mullo_epi16(a, _mm256_set1_epi16(6)),
        _mm256_slli_epi16::<2>(_mm256_sub_epi16(minus, b)),
        _mm256_slli_epi16::<2>(_mm256_add_epi16(minus, b)),
        _mm256_add_epi16(four, twice),
        _mm256_sub_epi16(four, twice),
        _mm256_mullo_epi16(c, _mm256_set1_epi16(12)),
    ]
}

/// Eight rows of eight 16-bit pairs: pair `k` of every row becomes result `k`.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(rows: [__m128i; HALF]) -> [__m128i; PAIRS] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let (a0, a1) = (_mm_unpacklo_epi16(r0, r1), _mm_unpackhi_epi16(r0, r1));
    let (a2, a3) = (_mm_unpacklo_epi16(r2, r3), _mm_unpackhi_epi16(r2, r3));
    let (a4, a5) = (_mm_unpacklo_epi16(r4, r5), _mm_unpackhi_epi16(r4, r5));
    let (a6, a7) = (_mm_unpacklo_epi16(r6, r7), _mm_unpackhi_epi16(r6, r7));
    let (b0, b1) = (_mm_unpacklo_epi32(a0, a2), _mm_unpackhi_epi32(a0, a2));
    let (b2, b3) = (_mm_unpacklo_epi32(a1, a3), _mm_unpackhi_epi32(a1, a3));
    let (b4, b5) = (_mm_unpacklo_epi32(a4, a6), _mm_unpackhi_epi32(a4, a6));
    let (b6, b7) = (_mm_unpacklo_epi32(a5, a7), _mm_unpackhi_epi32(a5, a7));
    [
        _mm_unpacklo_epi64(b0, b4),
        _mm_unpackhi_epi64(b0, b4),
        _mm_unpacklo_epi64(b1, b5),
        _mm_unpackhi_epi64(b1, b5),
        _mm_unpacklo_epi64(b2, b6),
        _mm_unpackhi_epi64(b2, b6),
        _mm_unpacklo_epi64(b3, b7),
        _mm_unpackhi_epi64(b3, b7),
    ]
}

/// Sixteen weights; zeros where there are none.
#[target_feature(enable = "avx2")]
#[inline]
fn load(weights: &[i8], at: usize) -> __m128i {
    match weights.get(at..).and_then(|weights| weights.first_chunk::<LANES>()) {
        // SAFETY: `values` is 16 readable bytes; the load needs no alignment.
        Some(values) => unsafe { _mm_loadu_si128(values.as_ptr().cast()) },
        None => _mm_setzero_si128(),
    }
}
