//! F(2x2, 3x3): sixteen multiplications where direct convolution takes 36, on a quarter of the sum.
//!
//! `4 y = A^T [(G g G^T) . (B^T d B)] A` with |B^T d B| <= 512 and |G g G^T| <= 1,152.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_loadu_si256, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};

use super::{Pixels, Tiles, Window, widen};
use crate::kernels::tiled::{BLOCK, Form, LANES, WINOGRAD2};

const WINDOW: usize = 4;
const TILE: usize = 2;
/// Output channels of one vector.
const HALF: usize = BLOCK / 2;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd2;

impl Tiles for Winograd2 {
    const FORM: Form = WINOGRAD2;
    const INVERSE: i32 = 1;
    const SHIFT: u32 = 2;

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
/// `to` has room for a row at each of 16 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) {
    let mut pixels = [[core::ptr::null(); WINDOW]; WINDOW];
    for (y, row) in pixels.iter_mut().enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = window.pixel(y, x);
        }
    }
    for channel in (0..window.shape.input[2]).step_by(LANES) {
        let mut rows = [[_mm256_setzero_si256(); WINDOW]; WINDOW];
        for x in 0..WINDOW {
            // SAFETY: pixels and padding have all channels, in whole vectors.
            let column = pixels.map(|row| unsafe { widen(row[x].add(channel)) });
            for (row, value) in rows.iter_mut().zip(transform_input(column)) {
                row[x] = value;
            }
        }
        for (y, row) in rows.iter().enumerate() {
            for (x, value) in transform_input(*row).into_iter().enumerate() {
                let at = (y * WINDOW + x) * stride + channel;
                // SAFETY: the caller vouches for `to`; the store needs no alignment.
                unsafe { _mm256_storeu_si256(to.add(at).cast(), value) };
            }
        }
    }
}

/// The rows [1 0 -1 0] [0 1 1 0] [0 -1 1 0] [0 1 0 -1].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_input([d0, d1, d2, d3]: [__m256i; WINDOW]) -> [__m256i; WINDOW] {
    [
        _mm256_sub_epi16(d0, d2),
        _mm256_add_epi16(d1, d2),
        _mm256_sub_epi16(d2, d1),
        _mm256_sub_epi16(d1, d3),
    ]
}

/// `A^T m A`, eight output channels at a time.
///
/// # Safety
/// [`BLOCK`] products are readable at each of 16 positions, `stride` sums apart.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn output(products: *const i32, stride: usize, pixels: &mut Pixels) {
    for (half, pixels) in pixels.iter_mut().enumerate() {
        let mut rows = [[_mm256_setzero_si256(); WINDOW]; TILE];
        for x in 0..WINDOW {
            // SAFETY: the caller vouches for the products; the load needs no alignment.
            let column = core::array::from_fn(|y| unsafe {
                _mm256_loadu_si256(products.add((y * WINDOW + x) * stride + half * HALF).cast())
            });
            for (row, value) in rows.iter_mut().zip(transform_output(column)) {
                row[x] = value;
            }
        }
        for (y, row) in rows.iter().enumerate() {
            for (x, value) in transform_output(*row).into_iter().enumerate() {
                pixels[y * TILE + x] = value;
            }
        }
    }
}

/// The rows [1 1 1 0] [0 1 -1 -1].
#[target_feature(enable = "avx2")]
#[inline]
fn transform_output([m0, m1, m2, m3]: [__m256i; WINDOW]) -> [__m256i; TILE] {
    [_mm256_add_epi32(m0, _mm256_add_epi32(m1, m2)), _mm256_sub_epi32(_mm256_sub_epi32(m1, m2), m3)]
}
