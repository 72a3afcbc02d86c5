//! Rows times blocks of output channels, a [`Tile`](crate::kernels::x86_64::vnni::Tile) at a time. Four bytes of
//! a row are broadcast and meet the same four of sixteen channels in `vpdpbusd`; sums wrap.

use core::arch::x86_64::_MM_HINT_T1;

use super::dots::{Block, Dots};
use super::epilogue::Epilogue;
use crate::kernels::x86_64::native::few::{load, write};
use crate::kernels::x86_64::native::prefetch;
use crate::kernels::x86_64::native::tiled::vector::{Block as _, Vectors};
use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

/// What is multiplied, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands<const N: usize> {
    pub rows: *const u8,
    /// From one row to the next.
    pub row: usize,
    /// `[quad][output channel][4]` of each block.
    pub weights: [*const u8; N],
    pub quads: usize,
    /// What is fetched into the cache meanwhile, a line each quad; any address.
    pub ahead: *const u8,
    /// The first channel of the first pixel.
    pub output: *mut i8,
    /// The same of the residual; null without one.
    pub residual: *const i8,
    /// From one output pixel to the next.
    pub pixel: usize,
    /// Channels of the last block; all others have as many as a block may have.
    pub last: usize,
}

/// Multiplies `count` rows, at most those of a tile, and takes the sums to the output.
///
/// # Safety
/// The CPU has the instructions, `count` rows of `quads` quads and as many quads of each block's weights are readable, the channels
/// of `N` blocks of `count` output pixels writable, and those of the residual readable, if there is one.
#[inline(always)]
pub(super) unsafe fn group<D: Dots, const N: usize>(
    count: usize,
    operands: &Operands<N>,
    epilogue: &Epilogue<Block<D>, N>,
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        match count {
            0 => {}
            1 => rows_times_blocks::<D, 1, N>(operands, epilogue),
            2 => rows_times_blocks::<D, 2, N>(operands, epilogue),
            3 => rows_times_blocks::<D, 3, N>(operands, epilogue),
            4 => rows_times_blocks::<D, 4, N>(operands, epilogue),
            5 => rows_times_blocks::<D, 5, N>(operands, epilogue),
            6 => rows_times_blocks::<D, 6, N>(operands, epilogue),
            _ if D::TILE.pixels <= 6 => {}
            7 => rows_times_blocks::<D, 7, N>(operands, epilogue),
            8 => rows_times_blocks::<D, 8, N>(operands, epilogue),
            9 => rows_times_blocks::<D, 9, N>(operands, epilogue),
            10 => rows_times_blocks::<D, 10, N>(operands, epilogue),
            11 => rows_times_blocks::<D, 11, N>(operands, epilogue),
            _ => rows_times_blocks::<D, 12, N>(operands, epilogue),
        }
    }
}

/// The body for each number below a constant count, so that sums stay in registers.
macro_rules! unrolled {
    ($count:expr, $i:ident => $body:block) => {
        unrolled!($count, $i => $body, 0 1 2 3 4 5)
    };
    ($count:expr, $i:ident => $body:block, $($number:literal)*) => {$(
        if $number < $count {
            let $i = $number;
            $body
        }
    )*};
}

/// # Safety
/// As [`group`] for `P` rows.
#[inline(never)]
unsafe fn rows_times_blocks<D: Dots, const P: usize, const N: usize>(
    operands: &Operands<N>,
    epilogue: &Epilogue<Block<D>, N>,
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        D::Vectors::run(
            #[inline(always)]
            || multiply::<D, P, N>(operands, epilogue),
        );
    }
}

/// # Safety
/// As [`group`] for `P` rows.
#[inline(always)]
unsafe fn multiply<D: Dots, const P: usize, const N: usize>(
    operands: &Operands<N>,
    epilogue: &Epilogue<Block<D>, N>,
) {
    let Operands { rows, row, weights, quads, ahead, residual, last, .. } = *operands;
    let mut sums = [epilogue.first; P];
    for quad in 0..quads {
        prefetch::<_MM_HINT_T1>(ahead.wrapping_add(quad * VECTOR).cast());
        let mut vectors = epilogue.first;
        for (vector, weights) in vectors.iter_mut().zip(weights) {
            // SAFETY: `quad < quads`.
            *vector = unsafe { Block::<D>::load(weights.add(quad * VECTOR).cast()) };
        }
        for (p, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `p < P` and `quad < quads`; the read needs no alignment.
            let value = unsafe { rows.add(p * row + quad * QUAD).cast::<i32>().read_unaligned() };
            // SAFETY: there are sums, so there are the instructions.
            let value = unsafe { Block::<D>::splat(value) };
            for (sum, &weights) in sums.iter_mut().zip(&vectors) {
                *sum = D::dot(*sum, value, weights);
            }
        }
    }
    // SAFETY: the pixels are there, and so are those of the residual if there is one.
    unsafe {
        match (residual.is_null(), last == BLOCK) {
            (true, true) => store_all::<D, P, N, false, true>(operands, epilogue, &sums),
            (true, false) => store_all::<D, P, N, false, false>(operands, epilogue, &sums),
            (false, true) => store_all::<D, P, N, true, true>(operands, epilogue, &sums),
            (false, false) => store_all::<D, P, N, true, false>(operands, epilogue, &sums),
        }
    }
}

/// Vectors of sums that become one of bytes.
const FOUR: usize = 4;

/// # Safety
/// As [`store`] for all pixels.
#[inline(always)]
unsafe fn store_all<
    D: Dots,
    const P: usize,
    const N: usize,
    const RESIDUAL: bool,
    const WHOLE: bool,
>(
    operands: &Operands<N>,
    epilogue: &Epilogue<Block<D>, N>,
    sums: &[[Block<D>; N]; P],
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        unrolled!((P * N).div_ceil(FOUR), four => {
            store::<D, P, N, RESIDUAL, WHOLE>(operands, epilogue, sums, four * FOUR / N);
        });
    }
}

/// Takes four vectors of sums, of the pixels from `first` on, to the output.
///
/// # Safety
/// The pixels below `P` are there, and if `RESIDUAL`, so are those of the residual; the last block is whole if
/// `WHOLE`.
#[inline(always)]
unsafe fn store<
    D: Dots,
    const P: usize,
    const N: usize,
    const RESIDUAL: bool,
    const WHOLE: bool,
>(
    operands: &Operands<N>,
    epilogue: &Epilogue<Block<D>, N>,
    sums: &[[Block<D>; N]; P],
    first: usize,
) {
    let Operands { output, residual, pixel, last, .. } = *operands;
    // SAFETY: there are sums, so there are the instructions.
    let mut rounded = [unsafe { Block::<D>::splat(0) }; FOUR];
    for (i, rounded) in rounded.iter_mut().enumerate() {
        let (p, n) = (first + i / N, i % N);
        if p < P {
            let from = residual.wrapping_add(p * pixel + n * BLOCK);
            let count = if WHOLE || n + 1 < N { BLOCK } else { last };
            // SAFETY: the caller vouches for the pixel's residual, if any.
            let shortcut = if RESIDUAL { Some(unsafe { load(from, count) }) } else { None };
            *rounded = epilogue.round(sums[p][n], n, shortcut);
        }
    }
    let values = D::narrow(rounded, epilogue.clamp);
    for (i, &values) in values.iter().enumerate() {
        let (p, n) = (first + i / N, i % N);
        if p < P {
            let count = if WHOLE || n + 1 < N { BLOCK } else { last };
            // SAFETY: the caller vouches for the pixel.
            unsafe { write(values, output.add(p * pixel + n * BLOCK), count) };
        }
    }
}
