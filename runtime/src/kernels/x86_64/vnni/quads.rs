//! Weights in OHWI order, turned into quads side by side while a layer runs, with the correction of their
//! sums in front.

use core::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use crate::kernels::vnni::{BLOCK, QUAD, VECTOR};

/// The rows of [`BLOCK`] output channels, each of `len` weights, to their correction,
/// -128 times the sum of each row, and `[quad][channel][4]`; the last quad is filled up with zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn turn(rows: &[i8], len: usize, to: &mut [u8]) {
    let Some((correction, quads)) = to.split_first_chunk_mut::<VECTOR>() else { return };
    if rows.len() < len * BLOCK || quads.len() < len.div_ceil(QUAD) * VECTOR {
        return;
    }
    let ones = _mm512_set1_epi8(-128);
    let mut sums = _mm512_setzero_si512();
    for first in (0..len).step_by(VECTOR) {
        let row = |row: usize| load(&rows[row * len + first..(row + 1) * len]);
        let quads = quads[first * BLOCK..].chunks_exact_mut(VECTOR);
        let turned = transpose(core::array::from_fn(row));
        for (to, quad) in quads.zip(turned).take((len - first).div_ceil(QUAD)) {
            // A byte of 128 is unsigned here.
            sums = _mm512_dpbusd_epi32(sums, ones, quad);
            // SAFETY: `to` is a vector; the store needs no alignment.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), quad) };
        }
    }
    let negative = _mm512_sub_epi32(_mm512_setzero_si512(), sums);
    // SAFETY: `correction` is a vector; the store needs no alignment.
    unsafe { _mm512_storeu_si512(correction.as_mut_ptr().cast(), negative) };
}

/// The first 64 weights; zeros behind the last.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn load(weights: &[i8]) -> __m512i {
    let from = weights.as_ptr();
    if weights.len() >= VECTOR {
        // SAFETY: a vector of weights is readable; the load needs no alignment.
        return unsafe { _mm512_loadu_si512(from.cast()) };
    }
    // SAFETY: the load reads as many weights as there are.
    unsafe { _mm512_maskz_loadu_epi8((1 << weights.len()) - 1, from) }
}

/// Sixteen rows of sixteen quads: quad `k` of every row becomes result `k`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn transpose(rows: [__m512i; BLOCK]) -> [__m512i; BLOCK] {
    let mut pairs = rows;
    for i in (0..BLOCK).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Lane `l` of vector `4 g + k`: quad `4 l + k` of rows `4 g` to `4 g + 3`.
    let mut fours = pairs;
    for i in (0..BLOCK).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    // Lanes are transposed: four groups of rows of each quad.
    let mut turned = fours;
    for k in 0..4 {
        let (a, b, c, d) = (fours[k], fours[4 + k], fours[8 + k], fours[12 + k]);
        let (low_ab, high_ab) = (
            _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b),
        );
        let (low_cd, high_cd) = (
            _mm512_shuffle_i32x4::<0b01_00_01_00>(c, d),
            _mm512_shuffle_i32x4::<0b11_10_11_10>(c, d),
        );
        turned[k] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_ab, low_cd);
        turned[4 + k] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_ab, low_cd);
        turned[8 + k] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high_ab, high_cd);
        turned[12 + k] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high_ab, high_cd);
    }
    turned
}
