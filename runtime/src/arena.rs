//! The arena: the one block of memory that a session computes in.
//!
//! This is the only place that hands out mutable slices of it. Ranges come from the checked plan;
//! ranges that overlap or leave the arena give `None` here, never aliasing.

use core::ops::Range;

use zerocopy::FromBytes;
#[cfg(feature = "std")]
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout};

#[cfg(feature = "std")]
use crate::error::SessionError;
#[cfg(feature = "std")]
use crate::format::ALIGNMENT;

/// An arena of `N` bytes, aligned as a session needs it.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Arena<const N: usize>([u8; N]);

impl<const N: usize> Arena<N> {
    /// An arena of zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; N])
    }

    /// Its bytes.
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes on the heap, aligned as a model and an arena need them.
#[cfg(feature = "std")]
#[derive(Debug, Clone)]
pub struct AlignedBytes {
    blocks: std::vec::Vec<Block>,
    len: usize,
}

#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(16))]
struct Block([u8; ALIGNMENT]);

#[cfg(feature = "std")]
impl AlignedBytes {
    /// `len` zeros, for a length that comes from a file: more than the machine can give is an error.
    ///
    /// ```
    /// # use fixnet::{AlignedBytes, KernelSet, Model, Session};
    /// # use std::error::Error;
    /// fn logits(model: &Model, rgb: &[u8], threads: usize) -> Result<Vec<i32>, Box<dyn Error>> {
    ///     let kernels = KernelSet::detect();
    ///     let needed = model.required_by_threads(kernels, threads).arena();
    ///     let mut arena = AlignedBytes::try_zeroed(needed)?;
    ///     let mut session = Session::with_threads(model, arena.as_mut_slice(), kernels, threads)?;
    ///     session.set_pixels(rgb)?;
    ///     Ok(session.run()?.to_vec())
    /// }
    /// # assert!(AlignedBytes::try_zeroed(usize::MAX).is_err());
    /// ```
    ///
    /// # Errors
    /// [`SessionError::OutOfMemory`].
    pub fn try_zeroed(len: usize) -> Result<Self, SessionError> {
        let blocks = Block::new_vec_zeroed(len.div_ceil(ALIGNMENT));
        let blocks = blocks.map_err(|_| SessionError::OutOfMemory { needed: len })?;
        Ok(Self { blocks, len })
    }

    /// `len` zeros, for a length that the program itself chooses.
    ///
    /// # Panics
    /// If the machine does not have the memory; [`AlignedBytes::try_zeroed`] reports that.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        match Self::try_zeroed(len) {
            Ok(zeros) => zeros,
            Err(error) => panic!("{error}"),
        }
    }

    /// An aligned copy.
    ///
    /// # Panics
    /// As [`AlignedBytes::zeroed`].
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.as_mut_slice().copy_from_slice(bytes);
        aligned
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.blocks.as_bytes().get(..self.len).unwrap_or(&[])
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.blocks.as_mut_bytes().get_mut(..self.len).unwrap_or(&mut [])
    }
}

#[cfg(feature = "std")]
impl core::ops::Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Makes the bytes of a file, aligned as [`crate::Model::new_checked`] needs them, a constant in
/// flash. The path is relative to the source file, as for `include_bytes!`.
///
/// ```ignore
/// static MODEL: &[u8] = fixnet::include_model!("resnet20-cifar10.fxn");
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr) => {{
        #[repr(C, align(16))]
        struct Aligned<T: ?Sized>(T);
        static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}

/// The bytes of `range` as int8.
pub(crate) fn int8_mut(arena: &mut [u8], range: Range<usize>) -> Option<&mut [i8]> {
    <[i8]>::mut_from_bytes(arena.get_mut(range)?).ok()
}

/// The bytes of `range` as i32.
pub(crate) fn words(arena: &[u8], range: Range<usize>) -> Option<&[i32]> {
    <[i32]>::ref_from_bytes(arena.get(range)?).ok()
}

/// The slices that one step works on; none overlaps another.
pub(crate) struct Views<'a> {
    pub input: &'a [i8],
    /// Absent if the step has no operand or works in place.
    pub operand: Option<&'a [i8]>,
    pub output: &'a mut [u8],
    pub scratch: &'a mut [u8],
}

/// Splits the arena for one step; `None` if any two ranges overlap or one leaves the arena.
pub(crate) fn views(
    arena: &mut [u8],
    input: Range<usize>,
    operand: Option<Range<usize>>,
    output: Range<usize>,
    scratch: Range<usize>,
) -> Option<Views<'_>> {
    let Some(operand) = operand else {
        let [input, output, scratch] = arena.get_disjoint_mut([input, output, scratch]).ok()?;
        let input = <[i8]>::ref_from_bytes(input).ok()?;
        return Some(Views { input, operand: None, output, scratch });
    };
    // An addition may read one tensor twice.
    if operand == input {
        let mut views = views(arena, input, None, output, scratch)?;
        views.operand = Some(views.input);
        return Some(views);
    }
    let ranges = [input, operand, output, scratch];
    let [input, operand, output, scratch] = arena.get_disjoint_mut(ranges).ok()?;
    let input = <[i8]>::ref_from_bytes(input).ok()?;
    let operand = <[i8]>::ref_from_bytes(operand).ok()?;
    Some(Views { input, operand: Some(operand), output, scratch })
}
