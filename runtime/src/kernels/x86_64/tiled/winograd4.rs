//! F(4x4, 3x3): see [`crate::kernels::winograd4`] for the arithmetic.

use core::arch::x86_64::{
    __m128i, __m256i, _MM_HINT_T0, _mm_prefetch, _mm_setzero_si128, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256, _mm256_slli_epi16,
    _mm256_slli_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};
use core::ops::Range;

use super::ohwi::{self, HALF, PAIRS};
use super::{Pixels, Tiles, Window, load, widen};
use crate::kernels::ConvShape;
use crate::kernels::tiled::{BLOCK, Form, LANES, WINOGRAD4};
use crate::kernels::winograd4::NINTH;

const WINDOW: usize = 6;
const TILE: usize = 4;
const POSITIONS: usize = WINDOW * WINDOW;
const TAPS: usize = 9;
/// Weights of a pair of values for a block of output channels.
const ROW: usize = BLOCK * 2;
/// Bytes of a line of the cache: OHWI weights are read in whole ones, since the rows of many networks lie
/// a power of two apart and would drive each other out of it.
const LINE: usize = 64;

/// With stored weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd4;

/// With weights that are transformed while the layer runs, from blocks of
/// `[pair of input channels][tap][output channel][2]`.
///
/// `G` is left without the factors 6, -4, -4, 1, 1, 12 of its rows, which the output's transform
/// applies instead: many weights meet few tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd4Int8;

/// The same from OHWI weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd4Ohwi;

impl Tiles for Winograd4 {
    const FORM: Form = WINOGRAD4;
    const INVERSE: i32 = NINTH;
    const SHIFT: u32 = 6;

    #[inline(always)]
    unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
        // SAFETY: the caller vouches for AVX2 and for `to`.
        unsafe { input(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
        // SAFETY: the caller vouches for AVX2 and for the products.
        unsafe { output(products, stride, pixels, |column| transform_output(column)) }
    }
}

impl Tiles for Winograd4Int8 {
    const FORM: Form = WINOGRAD4;
    const INVERSE: i32 = NINTH;
    const SHIFT: u32 = 6;

    #[inline(always)]
    unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
        // SAFETY: the caller vouches for AVX2 and for `to`.
        unsafe { input(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn weights(
        shape: &ConvShape,
        weights: &[i8],
        oc: usize,
        part: Range<usize>,
        to: &mut [i16],
    ) {
        // SAFETY: the caller vouches for AVX2.
        unsafe { transform_weights(shape, weights, oc, part, to) }
    }

    #[inline(always)]
    unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
        // SAFETY: the caller vouches for AVX2 and for the products.
        unsafe { output(products, stride, pixels, |column| transform_scaled_output(column)) }
    }
}

impl Tiles for Winograd4Ohwi {
    const FORM: Form = WINOGRAD4;
    const INVERSE: i32 = NINTH;
    const SHIFT: u32 = 6;

    #[inline(always)]
    unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
        // SAFETY: the caller vouches for AVX2 and for `to`.
        unsafe { input(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn weights(
        shape: &ConvShape,
        weights: &[i8],
        oc: usize,
        part: Range<usize>,
        to: &mut [i16],
    ) {
        // SAFETY: the caller vouches for AVX2.
        unsafe { transform_ohwi(shape, weights, oc, part, to) }
    }

    #[inline(always)]
    unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
        // SAFETY: the caller vouches for AVX2 and for the products.
        unsafe { output(products, stride, pixels, |column| transform_scaled_output(column)) }
    }
}

/// `B^T d B`, sixteen channels at a time.
///
/// # Safety
/// `to` has room for a row at each of 36 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
    let [_, in_w, in_c] = window.shape.input;
    if let Some(first) = window.inside(WINDOW) {
        let Some(pixels) = window.input.get(first..) else { return };
        let pixels = pixels.as_ptr();
        for channel in (0..in_c).step_by(LANES) {
            // SAFETY: the whole window is inside the input, and channels come in whole vectors.
            let pixel =
                |y: usize, x: usize| unsafe { widen(pixels.add((y * in_w + x) * in_c + channel)) };
            // SAFETY: the caller vouches for `to`.
            unsafe { transform_tile(pixel, to.add(channel), stride) };
        }
        return;
    }
    let mut pixels = [[core::ptr::null(); WINDOW]; WINDOW];
    for (y, row) in pixels.iter_mut().enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = window.pixel(y, x);
        }
    }
    for channel in (0..in_c).step_by(LANES) {
        // SAFETY: pixels and padding have `in_c` channels, in whole vectors.
        let pixel = |y: usize, x: usize| unsafe { widen(pixels[y][x].add(channel)) };
        // SAFETY: the caller vouches for `to`.
        unsafe { transform_tile(pixel, to.add(channel), stride) };
    }
}

/// # Safety
/// `to` has room for sixteen values at each of 36 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn transform_tile(
    pixel: impl Fn(usize, usize) -> __m256i,
    to: *mut i16,
    stride: usize,
) {
    let column = |x| {
        let pixel = |y| pixel(y, x);
        transform_input([pixel(0), pixel(1), pixel(2), pixel(3), pixel(4), pixel(5)])
    };
    let columns = [column(0), column(1), column(2), column(3), column(4), column(5)];
    let row = |y: usize| {
        let at = |x: usize| columns[x][y];
        transform_input([at(0), at(1), at(2), at(3), at(4), at(5)])
    };
    for y in 0..WINDOW {
        for (x, &value) in row(y).iter().enumerate() {
            // SAFETY: the caller vouches for the positions; the store needs no alignment.
            unsafe { _mm256_storeu_si256(to.add((y * WINDOW + x) * stride).cast(), value) };
        }
    }
}

/// The rows [4 0 -5 0 1 0] [0 -4 -4 1 1 0] [0 4 -4 -1 1 0] [0 -2 -1 2 1 0] [0 2 -1 -2 1 0]
/// [0 4 0 -5 0 1].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_input([d0, d1, d2, d3, d4, d5]: [__m256i; WINDOW]) -> [__m256i; WINDOW] {
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

/// `A^T m A`, eight output channels at a time.
///
/// # Safety
/// [`BLOCK`] products are readable at each of 36 positions, `stride` sums apart.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn output(
    products: *const i32,
    stride: usize,
    pixels: &mut Pixels,
    transform: impl Fn([__m256i; WINDOW]) -> [__m256i; TILE],
) {
    for (half, pixels) in pixels.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the products; the load needs no alignment.
        let product = |y: usize, x: usize| unsafe {
            _mm256_loadu_si256(products.add((y * WINDOW + x) * stride + half * HALF).cast())
        };
        let column = |x| {
            let product = |y| product(y, x);
            let column = [product(0), product(1), product(2), product(3), product(4), product(5)];
            transform(column)
        };
        let columns = [column(0), column(1), column(2), column(3), column(4), column(5)];
        for y in 0..TILE {
            let at = |x: usize| columns[x][y];
            let row = transform([at(0), at(1), at(2), at(3), at(4), at(5)]);
            for (x, &value) in row.iter().enumerate() {
                pixels[y * TILE + x] = value;
            }
        }
    }
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 0] [0 1 -1 8 -8 2].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_output([m0, m1, m2, m3, m4, m5]: [__m256i; WINDOW]) -> [__m256i; TILE] {
    let (near, near_odd) = (_mm256_add_epi32(m1, m2), _mm256_sub_epi32(m1, m2));
    let (far, far_odd) = (_mm256_add_epi32(m3, m4), _mm256_sub_epi32(m3, m4));
    let infinity = _mm256_add_epi32(m5, m5);
    [
        _mm256_add_epi32(m0, _mm256_add_epi32(near, far)),
        _mm256_add_epi32(near_odd, _mm256_slli_epi32::<1>(far_odd)),
        _mm256_add_epi32(near, _mm256_slli_epi32::<2>(far)),
        _mm256_add_epi32(_mm256_add_epi32(near_odd, infinity), _mm256_slli_epi32::<3>(far_odd)),
    ]
}

/// The same with the columns times 6, -4, -4, 1, 1, 12.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_scaled_output([m0, m1, m2, m3, m4, m5]: [__m256i; WINDOW]) -> [__m256i; TILE] {
    let near = _mm256_slli_epi32::<2>(_mm256_add_epi32(m1, m2));
    let near_odd = _mm256_slli_epi32::<2>(_mm256_sub_epi32(m1, m2));
    let (far, far_odd) = (_mm256_add_epi32(m3, m4), _mm256_sub_epi32(m3, m4));
    let six = |m| _mm256_add_epi32(_mm256_slli_epi32::<2>(m), _mm256_slli_epi32::<1>(m));
    let infinity = _mm256_slli_epi32::<2>(six(m5));
    [
        _mm256_add_epi32(six(m0), _mm256_sub_epi32(far, near)),
        _mm256_sub_epi32(_mm256_slli_epi32::<1>(far_odd), near_odd),
        _mm256_sub_epi32(_mm256_slli_epi32::<2>(far), near),
        _mm256_add_epi32(_mm256_sub_epi32(infinity, near_odd), _mm256_slli_epi32::<3>(far_odd)),
    ]
}

/// `G g G^T` without the factors of `G`, eight output channels and a pair of input channels at a time.
#[target_feature(enable = "avx2")]
fn transform_weights(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    part: Range<usize>,
    to: &mut [i16],
) {
    // Pairs from the one that is transformed to the one that is fetched: into the next part.
    const AHEAD: usize = 16;
    let first = (oc * shape.input[2] + part.start * BLOCK) * TAPS;
    let Some(weights) = weights.get(first..) else { return };
    let filters = weights.chunks_exact(TAPS * ROW).zip(to.chunks_exact_mut(POSITIONS * ROW));
    for (taps, to) in filters.take(part.len() / 2) {
        let to = to.as_mut_ptr();
        for line in (0..TAPS * ROW).step_by(LINE) {
            // A hint may name any address: behind the last weights as well.
            _mm_prefetch::<_MM_HINT_T0>(taps.as_ptr().wrapping_add(AHEAD * TAPS * ROW + line));
        }
        for half in 0..2 {
            // SAFETY: nine rows of 32 weights are readable, and 36 rows of 32 values writable.
            unsafe {
                let tap = |index: usize| widen(taps.as_ptr().add(index * ROW + half * LANES));
                transform_vector(tap, to.add(half * LANES));
            }
        }
    }
}

/// The same from OHWI weights.
#[target_feature(enable = "avx2")]
fn transform_ohwi(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    part: Range<usize>,
    to: &mut [i16],
) {
    let in_c = shape.input[2];
    let weights = weights.get(oc * TAPS * in_c..).unwrap_or_default();
    if weights.len() < BLOCK * TAPS * in_c || part.end > in_c {
        return;
    }
    for first in part.clone().step_by(LINE) {
        let vectors = LINE.min(part.end - first) / LANES;
        for half in 0..2 {
            let mut taps = [[[_mm_setzero_si128(); PAIRS]; LINE / LANES]; TAPS];
            for (tap, taps) in taps.iter_mut().enumerate() {
                for (vector, pairs) in taps.iter_mut().take(vectors).enumerate() {
                    let row = |row: usize| {
                        let filter = (half * HALF + row) * TAPS + tap;
                        let at = filter * in_c + first + vector * LANES;
                        // SAFETY: the filter is one of the block's and the sixteen channels are some of
                        // its own, all of which are there.
                        unsafe { load(weights.as_ptr().add(at)) }
                    };
                    let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
                    *pairs = ohwi::transpose(rows);
                }
            }
            let to = to.get_mut((first - part.start) / 2 * POSITIONS * ROW..).unwrap_or_default();
            let to = to.chunks_exact_mut(POSITIONS * ROW).take(vectors * PAIRS);
            for (pair, to) in to.enumerate() {
                let tap = |tap: usize| {
                    let taps: &[[__m128i; PAIRS]] = &taps[tap];
                    _mm256_cvtepi8_epi16(taps[pair / PAIRS][pair % PAIRS])
                };
                // SAFETY: 36 rows of 32 values are writable.
                unsafe { transform_vector(tap, to.as_mut_ptr().add(half * LANES)) };
            }
        }
    }
}

/// Transforms sixteen filters, and writes their positions [`ROW`] values apart.
///
/// # Safety
/// Sixteen values are writable at each of 36 positions.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn transform_vector(tap: impl Fn(usize) -> __m256i, to: *mut i16) {
    let rows = transform_columns(
        [tap(0), tap(1), tap(2)],
        [tap(3), tap(4), tap(5)],
        [tap(6), tap(7), tap(8)],
    );
    for (y, &[left, middle, right]) in rows.iter().enumerate() {
        for (x, &value) in transform_filter(left, middle, right).iter().enumerate() {
            // SAFETY: the caller vouches for the position; the store needs no alignment.
            unsafe { _mm256_storeu_si256(to.add((y * WINDOW + x) * ROW).cast(), value) };
        }
    }
}

/// [`transform_filter`] of three columns, given by rows.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_columns(a: [__m256i; 3], b: [__m256i; 3], c: [__m256i; 3]) -> [[__m256i; 3]; WINDOW] {
    let [x, y, z] = [
        transform_filter(a[0], b[0], c[0]),
        transform_filter(a[1], b[1], c[1]),
        transform_filter(a[2], b[2], c[2]),
    ];
    let row = |at: usize| [x[at], y[at], z[at]];
    [row(0), row(1), row(2), row(3), row(4), row(5)]
}

/// The rows [1 0 0] [1 1 1] [1 -1 1] [1 2 4] [1 -2 4] [0 0 1].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_filter(a: __m256i, b: __m256i, c: __m256i) -> [__m256i; WINDOW] {
    let near = _mm256_add_epi16(a, c);
    let far = _mm256_add_epi16(a, _mm256_slli_epi16::<2>(c));
    let twice = _mm256_add_epi16(b, b);
    [
        a,
        _mm256_add_epi16(near, b),
        _mm256_sub_epi16(near, b),
        _mm256_add_epi16(far, twice),
        _mm256_sub_epi16(far, twice),
        c,
    ]
}
