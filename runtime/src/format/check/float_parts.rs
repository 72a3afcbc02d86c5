//! What must hold of parts that stay in float: their kinds, shapes and places.

use zerocopy::FromBytes;

use super::super::section::{blob_fits, plan_section};
use super::super::{
    FloatPartKind, FloatPartRecord, Header, Limits, MAX_FLOAT_PARTS, Model, ShapeRecord,
};
use crate::error::ModelError;

/// Most values that a part takes or gives.
const MAX_ELEMENTS: u64 = 1 << 28;

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
#[cfg_attr(not(feature = "std"), cold)]
pub(super) fn is_whole(parts: &[FloatPartRecord]) -> bool {
    matches!(parts, [part] if part.kind == FloatPartKind::Whole as u16)
}

/// Kinds in order, shapes that fit the plan, and bytes behind all weights; `free` is the first byte
/// behind those.
#[cfg_attr(not(feature = "std"), cold)]
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
        let fits = record.bytes > 0 && blob_fits(model.header, record.offset, record.bytes, free);
        let reserved = record.reserved == 0;
        if !(in_order && alone && sized && joined && fits && reserved) {
            return Err(error);
        }
        limits.check_macs(record.macs)?;
    }
    Ok(())
}
