//! Parts of a network that stay in float: ONNX models inside the file, for machines that run tract.
//!
//! A head turns the image into the int8 plan's input, a tail turns the plan's output into the
//! scores; a whole network stands alone, without a plan. The reader checks place, shape and size of
//! a part; what its ONNX model computes is between the file's maker and tract.

use super::check::{blob_fits, plan_section};
use super::{ALIGNMENT, Header, Limits, Model};
use crate::error::ModelError;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Parts of one model at most: a head and a tail.
pub const MAX_FLOAT_PARTS: usize = 2;
/// Most values that a part takes or gives.
const MAX_ELEMENTS: u64 = 1 << 28;

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

    fn elements(self) -> u64 {
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

impl<'m> Model<'m> {
    /// The parts that stay in float, in order; a [`crate::Session`] takes only models without any.
    pub fn float_parts(&self) -> impl Iterator<Item = FloatPart<'m>> + use<'m> {
        let model = *self;
        model.float_parts.iter().filter_map(move |record| {
            Some(FloatPart {
                kind: FloatPartKind::from_code(record.kind)?,
                onnx: model.slice(record.offset, record.bytes),
                input: record.input.shape(),
                output: record.output.shape(),
                macs: record.macs,
            })
        })
    }

    /// The part of this kind.
    #[must_use]
    pub fn float_part(&self, kind: FloatPartKind) -> Option<FloatPart<'m>> {
        self.float_parts().find(|part| part.kind == kind)
    }

    /// Compares the checksum of every float part with the plan.
    pub(super) fn verify_float_parts(&self) -> Result<(), ModelError> {
        for (index, record) in self.float_parts.iter().enumerate() {
            let found = super::CRC32.checksum(self.slice(record.offset, record.bytes));
            if found != record.crc32 {
                let (part, expected) = (index as u16, record.crc32);
                return Err(ModelError::FloatPartChecksum { part, expected, found });
            }
        }
        Ok(())
    }
}

/// The table of parts; the header must be checked.
pub(super) fn table<'m>(
    bytes: &'m [u8],
    header: &Header,
) -> Result<&'m [FloatPartRecord], ModelError> {
    let (offset, count) = (header.float_parts_offset, header.float_part_count);
    if header.version_minor == 0 && (offset, count) != (0, 0) {
        return Err(ModelError::ReservedNotZero);
    }
    if count == 0 {
        let error = ModelError::BadSection { offset, bytes: 0 };
        return if offset == 0 { Ok(&[]) } else { Err(error) };
    }
    if usize::from(count) > MAX_FLOAT_PARTS {
        return Err(ModelError::BadCount { count });
    }
    let len = u32::from(count) * size_of::<FloatPartRecord>() as u32;
    let section = plan_section(bytes, header, offset, len)?;
    <[FloatPartRecord]>::ref_from_bytes(section)
        .map_err(|_| ModelError::BadSection { offset, bytes: len })
}

/// Whether the only part is the whole network, so that the file has no plan.
pub(super) fn is_whole(parts: &[FloatPartRecord]) -> bool {
    matches!(parts, [part] if part.kind == FloatPartKind::Whole as u16)
}

/// Kinds in order, shapes that fit the plan, and bytes behind all weights; `free` is the first byte
/// behind those.
pub(super) fn check(model: &Model<'_>, limits: &Limits, free: &mut u64) -> Result<(), ModelError> {
    let mut before = None;
    for (index, record) in model.float_parts.iter().enumerate() {
        let error = ModelError::BadFloatPart { part: index as u16 };
        let kind = FloatPartKind::from_code(record.kind).ok_or(error)?;
        let in_order = before.is_none_or(|before| before < kind);
        let alone = kind != FloatPartKind::Whole || model.float_parts.len() == 1;
        before = Some(kind);
        let shapes = [record.input, record.output].map(ShapeRecord::elements);
        let sized = shapes.iter().all(|elements| (1..=MAX_ELEMENTS).contains(elements));
        let scores = (record.output.height, record.output.width) == (1, 1);
        let joined = match kind {
            FloatPartKind::Head => record.output.shape() == model.input().shape(),
            FloatPartKind::Tail => scores && record.input.shape() == model.output().shape(),
            FloatPartKind::Whole => scores,
        };
        let fits = record.bytes > 0 && blob_fits(model, record.offset, record.bytes, free);
        let reserved = record.reserved == 0;
        if !(in_order && alone && sized && joined && fits && reserved) {
            return Err(error);
        }
        limits.check_macs(record.macs)?;
    }
    Ok(())
}

const _: () = {
    assert!(size_of::<FloatPartRecord>() == 40);
    assert!(size_of::<FloatPartRecord>().is_multiple_of(8) && ALIGNMENT.is_multiple_of(8));
};
