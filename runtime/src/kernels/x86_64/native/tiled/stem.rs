//! 7x7 at stride 2 over three channels as 4x4 at stride 1 over twelve: 2x2 pixels of the input are one
//! pixel, `[row][column][channel]`, and the eighth tap of each axis is 0. Then F(3x3, 4x4), whose windows
//! and points are those of F(4x4, 3x3): 36 multiplications where 4x4 windows take 144.
//!
//! `576 y = A^T [(G g G^T) . (B^T d B)] A` with |B^T d B| <= 12,800 and |G g G^T| <= 32,768, of which
//! only the negative end is reached.

use core::arch::x86_64::{
    __m128i, _mm_loadl_epi64, _mm_setr_epi8, _mm_shuffle_epi8, _mm_unpacklo_epi64,
};
use core::ops::Range;

use super::avx2::Words256;
use super::transform::{self, Output, Outputs};
use super::vector::{Sums, Vectors};
use super::window::Pixels;
use super::winograd4::Winograd4;
use super::{Tiles, Window};
use crate::kernels::ConvShape;
use crate::kernels::winograd4::INVERSE_OF_9;
use crate::kernels::x86_64::tiled::{Algorithm, BLOCK, STEM};

/// Pixels of twelve channels on a side of a window, and of the input.
const WINDOW: usize = 6;
const EXTENT: usize = 2 * WINDOW;
const TILE: usize = 3;
const POSITIONS: usize = WINDOW * WINDOW;
/// Rows and columns of the window in the input, and its elements.
const KERNEL: usize = 7;
const TAPS: usize = KERNEL * KERNEL * CHANNELS;
/// Channels of the input.
const CHANNELS: usize = 3;
/// A copied row of the window, with room for a load of eight bytes at its end.
const COPIED_ROW: usize = EXTENT * CHANNELS + 4;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stem;

impl Tiles for Stem {
    const ALGORITHM: Algorithm = STEM;
    const INVERSE: i32 = INVERSE_OF_9;
    const SHIFT: u32 = 6;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()> {
        // SAFETY: the caller vouches for AVX2 and for `to`.
        unsafe { input(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>) {
        // SAFETY: the caller vouches for AVX2 and for the products.
        unsafe { transform::output::<WINDOW, TILE, S, Stem>(products, stride, outputs) }
    }
}

/// `G g G^T` of OHWI weights: a [`Transform`](super::driver::Transform), of all twelve channels.
#[target_feature(enable = "avx2")]
pub(super) fn from_ohwi(
    _shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    _part: Range<usize>,
    to: &mut [i16],
) -> Option<()> {
    let rows = weights.get(oc * TAPS..)?.first_chunk()?;
    let to = to.get_mut(..CHANNELS * 2 * POSITIONS * 2 * BLOCK)?;
    for (pair, to) in to.chunks_exact_mut(POSITIONS * 2 * BLOCK).enumerate() {
        let even = transform_channel(rows, 2 * pair);
        let odd = transform_channel(rows, 2 * pair + 1);
        for ((even, odd), to) in even.iter().zip(&odd).zip(to.chunks_exact_mut(2 * BLOCK)) {
            for (to, (&even, &odd)) in to.chunks_exact_mut(2).zip(even.iter().zip(odd)) {
                to.copy_from_slice(&[even, odd]);
            }
        }
    }
    Some(())
}

/// The transformed weights of one of twelve channels: `[position][output channel]`.
#[target_feature(enable = "avx2")]
fn transform_channel(rows: &[i8; BLOCK * TAPS], channel: usize) -> [[i16; BLOCK]; POSITIONS] {
    let (first_y, first_x) = (channel / (2 * CHANNELS), channel / CHANNELS % 2);
    let tap = |y: usize, x: usize| -> [i16; BLOCK] {
        let (y, x) = (2 * y + first_y, 2 * x + first_x);
        core::array::from_fn(|oc| {
            let at = oc * TAPS + (y * KERNEL + x) * CHANNELS + channel % CHANNELS;
            let inside = y < KERNEL && x < KERNEL;
            if inside { rows[at].into() } else { 0 }
        })
    };
    let mut left = [[[0; BLOCK]; 4]; WINDOW];
    for x in 0..4 {
        let column = transform_filter([tap(0, x), tap(1, x), tap(2, x), tap(3, x)]);
        for (row, value) in left.iter_mut().zip(column) {
            row[x] = value;
        }
    }
    let mut transformed = [[0; BLOCK]; POSITIONS];
    for (to, &row) in transformed.chunks_exact_mut(WINDOW).zip(&left) {
        to.copy_from_slice(&transform_filter(row));
    }
    transformed
}

/// The rows [6 0 0 0] [-4 -4 -4 -4] [-4 4 -4 4] [1 2 4 8] [1 -2 4 -8] [0 0 0 12] of some output channels.
#[target_feature(enable = "avx2")]
fn transform_filter([a, b, c, d]: [[i16; BLOCK]; 4]) -> [[i16; BLOCK]; WINDOW] {
    let mut rows = [[0; BLOCK]; WINDOW];
    for oc in 0..BLOCK {
        let (a, b, c, d) = (a[oc], b[oc], c[oc], d[oc]);
        let near = a + c;
        let near_odd = b + d;
        let far = a + 4 * c;
        let far_odd = 2 * b + 8 * d;
        rows[0][oc] = 6 * a;
        rows[1][oc] = -4 * (near + near_odd);
        rows[2][oc] = 4 * (near_odd - near);
        rows[3][oc] = far + far_odd;
        rows[4][oc] = far - far_odd;
        rows[5][oc] = 12 * d;
    }
    rows
}

/// # Safety
/// `to` has room for sixteen values at each of 36 positions, `stride` values apart.
#[target_feature(enable = "avx2")]
unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()> {
    let row = window.shape.input[1] * CHANNELS;
    // The last load of eight bytes begins two pixels before the window's end.
    let last = (EXTENT - 1) * row + (EXTENT - 2) * CHANNELS + 8;
    let inside = window.inside(EXTENT).and_then(|first| window.input.get(first..)?.get(..last));
    if let Some(pixels) = inside {
        // SAFETY: all rows and loads of the window end at or before `last`.
        unsafe { transform(pixels.as_ptr(), row, to, stride) };
        return Some(());
    }
    let copied = copy(window)?;
    // SAFETY: the copy has room for the loads.
    unsafe { transform(copied.as_ptr().cast(), COPIED_ROW, to, stride) };
    Some(())
}

/// # Safety
/// `pixels` points to the input's part of a window, rows `row` bytes apart, with two bytes behind the
/// last; `to` is as for [`input`].
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn transform(pixels: *const i8, row: usize, to: *mut i16, stride: usize) {
    let order = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1);
    let pixels = Folded { pixels, row, order };
    // SAFETY: the caller vouches for the pixels and for `to`.
    unsafe { super::transform::tile::<WINDOW, Words256, Winograd4>(&pixels, 0, to, stride) };
}

/// 2x2 pixels as one of twelve channels.
struct Folded {
    pixels: *const i8,
    row: usize,
    /// Brings twice six of eight bytes together.
    order: __m128i,
}

impl Pixels<Words256> for Folded {
    #[inline(always)]
    unsafe fn read(&self, y: usize, x: usize, _channel: usize) -> Words256 {
        // SAFETY: the caller vouches for the instructions and for eight bytes at either row.
        unsafe {
            let from = self.pixels.add(2 * y * self.row + 2 * x * CHANNELS);
            let (upper, lower) =
                (_mm_loadl_epi64(from.cast()), _mm_loadl_epi64(from.add(self.row).cast()));
            Words256::widen_sixteen(_mm_shuffle_epi8(_mm_unpacklo_epi64(upper, lower), self.order))
        }
    }
}

/// The window of a tile at the border, with its padding.
fn copy(window: &Window<'_>) -> Option<[[i8; COPIED_ROW]; EXTENT]> {
    let [in_h, in_w, _] = window.shape.input;
    let (top, left) = (window.corner.0 * 2, window.corner.1 * 2);
    let [pad_top, pad_left, ..] = window.shape.pads;
    let mut copied = [[window.shape.input_zero_point; COPIED_ROW]; EXTENT];
    // Columns of the window that are in the input.
    let first = pad_left.saturating_sub(left).min(EXTENT);
    let end = (in_w + pad_left).saturating_sub(left).min(EXTENT);
    if first >= end {
        return Some(copied);
    }
    for (y, to) in copied.iter_mut().enumerate() {
        let Some(y) = (top + y).checked_sub(pad_top).filter(|&y| y < in_h) else { continue };
        let to = to.get_mut(first * CHANNELS..end * CHANNELS)?;
        let from = (y * in_w + left + first - pad_left) * CHANNELS;
        to.copy_from_slice(window.input.get(from..from + to.len())?);
    }
    Some(copied)
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 2].
impl Output<WINDOW, TILE> for Stem {
    #[inline(always)]
    fn axis<S: Sums>([m0, m1, m2, m3, m4, m5]: [S; WINDOW]) -> [S; TILE] {
        let (near, near_odd) = (m1 + m2, m1 - m2);
        let (far, far_odd) = (m3 + m4, m3 - m4);
        [m0 + (near + far), near_odd + far_odd.twice(), near + (far.times4() + m5.twice())]
    }
}
