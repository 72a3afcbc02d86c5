//! Direct convolution: a tile is a pixel, its row the whole window in OHWI order.

use core::arch::x86_64::_mm256_loadu_si256;

use super::{Pixels, Tiles, Window};
use crate::kernels::tiled::{BLOCK, DIRECT, Form, LANES};
use crate::kernels::x86_64::patch_avx2;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct;

impl Tiles for Direct {
    const FORM: Form = DIRECT;
    const INVERSE: i32 = 1;
    const SHIFT: u32 = 0;

    #[inline(always)]
    unsafe fn input(window: &Window<'_>, to: *mut i16, _stride: usize) {
        let row = window.shape.patch_len().next_multiple_of(LANES);
        // SAFETY: the caller vouches for a row.
        let patch = unsafe { core::slice::from_raw_parts_mut(to, row) };
        // SAFETY: the caller vouches for AVX2.
        unsafe { patch_avx2::gather(window.shape, window.input, window.corner, patch) };
    }

    #[inline(always)]
    unsafe fn output(products: *const i32, _stride: usize, pixels: &mut Pixels) {
        // SAFETY: the caller vouches for sixteen products.
        unsafe {
            pixels[0][0] = _mm256_loadu_si256(products.cast());
            pixels[1][0] = _mm256_loadu_si256(products.add(BLOCK / 2).cast());
        }
    }
}
