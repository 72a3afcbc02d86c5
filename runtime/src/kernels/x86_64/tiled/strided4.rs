//! F(4x4, 3x3) at stride 2: on each axis the even pixels meet two taps and the odd ones one, so a tile of
//! four pixels takes the five products of F(4, 2) at the points 0, 1, -1, 2, infinity, and four of the
//! middle tap: 81 multiplications where direct convolution takes 144.
//!
//! `36 y = A^T [(G g G^T) . (B^T d B)] A` with |B^T d B| <= 4,608 and |G g G^T| <= 4,608. On an axis,
//! positions 0 to 4 are those of the points and 5 to 8 those of the odd pixels, which share one weight.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_loadu_si256, _mm256_slli_epi32,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};

use super::{Pixels, Tiles, Window, widen};
use crate::kernels::tiled::{BLOCK, Form, LANES, STRIDED4};
use crate::kernels::winograd4::NINTH;

const WINDOW: usize = 9;
const TILE: usize = 4;
/// Transformed weights on an axis.
const FILTERS: usize = 6;
/// Output channels of one vector.
const HALF: usize = BLOCK / 2;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strided4;

impl Tiles for Strided4 {
    const FORM: Form = STRIDED4;
    const INVERSE: i32 = NINTH;
    const SHIFT: u32 = 2;

    #[inline(always)]
    fn filter(position: usize) -> usize {
        let on_axis = |position: usize| position.min(FILTERS - 1);
        on_axis(position / WINDOW) * FILTERS + on_axis(position % WINDOW)
    }

    #[inline(always)]
    unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
        // SAFETY: the caller vouches for AVX2 and for `to`.
        unsafe { input(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
        // SAFETY: the caller vouches for AVX2 and for the products.
        unsafe { output(products, stride, pixels) }
    }
}

/// `B^T d B`, sixteen channels at a time.
///
/// # Safety
/// `to` has room for a row at each of 81 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
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
/// `to` has room for sixteen values at each of 81 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn transform_tile(pixel: impl Fn(usize, usize) -> __m256i, to: *mut i16, stride: usize) {
    let column = |x| {
        let at = |y| pixel(y, x);
        transform_input([at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)])
    };
    let columns = [
        column(0),
        column(1),
        column(2),
        column(3),
        column(4),
        column(5),
        column(6),
        column(7),
        column(8),
    ];
    let row = |y: usize| {
        let at = |x: usize| columns[x][y];
        transform_input([at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)])
    };
    for y in 0..WINDOW {
        for (x, &value) in row(y).iter().enumerate() {
            // SAFETY: the caller vouches for the positions; the store needs no alignment.
            unsafe { _mm256_storeu_si256(to.add((y * WINDOW + x) * stride).cast(), value) };
        }
    }
}

/// The rows [2 -1 -2 1 0] [0 -2 -1 1 0] [0 2 -3 1 0] [0 -1 0 1 0] [0 2 -1 -2 1] over the even pixels,
/// and the odd ones.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_input(
    [d0, odd0, d1, odd1, d2, odd2, d3, odd3, d4]: [__m256i; WINDOW],
) -> [__m256i; WINDOW] {
    let twice = |d| _mm256_add_epi16(d, d);
    let d3_d1 = _mm256_sub_epi16(d3, d1);
    let d3_d2 = _mm256_sub_epi16(d3, d2);
    [
        _mm256_add_epi16(twice(_mm256_sub_epi16(d0, d2)), d3_d1),
        _mm256_sub_epi16(d3_d2, twice(d1)),
        _mm256_add_epi16(d3_d2, twice(_mm256_sub_epi16(d1, d2))),
        d3_d1,
        _mm256_sub_epi16(_mm256_sub_epi16(d4, d2), twice(d3_d1)),
        odd0,
        odd1,
        odd2,
        odd3,
    ]
}

/// `A^T m A`, eight output channels at a time.
///
/// # Safety
/// [`BLOCK`] products are readable at each of 81 positions, `stride` sums apart.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
    for (half, pixels) in pixels.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the products; the load needs no alignment.
        let product = |y: usize, x: usize| unsafe {
            _mm256_loadu_si256(products.add((y * WINDOW + x) * stride + half * HALF).cast())
        };
        let column = |x| {
            let at = |y| product(y, x);
            transform_output([at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)])
        };
        let columns = [
            column(0),
            column(1),
            column(2),
            column(3),
            column(4),
            column(5),
            column(6),
            column(7),
            column(8),
        ];
        for y in 0..TILE {
            let at = |x: usize| columns[x][y];
            let row = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)];
            for (x, &value) in transform_output(row).iter().enumerate() {
                pixels[y * TILE + x] = value;
            }
        }
    }
}

/// The rows [1 1 1 1 0] [0 1 -1 2 0] [0 1 1 4 0] [0 1 -1 8 1] over the points, plus six times the products
/// of the odd pixels, whose weights have the factor.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_output(
    [m0, m1, m2, m3, m4, odd0, odd1, odd2, odd3]: [__m256i; WINDOW],
) -> [__m256i; TILE] {
    let (near, near_odd) = (_mm256_add_epi32(m1, m2), _mm256_sub_epi32(m1, m2));
    let sum = |a, b, c| _mm256_add_epi32(_mm256_add_epi32(a, b), c);
    [
        _mm256_add_epi32(sum(m0, near, m3), odd0),
        sum(near_odd, _mm256_slli_epi32::<1>(m3), odd1),
        sum(near, _mm256_slli_epi32::<2>(m3), odd2),
        _mm256_add_epi32(sum(near_odd, _mm256_slli_epi32::<3>(m3), m4), odd3),
    ]
}
