//! `G g G^T` of F(4x4, 3x3) while a layer runs, without the factors of `G`: see
//! [`Winograd4Unscaled`](super::winograd4::Winograd4Unscaled).

use core::arch::x86_64::_MM_HINT_T0;
use core::ops::Range;

use zerocopy::{FromBytes, IntoBytes};

use super::avx2::Words256;
use super::ohwi::{self, Interleaved, MAX_VECTORS};
use super::vector::Words;
use crate::kernels::ConvShape;
use crate::kernels::x86_64::native::prefetch;
use crate::kernels::x86_64::tiled::{BLOCK, LANES, TAPS};

/// Positions on an axis.
pub(super) const WINDOW: usize = 6;
const POSITIONS: usize = WINDOW * WINDOW;
/// Taps on an axis.
pub(super) const KERNEL: usize = 3;
/// Weights of a pair of values for a block of output channels.
pub(super) const ROW: usize = BLOCK * 2;
/// Taps of a pair of values for a block of output channels.
pub(super) const PAIR: usize = TAPS * ROW;
/// Bytes of a line of the cache: OHWI weights are read in whole ones, since the rows of many networks lie
/// a power of two apart and would drive each other out of it.
pub(super) const LINE: usize = MAX_VECTORS * LANES;
const PAIRS: usize = LANES / 2;

/// From blocks of `[pair of input channels][tap][output channel][2]`: a
/// [`Transform`](super::driver::Transform).
#[target_feature(enable = "avx2")]
pub(super) fn from_pairs(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    part: Range<usize>,
    to: &mut [i16],
) -> Option<()> {
    // Pairs from the one that is transformed to the one that is fetched: into the next part.
    const AHEAD: usize = 16;
    let first = (oc * shape.input[2] + part.start * BLOCK) * TAPS;
    let pairs = part.len() / 2;
    let weights = weights.get(first..)?.get(..pairs * PAIR)?;
    let to = to.get_mut(..pairs * POSITIONS * ROW)?;
    let filters = weights.chunks_exact(PAIR).zip(to.chunks_exact_mut(POSITIONS * ROW));
    for (taps, to) in filters {
        for line in (0..PAIR).step_by(LINE) {
            // Behind the last weights as well.
            prefetch::<_MM_HINT_T0>(taps.as_ptr().wrapping_add(AHEAD * TAPS * ROW + line));
        }
        // SAFETY: nine rows of 32 weights are readable, and 36 rows of 32 values writable.
        unsafe { transform::<Words256>(taps.as_ptr(), ROW, to.as_mut_ptr()) };
    }
    Some(())
}

/// From OHWI weights: a [`Transform`](super::driver::Transform).
#[target_feature(enable = "avx2")]
pub(super) fn from_ohwi(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    part: Range<usize>,
    to: &mut [i16],
) -> Option<()> {
    let in_c = shape.input[2];
    let weights = weights.get(oc * TAPS * in_c..)?.get(..BLOCK * TAPS * in_c)?;
    let to = to.get_mut(..part.len() / 2 * POSITIONS * ROW)?;
    if part.end > in_c {
        return None;
    }
    let mut taps = [Interleaved::EMPTY; TAPS];
    for first in part.clone().step_by(LINE) {
        let vectors = LINE.min(part.end - first) / LANES;
        for (tap, taps) in taps.iter_mut().enumerate() {
            // SAFETY: these channels are some of the block's filters', all of which are there.
            unsafe {
                let rows = weights.as_ptr().add(tap * in_c + first);
                ohwi::interleave(rows, TAPS * in_c, vectors, taps);
            }
        }
        let to = to.get_mut((first - part.start) / 2 * POSITIONS * ROW..)?;
        let to = to.chunks_exact_mut(POSITIONS * ROW).take(vectors * PAIRS);
        for (pair, to) in to.enumerate() {
            // SAFETY: every tap has `vectors * PAIRS` pairs, and 36 rows of 32 values are writable.
            unsafe {
                let from = taps.as_ptr().cast::<i8>().add(pair * ROW);
                transform::<Words256>(from, size_of::<Interleaved>(), to.as_mut_ptr());
            }
        }
    }
    Some(())
}

/// OHWI weights to `[pair of input channels][tap][output channel][2]`, all of them, for the fused
/// multiplications: a [`Transform`](super::driver::Transform).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn interleave(
    shape: &ConvShape,
    weights: &[i8],
    oc: usize,
    _part: Range<usize>,
    to: &mut [i16],
) -> Option<()> {
    let in_c = shape.input[2];
    let weights = weights.get(oc * TAPS * in_c..)?.get(..BLOCK * TAPS * in_c)?;
    let room = <[[[i8; ROW]; TAPS]]>::mut_from_prefix_with_elems(to.as_mut_bytes(), in_c / 2);
    let (to, _) = room.ok()?;
    let mut pairs = Interleaved::EMPTY;
    for first in (0..in_c).step_by(LINE) {
        let vectors = LINE.min(in_c - first) / LANES;
        for tap in 0..TAPS {
            // SAFETY: these channels are some of the block's filters', all of which are there.
            unsafe {
                let rows = weights.as_ptr().add(tap * in_c + first);
                match vectors {
                    MAX_VECTORS => ohwi::interleave_lines(rows, TAPS * in_c, &mut pairs)?,
                    _ => ohwi::interleave(rows, TAPS * in_c, vectors, &mut pairs),
                }
            }
            for (to, pair) in to[first / 2..].iter_mut().zip(&pairs.0).take(vectors * PAIRS) {
                to[tap] = *pair;
            }
        }
    }
    Some(())
}

/// Transforms the filters of a block for a pair of values, taps `pitch` weights apart, and writes their
/// positions [`ROW`] values apart.
///
/// # Safety
/// The CPU has the instructions; [`ROW`] weights are readable at each of nine taps, and as many values
/// writable at each of 36 positions.
#[inline(always)]
unsafe fn transform<W: Words>(taps: *const i8, pitch: usize, to: *mut i16) {
    for first in (0..ROW).step_by(W::LANES) {
        // SAFETY: the caller vouches for the instructions.
        let zero = unsafe { W::zero() };
        let mut rows = [[zero; KERNEL]; WINDOW];
        for x in 0..KERNEL {
            let mut column = [zero; KERNEL];
            for (y, tap) in column.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the taps.
                *tap = unsafe { W::widen(taps.add((y * KERNEL + x) * pitch + first)) };
            }
            for (row, value) in rows.iter_mut().zip(&axis(column)) {
                row[x] = *value;
            }
        }
        for (y, row) in rows.iter().enumerate() {
            for (x, value) in axis(*row).iter().enumerate() {
                // SAFETY: the caller vouches for the positions.
                unsafe { value.store(to.add((y * WINDOW + x) * ROW + first)) };
            }
        }
    }
}

/// The rows [1 0 0] [1 1 1] [1 -1 1] [1 2 4] [1 -2 4] [0 0 1].
#[inline(always)]
pub(super) fn axis<W: Words>([a, b, c]: [W; KERNEL]) -> [W; WINDOW] {
    let (near, far, twice) = (a + c, a + c.times4(), b.twice());
    [a, near + b, near - b, far + twice, far - twice, c]
}
