//! Rows times a block of output channels: a group of rows in as many accumulators as the registers hold. A
//! pair of values of a row is broadcast and meets the same pair of some channels in one multiply-add; sums
//! wrap.

use core::ops::Range;

use super::Tiles;
use super::vector::{Vector, Vectors, Words};
use crate::kernels::x86_64::tiled::BLOCK;

/// A weight in 16 bits, or in eight.
pub(super) trait Weight: Copy {
    /// A vector of weights in 16 bits.
    ///
    /// # Safety
    /// The CPU has the instructions, and `from` points to a vector of readable weights.
    unsafe fn load<W: Words>(from: *const Self) -> W;
}

impl Weight for i16 {
    #[inline(always)]
    unsafe fn load<W: Words>(from: *const Self) -> W {
        // SAFETY: the caller vouches for the same.
        unsafe { W::load(from) }
    }
}

impl Weight for i8 {
    #[inline(always)]
    unsafe fn load<W: Words>(from: *const Self) -> W {
        // SAFETY: the caller vouches for the same.
        unsafe { W::widen(from) }
    }
}

/// What is multiplied, and where to.
pub(super) struct Operands<'a, W> {
    /// `[position][row]`.
    pub rows: &'a [i16],
    /// From one row to the next, and from one position to the next.
    pub step: usize,
    pub stride: usize,
    /// Blocks of `[channel][2]` of each filter and pair.
    pub weights: &'a [W],
    /// From one pair to the next, and from one filter to the next.
    pub weights_step: usize,
    pub weights_stride: usize,
    /// Pairs of values.
    pub pairs: usize,
    /// Whether products are added to those that are there.
    pub add: bool,
    /// `[position][row][channel]`.
    pub products: &'a mut [i32],
    /// From one position to the next.
    pub products_stride: usize,
}

/// Multiplies `count` rows at each of `positions`, at most a
/// [group](crate::kernels::x86_64::tiled::Width::group), with the weights that `T` names for a position. `None` if a
/// slice is too short, or if there are more rows.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
pub(super) unsafe fn group<V: Vectors, T: Tiles, W: Weight>(
    count: usize,
    positions: Range<usize>,
    operands: Operands<'_, W>,
) -> Option<()> {
    macro_rules! rows {
        ($($count:literal)*) => {
            match count {
                $($count if $count <= V::WIDTH.group => {
                    // SAFETY: the caller vouches for the instructions, with which the closure is compiled.
                    unsafe { V::run(#[inline(always)] || {
                        rows_times_block::<$count, V, T, W>(positions, operands)
                    }) }
                })*
                _ => None,
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn rows_times_block<const N: usize, V: Vectors, T: Tiles, W: Weight>(
    positions: Range<usize>,
    operands: Operands<'_, W>,
) -> Option<()> {
    let Operands { rows, step, stride, weights, pairs, add, products, .. } = operands;
    let (weights_step, products_stride) = (operands.weights_step, operands.products_stride);
    let vectors = BLOCK / V::Sums::LANES;
    let last = positions.end.saturating_sub(1);
    let ends = |stride: usize, len: usize| last.saturating_mul(stride).saturating_add(len);
    let row_len = N.saturating_sub(1).saturating_mul(step).saturating_add(2 * pairs);
    let block_len = pairs.saturating_sub(1).saturating_mul(weights_step) + BLOCK * 2;
    if rows.len() < ends(stride, row_len) || products.len() < ends(products_stride, N * BLOCK) {
        return None;
    }
    for position in positions {
        let weights = weights.get(T::filter(position) * operands.weights_stride..);
        let weights = weights.filter(|weights| weights.len() >= block_len)?.as_ptr();
        // SAFETY: `position <= last`, whose rows and products are there.
        let (rows, products) = unsafe {
            let products = products.as_mut_ptr().add(position * products_stride);
            (rows.as_ptr().add(position * stride), products)
        };
        // SAFETY: the caller vouches for the instructions.
        let mut sums = [[unsafe { V::Sums::zero() }; 2]; N];
        if add {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sums) in sums.iter_mut().take(vectors).enumerate() {
                    // SAFETY: `row < N`, and there are `N * BLOCK` products.
                    *sums = unsafe {
                        V::Sums::load(products.add(row * BLOCK + vector * V::Sums::LANES))
                    };
                }
            }
        }
        for pair in 0..pairs {
            // SAFETY: `pair < pairs`, so 32 weights are readable within `block_len`.
            let first: V::Words = unsafe { W::load(weights.add(pair * weights_step)) };
            let mut block = [first; 2];
            if vectors == 2 {
                // SAFETY: the same.
                block[1] = unsafe { W::load(weights.add(pair * weights_step + V::Words::LANES)) };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `row < N` and `pair < pairs`, so both values lie within `row_len`.
                let value =
                    unsafe { rows.add(row * step + pair * 2).cast::<i32>().read_unaligned() };
                // SAFETY: the caller vouches for the instructions.
                let value = unsafe { V::Words::broadcast(value) };
                for (sums, &weights) in sums.iter_mut().zip(&block).take(vectors) {
                    *sums = V::add_products(*sums, value, weights);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sums) in sums.iter().take(vectors).enumerate() {
                // SAFETY: `row < N`, and there are `N * BLOCK` products.
                unsafe { sums.store(products.add(row * BLOCK + vector * V::Sums::LANES)) };
            }
        }
    }
    Some(())
}
