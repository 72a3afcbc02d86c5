//! Transforms of tiles on both axes: a form says what happens on one.

use super::avx2::Words256;
use super::vector::{Sums, Vector, Vectors, Words};
use super::window::{Inside, Pixels, Window};
use crate::kernels::x86_64::tiled::{BLOCK, LANES};

/// Most output pixels of a tile.
pub(super) const MAX_PIXELS: usize = 16;

/// Sums of a tile's pixels for a block of output channels, in one vector or two.
pub(super) type Outputs<S> = [[S; MAX_PIXELS]; 2];

/// `B^T d` of a window of `N` pixels on a side.
pub(super) trait Input<const N: usize> {
    fn axis<W: Words>(pixels: [W; N]) -> [W; N];
}

/// `A^T m` of `N` positions on a side to `M` pixels.
pub(super) trait Output<const N: usize, const M: usize> {
    fn axis<S: Sums>(products: [S; N]) -> [S; M];
}

/// `B^T d B` of all channels of a window, in multiples of [`LANES`].
///
/// # Safety
/// The CPU has the instructions, and `to` has room for a row at each of `N * N` positions, `stride` values
/// apart.
#[inline(always)]
pub(super) unsafe fn input<const N: usize, V: Vectors, F: Input<N>>(
    window: &Window<'_>,
    to: *mut i16,
    stride: usize,
) -> Option<()> {
    let [_, in_w, in_c] = window.shape.input;
    if let Some(first) = window.inside(N) {
        let pixels = window.input.get(first..)?;
        let pixels = Inside { first: pixels.as_ptr(), row: in_w * in_c, pixel: in_c };
        // SAFETY: the whole window is inside the input; the caller vouches for the rest.
        unsafe { channels::<N, V, F>(&pixels, in_c, to, stride) };
    } else {
        // SAFETY: pixels and padding have `in_c` channels; the caller vouches for the rest.
        unsafe { channels::<N, V, F>(&window.pixels::<N>(), in_c, to, stride) };
    }
    Some(())
}

/// # Safety
/// As for [`input`]; the pixels have `in_c` channels.
#[inline(always)]
unsafe fn channels<const N: usize, V: Vectors, F: Input<N>>(
    pixels: &(impl Pixels<V::Words> + Pixels<Words256>),
    in_c: usize,
    to: *mut i16,
    stride: usize,
) {
    let mut channel = 0;
    while channel + V::Words::LANES <= in_c {
        // SAFETY: these channels are there, in the pixels and in a row.
        unsafe { tile::<N, V::Words, F>(pixels, channel, to.add(channel), stride) };
        channel += V::Words::LANES;
    }
    if V::Words::LANES > LANES && channel + LANES <= in_c {
        // SAFETY: the same of half a vector.
        unsafe { tile::<N, Words256, F>(pixels, channel, to.add(channel), stride) };
    }
}

/// `B^T d B` of a vector of channels from `channel`.
///
/// # Safety
/// The CPU has the instructions, the pixels have the channels, and `to` has room for them at each of
/// `N * N` positions, `stride` values apart.
#[inline(always)]
pub(super) unsafe fn tile<const N: usize, W: Words, F: Input<N>>(
    pixels: &impl Pixels<W>,
    channel: usize,
    to: *mut i16,
    stride: usize,
) {
    // SAFETY: the caller vouches for the instructions.
    let zero = unsafe { W::zero() };
    let mut rows = [[zero; N]; N];
    for x in 0..N {
        let mut column = [zero; N];
        for (y, pixel) in column.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the pixels.
            *pixel = unsafe { pixels.read(y, x, channel) };
        }
        let column = F::axis(column);
        for (row, value) in rows.iter_mut().zip(&column) {
            row[x] = *value;
        }
    }
    for (y, row) in rows.iter().enumerate() {
        for (x, value) in F::axis(*row).iter().enumerate() {
            // SAFETY: the caller vouches for the positions.
            unsafe { value.store(to.add((y * N + x) * stride)) };
        }
    }
}

/// `A^T m A` for a block of output channels.
///
/// # Safety
/// The CPU has the instructions, and [`BLOCK`] products are readable at each of `N * N` positions, `stride`
/// sums apart.
#[inline(always)]
pub(super) unsafe fn output<const N: usize, const M: usize, S: Sums, F: Output<N, M>>(
    products: *const i32,
    stride: usize,
    outputs: &mut Outputs<S>,
) {
    // SAFETY: the caller vouches for the instructions.
    let zero = unsafe { S::zero() };
    for (vector, outputs) in outputs.iter_mut().take(BLOCK / S::LANES).enumerate() {
        let mut rows = [[zero; N]; M];
        for x in 0..N {
            let mut column = [zero; N];
            for (y, product) in column.iter_mut().enumerate() {
                let at = (y * N + x) * stride + vector * S::LANES;
                // SAFETY: the caller vouches for the products.
                *product = unsafe { S::load(products.add(at)) };
            }
            for (row, value) in rows.iter_mut().zip(&F::axis(column)) {
                row[x] = *value;
            }
        }
        for (outputs, row) in outputs.chunks_exact_mut(M).zip(&rows) {
            for (output, value) in outputs.iter_mut().zip(&F::axis(*row)) {
                *output = *value;
            }
        }
    }
}
