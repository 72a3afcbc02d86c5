//! What the kernels need of an instruction set, beside its [`Vectors`]: products of bytes, and vectors of
//! bytes in blocks of sums.
//!
//! What may not be broken: as in [`Vectors`], all that is called in its `run` is inlined into it, and blocks
//! only come from functions whose caller vouches for the CPU.

use core::arch::x86_64::__m128i;

use crate::kernels::x86_64::native::tiled::vector::Vectors;
use crate::kernels::x86_64::vnni::Tile;

/// Sums of a block of output channels, a quad of its weights, or as many bytes of anything.
pub(in crate::kernels::x86_64::native) type Block<D> = <<D as Dots>::Vectors as Vectors>::Block;

/// Sums that need not wait for each other.
pub(super) const CHAINS: usize = 4;

/// See the module.
pub(in crate::kernels::x86_64::native) trait Dots {
    const TILE: Tile;

    type Vectors: Vectors;

    /// Adds the products of four unsigned bytes with four signed ones to each sum; it wraps.
    fn dot(sums: Block<Self>, unsigned: Block<Self>, signed: Block<Self>) -> Block<Self>;

    /// `x + 128` of each byte.
    fn unsigned(values: Block<Self>) -> Block<Self>;

    /// `count` values, at most as many as fit; zeros behind them.
    ///
    /// # Safety
    /// The CPU has the instructions, and these values are readable.
    unsafe fn load(from: *const i8, count: usize) -> Block<Self>;

    /// Interleaves `count` weights, at most a vector's, of sixteen rows, `pitch` apart, into quads side by side:
    /// `[quad][row][4]`, the last filled up with zeros. Adds 128 times each row's weights to the sums.
    ///
    /// # Safety
    /// The CPU has the instructions, the weights are readable, and `to` has room for their quads.
    unsafe fn interleave(
        rows: *const i8,
        pitch: usize,
        count: usize,
        to: *mut u8,
        sums: &mut [Block<Self>; CHAINS],
    );

    /// Four blocks of output steps to the output's bytes, clamped.
    fn narrow(steps: [Block<Self>; 4], clamp: (Block<Self>, Block<Self>)) -> [__m128i; 4];

    /// Copies values as `x + 128`. Behind each run up to [`VECTOR`](crate::kernels::x86_64::vnni::VECTOR)` - 1`
    /// bytes become arbitrary.
    ///
    /// # Safety
    /// The CPU has the instructions, the runs are readable at `from`, and whole vectors of them are writable
    /// at `to`.
    unsafe fn copy(runs: Runs, from: *const i8, to: *mut u8);
}

/// Values that lie side by side in the input and in a row.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::x86_64::native) struct Runs {
    /// Values of each.
    pub len: usize,
    pub count: usize,
    /// From one to the next in the input.
    pub step: usize,
    /// From one to the next where they go.
    pub row: usize,
}
