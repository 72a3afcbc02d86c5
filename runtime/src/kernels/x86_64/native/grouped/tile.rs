//! Words times the weights of a block of output channels, a few output pixels at a time, and from sums to int8.

use super::Task;
use super::table::Epilogue;
use super::words::{Block, Words};
use crate::kernels::x86_64::grouped::BLOCK;
use crate::kernels::x86_64::native::few::{load, write};
use crate::kernels::x86_64::native::tiled::vector::{Block as _, Vectors};

/// Most output pixels at a time.
pub(super) const MOST: usize = 4;

/// How the lanes of a block come to their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One after the other: a depthwise convolution.
    Own,
    /// All the same one.
    Same,
    /// Each one of a vector's.
    Permuted,
    /// Anyhow.
    Any,
}

/// The first word of each lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    order: Order,
    /// Where the lanes of each vector begin.
    pub bases: [usize; 2],
    /// Counted from their vector's base.
    pub lanes: [i32; BLOCK],
}

impl Pick {
    /// Of the block from channel `first` on.
    #[inline(always)]
    pub fn new<W: Words>(task: &Task<'_>, first: usize) -> Self {
        let (groups, [_, _, out_c]) = (task.groups(first), task.shape.output);
        let group = (out_c / task.shape.groups.max(1)).max(1);
        let of = |lane: usize| {
            // Lanes behind the last channel have weights of 0.
            let channel = (first + lane).min(out_c.saturating_sub(1));
            (channel / group - groups.start) * task.plan.words
        };
        let bases = [of(0), of(W::LANES % BLOCK)];
        let lanes = core::array::from_fn(|lane| of(lane) - bases[lane / W::LANES % 2]);
        let most = lanes.iter().copied().max().unwrap_or(0);
        let order = match most {
            _ if task.plan.depthwise => Order::Own,
            0 if bases == [0; 2] => Order::Same,
            _ if most < W::LANES => Order::Permuted,
            _ => Order::Any,
        };
        Self { order, bases, lanes: lanes.map(|lane| lane as i32) }
    }

    /// # Safety
    /// The CPU has the instructions, and lanes find their words readable from `from` on, a vector of them behind
    /// each base.
    #[inline(always)]
    unsafe fn words<W: Words, const ORDER: usize>(&self, from: *const i32) -> Block<W> {
        // SAFETY: the caller vouches for the same.
        unsafe {
            match ORDER {
                OWN => Block::<W>::load(from),
                SAME => Block::<W>::splat(from.read()),
                PERMUTED => W::permuted(from, self),
                _ => {
                    let mut words = [0; BLOCK];
                    for (lane, (word, &at)) in words.iter_mut().zip(&self.lanes).enumerate() {
                        let base = self.bases[lane / W::LANES % 2];
                        *word = from.add(base + at as usize).read();
                    }
                    Block::<W>::load(words.as_ptr())
                }
            }
        }
    }
}

const OWN: usize = Order::Own as usize;
const SAME: usize = Order::Same as usize;
const PERMUTED: usize = Order::Permuted as usize;
const ANY: usize = Order::Any as usize;

/// What is multiplied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    /// The first column of the first pixel's window, in the first row of words.
    pub words: *const i32,
    /// The row of words that a window's first row is in.
    pub slot: usize,
    /// Rows of words, after which the first one follows again.
    pub slots: usize,
    /// From one of them to the next.
    pub row: usize,
    /// Rows and columns of a window of words.
    pub rows: usize,
    pub taps: usize,
    /// From one column to the next.
    pub dilation: usize,
    /// From one pixel's window to the next.
    pub stride: usize,
    /// Words of a lane at each tap, and from one to the next.
    pub count: usize,
    pub step: usize,
    /// A block of words for each of them.
    pub weights: *const i32,
    /// From one output pixel to the next.
    pub pixel: usize,
    /// Channels of the block.
    pub channels: usize,
}

/// Multiplies the windows of `count` pixels, at most [`MOST`], and takes the sums to the output.
///
/// # Safety
/// The CPU has the instructions; words and weights are those of the plan, the block's channels of the output
/// pixels are writable, and those of the residual readable, unless it is null.
#[inline(always)]
pub(super) unsafe fn group<W: Words>(
    count: usize,
    tile: &Tile,
    pick: &Pick,
    epilogue: &Epilogue<W>,
    output: *mut i8,
    residual: *const i8,
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        macro_rules! pixels {
            ($order:ident) => {
                match count {
                    0 => {}
                    1 => multiply::<W, $order, 1>(tile, pick, epilogue, output, residual),
                    2 => multiply::<W, $order, 2>(tile, pick, epilogue, output, residual),
                    3 => multiply::<W, $order, 3>(tile, pick, epilogue, output, residual),
                    _ => multiply::<W, $order, 4>(tile, pick, epilogue, output, residual),
                }
            };
        }
        match pick.order {
            Order::Own => pixels!(OWN),
            Order::Same => pixels!(SAME),
            Order::Permuted => pixels!(PERMUTED),
            Order::Any => pixels!(ANY),
        }
    }
}

/// # Safety
/// As [`group`] for `P` pixels.
#[inline(never)]
unsafe fn multiply<W: Words, const ORDER: usize, const P: usize>(
    tile: &Tile,
    pick: &Pick,
    epilogue: &Epilogue<W>,
    output: *mut i8,
    residual: *const i8,
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        W::Vectors::run(
            #[inline(always)]
            || {
                let sums = sums::<W, ORDER, P>(tile, pick, epilogue);
                if residual.is_null() {
                    store::<W, P, false>(tile, epilogue, sums, output, residual);
                } else {
                    store::<W, P, true>(tile, epilogue, sums, output, residual);
                }
            },
        );
    }
}

/// # Safety
/// As [`group`] for `P` pixels.
#[inline(always)]
unsafe fn sums<W: Words, const ORDER: usize, const P: usize>(
    tile: &Tile,
    pick: &Pick,
    epilogue: &Epilogue<W>,
) -> [Block<W>; P] {
    let mut sums = [epilogue.first[0]; P];
    let (mut weights, mut slot) = (tile.weights, tile.slot);
    for _ in 0..tile.rows {
        // SAFETY: there are so many rows of words.
        let row = unsafe { tile.words.add(slot * tile.row) };
        slot = if slot + 1 == tile.slots { 0 } else { slot + 1 };
        for tap in 0..tile.taps {
            for word in 0..tile.count {
                // SAFETY: the caller vouches for the plan's words and weights.
                unsafe {
                    let vector = Block::<W>::load(weights);
                    weights = weights.add(BLOCK);
                    let from = row.add(tap * tile.dilation + word * tile.step);
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let words = pick.words::<W, ORDER>(from.add(p * tile.stride));
                        *sums = W::dot(*sums, words, vector);
                    }
                }
            }
        }
    }
    sums
}

/// # Safety
/// As [`group`] for `P` pixels; there is a residual if `RESIDUAL`.
#[inline(always)]
unsafe fn store<W: Words, const P: usize, const RESIDUAL: bool>(
    tile: &Tile,
    epilogue: &Epilogue<W>,
    sums: [Block<W>; P],
    output: *mut i8,
    residual: *const i8,
) {
    // SAFETY: there are sums, so there are the instructions; the caller vouches for the pixels.
    unsafe {
        let mut rounded = [Block::<W>::splat(0); MOST];
        for (p, (rounded, sums)) in rounded.iter_mut().zip(sums).enumerate() {
            let from = residual.wrapping_add(p * tile.pixel);
            let shortcut = if RESIDUAL { Some(load(from, tile.channels)) } else { None };
            *rounded = epilogue.round(sums, 0, shortcut);
        }
        let values = W::narrow(rounded, epilogue.clamp);
        for (p, &values) in values.iter().enumerate().take(P) {
            write(values, output.add(p * tile.pixel), tile.channels);
        }
    }
}
