//! Rows times filters of F(4x4, 3x3) that are transformed as they are multiplied, a row of positions at a
//! time: the transformed weights of a pair of values never leave the registers, where the sums of some tiles
//! at all of these positions are as well.

use core::arch::x86_64::_MM_HINT_T0;

use super::filters::{self, KERNEL, LINE, PAIR, ROW, WINDOW};
use super::vector::{Vector, Vectors, Words};
use crate::kernels::x86_64::native::prefetch;
use crate::kernels::x86_64::tiled::BLOCK;

/// Tiles that are multiplied at a time with weights that are transformed at the same time.
pub(super) const FUSED: usize = 4;

/// What is multiplied, and where to.
pub(super) struct Operands<'a> {
    /// `[position][row]`.
    pub rows: &'a [i16],
    /// From one row to the next, and from one position to the next.
    pub step: usize,
    pub stride: usize,
    /// `[pair of values][tap][output channel][2]`.
    pub taps: &'a [i8],
    /// Pairs of values.
    pub pairs: usize,
    /// `[position][row][channel]`.
    pub products: &'a mut [i32],
    /// From one position to the next.
    pub products_stride: usize,
}

/// Multiplies `count` rows, at most [`FUSED`], at all positions. `None` if a
/// slice is too short, if there are more rows, or if a block is not one vector.
///
/// # Safety
/// The CPU has the instructions.
pub(super) unsafe fn group<V: Vectors>(count: usize, operands: Operands<'_>) -> Option<()> {
    macro_rules! rows {
        ($($count:literal)*) => {
            match count {
                // SAFETY: the caller vouches for the instructions.
                $($count => unsafe {
                    V::run(#[inline(always)] || rows_times_filters::<$count, V>(operands))
                },)*
                _ => None,
            }
        };
    }
    // Where a block is one vector.
    if V::Sums::LANES == BLOCK { rows!(1 2 3 4) } else { None }
}

/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn rows_times_filters<const N: usize, V: Vectors>(operands: Operands<'_>) -> Option<()> {
    let Operands { rows, step, stride, taps, pairs, products, products_stride } = operands;
    let last = WINDOW * WINDOW - 1;
    let row_len = N.saturating_sub(1).saturating_mul(step).saturating_add(2 * pairs);
    if rows.len() < last.saturating_mul(stride).saturating_add(row_len)
        || products.len() < last.saturating_mul(products_stride).saturating_add(N * BLOCK)
        || taps.len() < pairs.saturating_mul(PAIR)
    {
        return None;
    }
    let (rows, taps, products) = (rows.as_ptr(), taps.as_ptr(), products.as_mut_ptr());
    macro_rules! rows_of_positions {
        ($($y:literal)*) => {$(
            // SAFETY: the caller vouches for the instructions, and all lengths were checked.
            let sums = unsafe {
                let rows = rows.add($y * WINDOW * stride);
                row_of_positions::<$y, N, V>(rows, (step, stride), taps, pairs)
            };
            for (x, sums) in sums.iter().enumerate() {
                for (row, sums) in sums.iter().enumerate() {
                    let at = ($y * WINDOW + x) * products_stride + row * BLOCK;
                    // SAFETY: all positions have `N` blocks of products.
                    unsafe { sums.store(products.add(at)) };
                }
            }
        )*};
    }
    rows_of_positions!(0 1 2 3 4 5);
    Some(())
}

/// The products of `N` rows, `step` values apart, at the positions of row `Y`, `stride` values apart.
///
/// # Safety
/// The CPU has the instructions; `pairs` pairs of values are readable of each row at each position, and of
/// the taps.
#[inline(always)]
unsafe fn row_of_positions<const Y: usize, const N: usize, V: Vectors>(
    rows: *const i16,
    (step, stride): (usize, usize),
    taps: *const i8,
    pairs: usize,
) -> [[V::Sums; N]; WINDOW] {
    // SAFETY: the caller vouches for the instructions.
    let (zero, mut sums) = unsafe { (V::Words::zero(), [[V::Sums::zero(); N]; WINDOW]) };
    for pair in 0..pairs {
        let next = taps.wrapping_add((pairs + pair) * PAIR + Y * LINE);
        // Behind these taps are those of the next block, if any.
        prefetch::<_MM_HINT_T0>(next);
        let mut columns = [zero; KERNEL];
        for (x, to) in columns.iter_mut().enumerate() {
            let mut column = [zero; KERNEL];
            for (y, tap) in column.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the taps of all pairs.
                *tap = unsafe { V::Words::widen(taps.add(pair * PAIR + (y * KERNEL + x) * ROW)) };
            }
            *to = filters::axis(column)[Y];
        }
        for (x, &weights) in filters::axis(columns).iter().enumerate() {
            for (row, sums) in sums[x].iter_mut().enumerate() {
                // SAFETY: the caller vouches for the pair of this row at this position.
                let value = unsafe {
                    let at = x * stride + row * step + pair * 2;
                    V::Words::broadcast(rows.add(at).cast::<i32>().read_unaligned())
                };
                *sums = V::add_products(*sums, value, weights);
            }
        }
    }
    sums
}
