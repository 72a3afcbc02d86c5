//! Parts of a network that stay in float: ONNX models inside the file, for machines that run tract.
//!
//! A head turns the image into the int8 plan's input, a tail turns the plan's output into the
//! scores; a whole network stands alone, without a plan. The reader checks place, shape and size of
//! a part; what its ONNX model computes is between the file's maker and tract.

use super::ALIGNMENT;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Parts of one model at most: a head and a tail.
pub const MAX_FLOAT_PARTS: usize = 2;

/// An ONNX model behind the weights.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct FloatPartRecord {
    /// [`FloatPartKind`].
    pub kind: u16,
    pub reserved: u16,
    /// The ONNX model; offset in the file.
    pub offset: u32,
    pub bytes: u32,
    /// CRC-32/ISO-HDLC of the ONNX model.
    pub crc32: u32,
    /// What it takes and what it gives, HWC.
    pub input: ShapeRecord,
    pub output: ShapeRecord,
    /// Multiply-accumulates, as the file's maker counts them.
    pub macs: u64,
}

/// A shape, HWC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ShapeRecord {
    pub height: u16,
    pub width: u16,
    pub channels: u32,
}

impl ShapeRecord {
    /// Height, width, channels.
    #[must_use]
    pub const fn shape(self) -> [usize; 3] {
        [self.height as usize, self.width as usize, self.channels as usize]
    }

    pub(super) fn elements(self) -> u64 {
        let plane = u64::from(self.height) * u64::from(self.width);
        plane.saturating_mul(u64::from(self.channels))
    }
}

/// Where a float part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
#[non_exhaustive]
pub enum FloatPartKind {
    /// From the image, in real values, to the real values of the plan's input.
    Head = 1,
    /// From the real values of the plan's output to the scores.
    Tail = 2,
    /// From the image to the scores; the file has no plan.
    Whole = 3,
}

impl FloatPartKind {
    /// The kind with this code.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Head,
            2 => Self::Tail,
            3 => Self::Whole,
            _ => return None,
        })
    }

    /// `head`, `tail` or `whole`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Tail => "tail",
            Self::Whole => "whole",
        }
    }
}

/// A part of the network that stays in float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatPart<'m> {
    pub kind: FloatPartKind,
    /// An ONNX model of one input and one output, float, whose elements lie in HWC order.
    pub onnx: &'m [u8],
    /// Height, width, channels.
    pub input: [usize; 3],
    /// Height, width, channels.
    pub output: [usize; 3],
    /// Multiply-accumulates, as the file's maker counts them.
    pub macs: u64,
}

const _: () = {
    assert!(size_of::<FloatPartRecord>() == 40);
    assert!(size_of::<FloatPartRecord>().is_multiple_of(8) && ALIGNMENT.is_multiple_of(8));
};
