//! What the forms need of an instruction set: vectors of 16-bit values, of sums, and of a block of sums.
//!
//! A form is written once, over these traits, and compiled once for each set: [`Vectors::run`] is the only
//! function with instructions of its own, and all that is called in it is inlined into it. A closure or a
//! function that computes with vectors and is not marked so would be compiled without them, and be slow.
//!
//! What may not be broken: a vector only comes from functions whose caller vouches for the CPU, so one that
//! exists may be computed with; all arithmetic wraps.

use core::arch::x86_64::__m128i;
use core::ops::{Add, Sub};

use crate::kernels::x86_64::tiled::{BLOCK, Width};

/// An instruction set.
pub trait Vectors {
    const WIDTH: Width;

    type Words: Words;
    type Sums: Sums;
    type Block: Block<Sums = Self::Sums>;

    /// Calls a closure, which must be `#[inline(always)]`, with the instructions of this set.
    ///
    /// # Safety
    /// The CPU has them.
    unsafe fn run<R>(work: impl FnOnce() -> R) -> R;

    /// Adds the products of pairs of 16-bit values.
    fn add_products(sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;

    /// Interleaves `vectors` times sixteen values of sixteen rows, `pitch` bytes apart, into pairs of values
    /// side by side.
    ///
    /// # Safety
    /// The CPU has the instructions, and all of these values are readable.
    unsafe fn interleave(rows: *const i8, pitch: usize, vectors: usize, to: &mut Interleaved);
}

/// Most vectors of sixteen bytes that are interleaved at a time: a line of the cache.
pub const MAX_VECTORS: usize = 4;

/// `[pair of values][row][2]`.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub struct Interleaved(pub [[i8; 2 * BLOCK]; MAX_VECTORS * 8]);

impl Interleaved {
    pub const EMPTY: Self = Self([[0; 2 * BLOCK]; MAX_VECTORS * 8]);
}

/// A vector of 16-bit values.
pub trait Words: Copy + Add<Output = Self> + Sub<Output = Self> {
    const LANES: usize;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The CPU has the instructions, and [`Words::LANES`] values are readable.
    unsafe fn load(from: *const i16) -> Self;

    /// # Safety
    /// As for [`Words::load`].
    unsafe fn widen(from: *const i8) -> Self;

    /// A pair of values in all pairs of lanes.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn broadcast(pair: i32) -> Self;

    /// # Safety
    /// [`Words::LANES`] values are writable.
    unsafe fn store(self, to: *mut i16);

    fn times4(self) -> Self;

    #[inline(always)]
    fn twice(self) -> Self {
        self + self
    }
}

/// A vector of 32-bit sums.
pub trait Sums: Copy + Add<Output = Self> + Sub<Output = Self> {
    const LANES: usize;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The CPU has the instructions, and [`Sums::LANES`] sums are readable.
    unsafe fn load(from: *const i32) -> Self;

    /// # Safety
    /// [`Sums::LANES`] sums are writable.
    unsafe fn store(self, to: *mut i32);

    fn times4(self) -> Self;

    fn times8(self) -> Self;

    #[inline(always)]
    fn twice(self) -> Self {
        self + self
    }
}

/// Sums of a block of output channels.
pub trait Block: Copy + Add<Output = Self> {
    type Sums: Sums;

    /// Of vectors of sums, of which the second is taken if it takes two.
    fn from_sums(sums: [Self::Sums; 2]) -> Self;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn splat(value: i32) -> Self;

    /// # Safety
    /// The CPU has the instructions, and [`BLOCK`] sums are readable.
    unsafe fn load(from: *const i32) -> Self;

    /// # Safety
    /// [`BLOCK`] sums are writable.
    unsafe fn store(self, to: *mut i32);

    /// Sixteen int8 values.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn widen(values: __m128i) -> Self;

    fn product(self, other: Self) -> Self;

    fn shifted_left(self, bits: __m128i) -> Self;

    /// Arithmetic.
    fn shifted_right(self, bits: __m128i) -> Self;

    /// The odd lanes in even places.
    fn odd(self) -> Self;

    /// The upper halves of the products with `factors`, whose odd lanes are `odd` as well.
    fn high_product(self, factors: Self, odd: Self) -> Self;

    /// To int8, saturated.
    fn narrow(self) -> __m128i;
}
