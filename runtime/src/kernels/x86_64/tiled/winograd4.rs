//! F(4x4, 3x3): see [`crate::kernels::winograd4`] for the arithmetic.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256,
    _mm256_setzero_si256, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_storeu_si256,
    _mm256_sub_epi16, _mm256_sub_epi32,
};
use core::ops::Range;

use super::{Pixels, Tiles, Window, load, widen};
use crate::kernels::ConvShape;
use crate::kernels::tiled::{BLOCK, Form, LANES, WINOGRAD4};
use crate::kernels::winograd4::NINTH;

const WINDOW: usize = 6;
const TILE: usize = 4;
/// Output channels of one vector.
const HALF: usize = BLOCK / 2;

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
        stride: usize,
        to: &mut [i16],
    ) {
        // SAFETY: the caller vouches for AVX2.
        unsafe { transform_weights(shape, weights, oc, part, stride, to) }
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
    let mut rows = [[_mm256_setzero_si256(); WINDOW]; WINDOW];
    for x in 0..WINDOW {
        let column = transform_input([
            pixel(0, x),
            pixel(1, x),
            pixel(2, x),
            pixel(3, x),
            pixel(4, x),
            pixel(5, x),
        ]);
        for (row, value) in rows.iter_mut().zip(column) {
            row[x] = value;
        }
    }
    for (y, row) in rows.into_iter().enumerate() {
        for (x, value) in transform_input(row).into_iter().enumerate() {
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
        let mut rows = [[_mm256_setzero_si256(); WINDOW]; TILE];
        for x in 0..WINDOW {
            let column = transform([
                product(0, x),
                product(1, x),
                product(2, x),
                product(3, x),
                product(4, x),
                product(5, x),
            ]);
            for (row, value) in rows.iter_mut().zip(column) {
                row[x] = value;
            }
        }
        for (y, row) in rows.into_iter().enumerate() {
            for (x, value) in transform(row).into_iter().enumerate() {
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
    stride: usize,
    to: &mut [i16],
) {
    const TAPS: usize = 9;
    let in_c = shape.input[2];
    let pairs = part.len() / 2;
    let first = (oc * in_c + part.start * BLOCK) * TAPS;
    let Some(weights) = weights.get(first..first + pairs * TAPS * BLOCK * 2) else { return };
    if to.len() < 35 * stride + pairs * BLOCK * 2 || stride < pairs * BLOCK * 2 {
        return;
    }
    let to = to.as_mut_ptr();
    for (pair, taps) in weights.chunks_exact(TAPS * BLOCK * 2).enumerate() {
        for half in 0..2 {
            // SAFETY: nine taps of 32 weights are readable.
            let tap = |index: usize| unsafe {
                _mm256_cvtepi8_epi16(load(taps.as_ptr().add(index * BLOCK * 2 + half * LANES)))
            };
            let column = |x: usize| transform_filter(tap(x), tap(3 + x), tap(6 + x));
            let columns = column(0).into_iter().zip(column(1)).zip(column(2));
            for (y, ((left, middle), right)) in columns.enumerate() {
                for (x, value) in transform_filter(left, middle, right).into_iter().enumerate() {
                    let at = (y * WINDOW + x) * stride + pair * BLOCK * 2 + half * LANES;
                    // SAFETY: the position is less than 36 and the pair less than `pairs`, so the 32 bytes
                    // end within `to`.
                    unsafe { _mm256_storeu_si256(to.add(at).cast(), value) };
                }
            }
        }
    }
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
