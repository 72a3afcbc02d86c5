//! What must hold of the table of outputs and of the classes' names.

use zerocopy::FromBytes;

use super::super::section::plan_section;
use super::super::{
    FloatPartKind, Header, MAX_OUTPUTS, Model, OutputFunction, OutputKind, OutputRecord, Selection,
};
use super::flow::Intact;
use super::is_printable;
use crate::error::ModelError;

/// The table; the header must be checked. A file of one vector of scores has none.
pub(super) fn table<'m>(
    bytes: &'m [u8],
    header: &Header,
) -> Result<&'m [OutputRecord], ModelError> {
    let (offset, count) = (header.outputs_offset, header.output_count);
    if (offset == 0) != (count == 0) || usize::from(count) > MAX_OUTPUTS {
        return Err(ModelError::BadCount { count });
    }
    if count == 0 {
        return Ok(&[]);
    }
    let len = u32::from(count) * size_of::<OutputRecord>() as u32;
    let section = plan_section(bytes, header, offset, len)?;
    <[OutputRecord]>::ref_from_bytes(section)
        .map_err(|_| ModelError::BadSection { offset, bytes: len })
}

/// Every output is there when all steps have run, and is what its kind says; `intact` is what is left then.
/// There is one name for each class.
#[cfg_attr(not(feature = "std"), cold)]
pub(super) fn check(model: &Model<'_>, intact: &Intact) -> Result<(), ModelError> {
    let has_tail = model.float_part(FloatPartKind::Tail).is_some();
    for (index, record) in model.outputs.iter().enumerate() {
        let first = index != 0 || record.tensor == model.header.output_tensor;
        if has_tail || !first || !intact.has(record.tensor) || !is_sound(model, record) {
            return Err(ModelError::BadOutput { output: index as u16 });
        }
    }
    check_labels(model)
}

/// Whether a record says of its tensor what can be so.
#[cfg_attr(not(feature = "std"), cold)]
fn is_sound(model: &Model<'_>, record: &OutputRecord) -> bool {
    let Some(tensor) = model.tensors.get(usize::from(record.tensor)) else { return false };
    let codes = (OutputKind::from_code(record.kind), Selection::from_code(record.selection));
    let (Some(kind), Some(selection)) = codes else { return false };
    let one_pixel = (tensor.height, tensor.width) == (1, 1);
    let selects = selection != Selection::All;
    let count = match selects {
        true => record.count != 0 && record.count <= tensor.channels,
        false => record.count == 0,
    };
    let shape = one_pixel || (kind == OutputKind::Map && !selects);
    let index = (kind == OutputKind::Index) == (selection == Selection::Positions);
    let function = OutputFunction::from_code(record.function).is_some();
    count && shape && index && function && tensor.rows == 0 && record.reserved == [0; 3]
}

/// The names of the classes, one a line, none of them empty, all fit to be printed.
#[cfg_attr(not(feature = "std"), cold)]
fn check_labels(model: &Model<'_>) -> Result<(), ModelError> {
    let Header { labels_offset: offset, labels_bytes: bytes, .. } = *model.header;
    if offset == 0 && bytes == 0 {
        return Ok(());
    }
    let section = plan_section(model.bytes, model.header, offset, bytes)?;
    let (mut lines, mut before) = (1, b'\n');
    let mut empty = section.last().is_none_or(|&byte| byte == b'\n');
    for &byte in section {
        empty |= byte == b'\n' && before == b'\n';
        lines += usize::from(byte == b'\n');
        before = byte;
    }
    if !empty && is_printable(section, Some('\n')) && lines == model.classes() {
        return Ok(());
    }
    Err(ModelError::BadSection { offset, bytes })
}
