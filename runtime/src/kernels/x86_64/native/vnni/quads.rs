//! Weights in OHWI order, turned into quads side by side while a layer runs, with the correction of their
//! sums in front.

use core::arch::x86_64::{
    __m512i, __mmask64, _mm512_dpbusd_epi32, _mm512_maskz_loadu_epi8, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

/// Sums that need not wait for each other.
const CHAINS: usize = 4;

/// The rows of [`BLOCK`] output channels, each of `len` weights, to their correction,
/// -128 times the sum of each row, and `[quad][channel][4]`; the last quad is filled up with zeros. `None` if
/// a slice is too short.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn turn(rows: &[i8], len: usize, to: &mut [u8]) -> Option<()> {
    let (correction, quads) = to.split_first_chunk_mut::<VECTOR>()?;
    if rows.len() / BLOCK < len || quads.len() / VECTOR < len.div_ceil(QUAD) {
        return None;
    }
    let zero = _mm512_setzero_si512();
    let mut sums = [zero; CHAINS];
    let (rows, quads) = (rows.as_ptr(), quads.as_mut_ptr());
    let mut first = 0;
    while first + VECTOR <= len {
        // SAFETY: a vector of each of sixteen rows is readable from `first` on, and sixteen quads are
        // writable.
        unsafe {
            let turned = transpose(load(rows.add(first), len, !0));
            store(turned, BLOCK, quads.add(first * BLOCK), &mut sums);
        }
        first += VECTOR;
    }
    if first < len {
        let rest = len - first;
        // SAFETY: `rest` weights of each row are readable from `first` on, and their quads writable.
        unsafe {
            let turned = transpose(load(rows.add(first), len, (1 << rest) - 1));
            store(turned, rest.div_ceil(QUAD), quads.add(first * BLOCK), &mut sums);
        }
    }
    let negative = sums.into_iter().fold(zero, |sum, part| _mm512_sub_epi32(sum, part));
    // SAFETY: `correction` is a vector; the store needs no alignment.
    unsafe { _mm512_storeu_si512(correction.as_mut_ptr().cast(), negative) };
    Some(())
}

/// The masked weights of sixteen rows, `len` apart; zeros in place of the others.
///
/// # Safety
/// The masked weights of each row are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn load(rows: *const i8, len: usize, mask: __mmask64) -> [__m512i; BLOCK] {
    let mut vectors = [_mm512_setzero_si512(); BLOCK];
    for (row, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the masked weights, and no others are read.
        *vector = unsafe { _mm512_maskz_loadu_epi8(mask, rows.add(row * len)) };
    }
    vectors
}

/// Stores `count` quads and adds 128 times their weights to the sums.
///
/// # Safety
/// `to` has room for them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn store(quads: [__m512i; BLOCK], count: usize, to: *mut u8, sums: &mut [__m512i; CHAINS]) {
    // A byte of 128, as it is unsigned here.
    let factor = _mm512_set1_epi8(-128);
    for (k, quad) in quads.into_iter().enumerate() {
        if k < count {
            sums[k % CHAINS] = _mm512_dpbusd_epi32(sums[k % CHAINS], factor, quad);
            // SAFETY: the caller vouches for `count` vectors; the store needs no alignment.
            unsafe { _mm512_storeu_si512(to.add(k * VECTOR).cast(), quad) };
        }
    }
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
