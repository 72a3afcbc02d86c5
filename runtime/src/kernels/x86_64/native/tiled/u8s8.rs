//! Direct convolution in products of unsigned and signed bytes: a row is a window of `u = x - low`, 0 to
//! 127, four values to a lane of 32 bits. Their products with two quads of weights add up in 16 bits
//! before they are widened; [`crate::kernels::x86_64::u8s8`] says why no such sum saturates.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_storeu_si256, _mm256_sub_epi8,
};

use super::Tiles;
use super::direct::Direct;
use super::transform::Outputs;
use super::vector::{Sums, Vectors};
use super::window::Window;
use crate::kernels::x86_64::tiled::{AVX2, Algorithm, BLOCK, DIRECT, LANES};
use crate::kernels::x86_64::u8s8::{Block, QUAD_BYTES, Sections};
use crate::kernels::{ConvShape, patch};

/// Bytes of a vector.
const VECTOR: usize = 32;
/// Sums of one vector.
const HALF: usize = BLOCK / 2;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct U8s8;

impl Tiles for U8s8 {
    const ALGORITHM: Algorithm = DIRECT;
    const INVERSE: i32 = Direct::INVERSE;
    const SHIFT: u32 = Direct::SHIFT;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, _stride: usize) -> Option<()> {
        let row = window.shape.patch_len().div_ceil(2).next_multiple_of(LANES);
        // SAFETY: the caller vouches for a row and sixteen values of two bytes.
        let row = unsafe { core::slice::from_raw_parts_mut(to.cast::<u8>(), (row + LANES) * 2) };
        // SAFETY: the caller vouches for AVX2.
        unsafe { gather(window, row) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>) {
        // SAFETY: the caller vouches for the same.
        unsafe { Direct::output(products, stride, outputs) }
    }
}

/// Most rows that are multiplied at a time.
const GROUP: usize = AVX2.group;

/// Writes a window as bytes from 0 on; what lies behind it in `row` is arbitrary. None if the input ends before.
#[target_feature(enable = "avx2")]
#[inline]
fn gather(window: &Window<'_>, row: &mut [u8]) -> Option<()> {
    gather_inside(window, row).or_else(|| {
        let low = window.shape.input_range.0;
        let unsigned = |value: i8| value.wrapping_sub(low) as u8;
        patch::gather(window.shape, window.input, window.corner, 0, row, unsigned)
    })
}

/// In whole vectors, of which the last of a run may reach into the next run, which overwrites it, or
/// into the rest behind the window. `None` if the window, or what the vectors read, is not inside.
#[target_feature(enable = "avx2")]
#[inline]
fn gather_inside(window: &Window<'_>, row: &mut [u8]) -> Option<()> {
    let shape = window.shape;
    let [_, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    if shape.dilations != [1, 1] {
        return None;
    }
    let first = window.inside_rectangle(kernel_h, kernel_w)?;
    let low = _mm256_set1_epi8(shape.input_range.0);
    let run = kernel_w * in_c;
    let whole = run.next_multiple_of(VECTOR);
    for y in 0..kernel_h {
        let from = window.input.get(first + y * in_w * in_c..)?.get(..whole)?;
        let to = row.get_mut(y * run..)?.get_mut(..whole)?;
        for (from, to) in from.chunks_exact(VECTOR).zip(to.chunks_exact_mut(VECTOR)) {
            // SAFETY: both are 32 bytes; neither access needs alignment.
            unsafe {
                let values = _mm256_loadu_si256(from.as_ptr().cast());
                _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_sub_epi8(values, low));
            }
        }
    }
    Some(())
}

/// Bytes of a block of output channels; `None` if the shape has no such layout.
pub(super) fn block_bytes(shape: &ConvShape) -> Option<usize> {
    Some(Sections::for_shape(shape)?.block_bytes())
}

/// Multiplies `count` rows, at most [`GROUP`], `step` values of 16 bits apart, with the block of output
/// channels that `block` begins with. `None`, with products that mean nothing, if a slice is too short.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn multiply(
    shape: &ConvShape,
    count: usize,
    rows: &[i16],
    step: usize,
    block: &[u8],
    products: &mut [i32],
) -> Option<()> {
    let sections = Sections::for_shape(shape)?;
    let block = sections.split(block)?;
    match count {
        0 => Some(()),
        1 => rows_times_block::<1>(rows, step, block, products),
        2 => rows_times_block::<2>(rows, step, block, products),
        3 => rows_times_block::<3>(rows, step, block, products),
        4 => rows_times_block::<4>(rows, step, block, products),
        5 => rows_times_block::<5>(rows, step, block, products),
        GROUP => rows_times_block::<GROUP>(rows, step, block, products),
        _ => None,
    }
}

#[target_feature(enable = "avx2")]
fn rows_times_block<const T: usize>(
    rows: &[i16],
    step: usize,
    block: Block<'_>,
    products: &mut [i32],
) -> Option<()> {
    let quads = block.weights.len() / QUAD_BYTES;
    let corrections = block.corrections.get(..VECTOR * 2)?.as_ptr();
    let rows = rows.get(..(T - 1) * step + quads * 2)?.as_ptr();
    let products = products.get_mut(..T * BLOCK)?.as_mut_ptr();
    // SAFETY: 64 bytes are readable; the loads need no alignment.
    let corrections = unsafe { [load(corrections), load(corrections.add(VECTOR))] };
    let mut sums = [corrections; T];
    for (pair, weights) in block.weights.chunks_exact(QUAD_BYTES * 2).enumerate() {
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `row < T` and `pair * 2 + 1 < quads`, so both quads lie within the rows.
            let [first, second] = unsafe {
                let at = rows.add(row * step + pair * 4);
                [broadcast(at), broadcast(at.add(2))]
            };
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a pair of quads is 128 readable bytes.
                let [a, b] = unsafe {
                    let at = weights.as_ptr().add(half * VECTOR);
                    [load(at), load(at.add(QUAD_BYTES))]
                };
                let both = _mm256_add_epi16(
                    _mm256_maddubs_epi16(first, a),
                    _mm256_maddubs_epi16(second, b),
                );
                *sum = _mm256_add_epi32(*sum, widen(both));
            }
        }
    }
    let numbers = block.numbers.chunks_exact(size_of::<u32>()).filter_map(|n| n.first_chunk());
    for (&number, weights) in numbers.zip(block.alone.chunks_exact(QUAD_BYTES)) {
        let number = u32::from_le_bytes(number) as usize;
        if number >= quads {
            // Unused places follow.
            break;
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `row < T` and `number < quads`, so the quad lies within the rows.
            let quad = unsafe { broadcast(rows.add(row * step + number * 2)) };
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a quad is 64 readable bytes.
                let weights = unsafe { load(weights.as_ptr().add(half * VECTOR)) };
                *sum = _mm256_add_epi32(*sum, widen(_mm256_maddubs_epi16(quad, weights)));
            }
        }
    }
    for (row, &[low, high]) in sums.iter().enumerate() {
        // SAFETY: `row < T`, and there are `T * BLOCK` products; the stores need no alignment.
        unsafe {
            let to = products.add(row * BLOCK);
            _mm256_storeu_si256(to.cast(), low);
            _mm256_storeu_si256(to.add(HALF).cast(), high);
        }
    }
    Some(())
}

/// Neighbours added, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn widen(pairs: __m256i) -> __m256i {
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// # Safety
/// 32 bytes are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: the caller vouches for the bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// Two values are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn broadcast(from: *const i16) -> __m256i {
    // SAFETY: the caller vouches for four bytes.
    _mm256_set1_epi32(unsafe { from.cast::<i32>().read_unaligned() })
}
