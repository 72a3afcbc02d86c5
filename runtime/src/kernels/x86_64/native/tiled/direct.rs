//! Direct convolution: a tile is a pixel, its row the whole window in OHWI order.

use core::ops::Range;

use super::transform::Outputs;
use super::vector::{Sums, Vectors};
use super::{Tiles, Window, ohwi};
use crate::kernels::ConvShape;
use crate::kernels::x86_64::native::patch_avx2;
use crate::kernels::x86_64::tiled::{Algorithm, BLOCK, DIRECT, LANES};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct;

impl Tiles for Direct {
    const ALGORITHM: Algorithm = DIRECT;
    const INVERSE: i32 = 1;
    const SHIFT: u32 = 0;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, _stride: usize) -> Option<()> {
        let row = window.shape.patch_len().next_multiple_of(LANES);
        // SAFETY: the caller vouches for a row and sixteen values.
        let patch = unsafe { core::slice::from_raw_parts_mut(to, row + LANES) };
        // SAFETY: the caller vouches for AVX2.
        unsafe { patch_avx2::gather(window.shape, window.input, window.corner, patch) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, _stride: usize, outputs: &mut Outputs<S>) {
        for (vector, outputs) in outputs.iter_mut().take(BLOCK / S::LANES).enumerate() {
            // SAFETY: the caller vouches for the instructions and for sixteen products.
            outputs[0] = unsafe { S::load(products.add(vector * S::LANES)) };
        }
    }
}

/// A [`Transform`](super::driver::Transform) of OHWI weights, whole rows of them.
#[target_feature(enable = "avx2")]
pub(super) fn from_ohwi(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    _part: Range<usize>,
    to: &mut [i16],
) -> Option<()> {
    let len = shape.patch_len();
    ohwi::pairs(weights.get(oc * len..)?, len, to)
}
