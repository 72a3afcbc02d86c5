//! `B^T d B`: a window of 6x6 pixels, sixteen channels at a time.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_cvtepi8_epi16, _mm256_set1_epi16,
    _mm256_setzero_si256, _mm256_slli_epi16, _mm256_storeu_si256, _mm256_sub_epi16,
};

use super::LANES;
use crate::kernels::ConvShape;
use crate::kernels::winograd4::{WINDOW, window};

/// Transforms the window of the tile whose first output pixel is `corner` (row, column) and writes it
/// as tile number `tile` of each position; positions are `stride` elements apart.
#[target_feature(enable = "avx2")]
pub(super) fn transform(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    tile: usize,
    stride: usize,
    to: &mut [i16],
) {
    let in_c = shape.input[2];
    let zero_point = _mm256_set1_epi16(i16::from(shape.input_zero_point));
    let pixels = window(shape, corner);
    for channel in (0..in_c).step_by(LANES) {
        let mut rows = [[_mm256_setzero_si256(); WINDOW]; WINDOW];
        for x in 0..WINDOW {
            let column = pixels.map(|row| match row[x] {
                Some(at) => load(input, at + channel).unwrap_or(zero_point),
                None => zero_point,
            });
            for (row, value) in rows.iter_mut().zip(transform_6(column)) {
                row[x] = value;
            }
        }
        let at = tile * in_c + channel;
        for (y, row) in rows.into_iter().enumerate() {
            for (x, value) in transform_6(row).into_iter().enumerate() {
                store(to, (y * WINDOW + x) * stride + at, value);
            }
        }
    }
}

/// The rows [4 0 -5 0 1 0] [0 -4 -4 1 1 0] [0 4 -4 -1 1 0] [0 -2 -1 2 1 0] [0 2 -1 -2 1 0]
/// [0 4 0 -5 0 1].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_6([d0, d1, d2, d3, d4, d5]: [__m256i; WINDOW]) -> [__m256i; WINDOW] {
    let d4_d2 = _mm256_sub_epi16(d4, d2);
    let d3_d1 = _mm256_sub_epi16(d3, d1);
    let twice = _mm256_add_epi16(d3_d1, d3_d1);
    let even = _mm256_sub_epi16(d4, _mm256_slli_epi16::<2>(d2));
    let odd = _mm256_sub_epi16(d3, _mm256_slli_epi16::<2>(d1));
    let d0_d2 = _mm256_sub_epi16(d0, d2);
    let d5_d3 = _mm256_sub_epi16(d5, d3);
    [
        _mm256_add_epi16(_mm256_slli_epi16::<2>(d0_d2), d4_d2),
        _mm256_add_epi16(even, odd),
        _mm256_sub_epi16(even, odd),
        _mm256_add_epi16(d4_d2, twice),
        _mm256_sub_epi16(d4_d2, twice),
        _mm256_sub_epi16(d5_d3, _mm256_add_epi16(twice, twice)),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(input: &[i8], at: usize) -> Option<__m256i> {
    let values = input.get(at..)?.first_chunk::<LANES>()?;
    // SAFETY: `values` is 16 readable bytes; the load needs no alignment.
    Some(_mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(values.as_ptr().cast()) }))
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [i16], at: usize, value: __m256i) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<LANES>()) {
        // SAFETY: `to` is 32 writable bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) };
    }
}
