//! Weights in OHWI order, interleaved into quads side by side while a layer runs, with the correction of their
//! sums in front.

use super::dots::{Block, CHAINS, Dots};
use crate::kernels::x86_64::native::tiled::vector::{Block as _, Vectors};
use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

/// The rows of [`BLOCK`] output channels, each of `len` weights, to their correction,
/// -128 times the sum of each row, and `[quad][channel][4]`; the last quad is filled up with zeros. `None` if
/// a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
#[inline(never)]
pub(super) unsafe fn interleave<D: Dots>(rows: &[i8], len: usize, to: &mut [u8]) -> Option<()> {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        D::Vectors::run(
            #[inline(always)]
            || interleave_block::<D>(rows, len, to),
        )
    }
}

/// # Safety
/// As [`interleave`].
#[inline(always)]
unsafe fn interleave_block<D: Dots>(rows: &[i8], len: usize, to: &mut [u8]) -> Option<()> {
    let (correction, quads) = to.split_first_chunk_mut::<VECTOR>()?;
    if rows.len() / BLOCK < len || quads.len() / VECTOR < len.div_ceil(QUAD) {
        return None;
    }
    let (rows, quads) = (rows.as_ptr(), quads.as_mut_ptr());
    // SAFETY: the caller vouches for the instructions. A vector of each of sixteen rows is readable from
    // `first` on while it ends below `len`, and the rest behind it; their quads are writable, and a vector of
    // corrections.
    unsafe {
        let mut sums = [Block::<D>::splat(0); CHAINS];
        let mut first = 0;
        while first + VECTOR <= len {
            D::interleave(rows.add(first), len, VECTOR, quads.add(first * BLOCK), &mut sums);
            first += VECTOR;
        }
        if first < len {
            D::interleave(rows.add(first), len, len - first, quads.add(first * BLOCK), &mut sums);
        }
        let [a, b, c, d] = sums;
        let negative = (a + b + (c + d)).product(Block::<D>::splat(-1));
        negative.store(correction.as_mut_ptr().cast());
    }
    Some(())
}

/// The same of fewer than [`BLOCK`] output channels; all else is 0.
pub(super) fn interleave_few(rows: &[i8], len: usize, to: &mut [u8]) -> Option<()> {
    to.fill(0);
    let (correction, quads) = to.split_at_mut_checked(VECTOR)?;
    for (channel, row) in rows.chunks_exact(len.max(1)).enumerate() {
        let sum = row.iter().fold(0i32, |sum, &weight| sum.wrapping_add(weight.into()));
        let sum = sum.wrapping_mul(-128).to_le_bytes();
        correction.get_mut(channel * QUAD..)?.first_chunk_mut().map(|to| *to = sum)?;
        let places = quads.chunks_exact_mut(VECTOR).zip(row.chunks(QUAD));
        for (quad, weights) in places {
            let bytes = quad.get_mut(channel * QUAD..)?.iter_mut();
            bytes.zip(weights).for_each(|(to, &weight)| *to = weight.cast_unsigned());
        }
    }
    Some(())
}
