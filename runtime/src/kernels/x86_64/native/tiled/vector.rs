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

use crate::kernels::x86_64::tiled::Width;

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
}

/// A vector of numbers.
pub trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> {
    type Lane;

    const LANES: usize;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The CPU has the instructions, and [`Vector::LANES`] values are readable.
    unsafe fn load(from: *const Self::Lane) -> Self;

    /// # Safety
    /// [`Vector::LANES`] values are writable.
    unsafe fn store(self, to: *mut Self::Lane);

    fn times4(self) -> Self;

    #[inline(always)]
    fn twice(self) -> Self {
        self + self
    }
}

/// A vector of 16-bit values.
pub trait Words: Vector<Lane = i16> {
    /// # Safety
    /// As for [`Vector::load`].
    unsafe fn widen(from: *const i8) -> Self;

    /// A pair of values in all pairs of lanes.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn broadcast(pair: i32) -> Self;
}

/// A vector of 32-bit sums.
pub trait Sums: Vector<Lane = i32> {
    fn times8(self) -> Self;
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
    /// The CPU has the instructions, and a block of sums is readable.
    unsafe fn load(from: *const i32) -> Self;

    /// # Safety
    /// A block of sums is writable.
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

/// Declares a [`Vector`]: its register, how many of which numbers are in it, and its instructions.
macro_rules! vector {
    (
        $(#[doc = $doc:literal])+
        $vector:ident($register:ident): $lanes:expr, $lane:ident,
        $zero:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $shift_left:ident
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy)]
        pub struct $vector(pub $register);

        impl Add for $vector {
            type Output = Self;

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                Self(unsafe { $add(self.0, other.0) })
            }
        }

        impl Sub for $vector {
            type Output = Self;

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                Self(unsafe { $sub(self.0, other.0) })
            }
        }

        impl Vector for $vector {
            type Lane = $lane;

            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller vouches for the instructions.
                Self(unsafe { $zero() })
            }

            #[inline(always)]
            unsafe fn load(from: *const $lane) -> Self {
                // SAFETY: the caller vouches for the instructions and for a vector; it needs no alignment.
                Self(unsafe { $load(from.cast()) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $lane) {
                // SAFETY: the caller vouches for room for a vector; the store needs no alignment.
                unsafe { $store(to.cast(), self.0) }
            }

            #[inline(always)]
            fn times4(self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                Self(unsafe { $shift_left::<2>(self.0) })
            }
        }
    };
}
pub(super) use vector;
