//! What must hold of the table of outputs and of the classes' names.

use zerocopy::FromBytes;

use super::super::section::plan_section;
use super::super::{
    FloatPartKind, Header, MAX_OUTPUTS, Model, Output, OutputKind, OutputRecord, Selection,
};
use super::flow::Intact;
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
pub(super) fn check(model: &Model<'_>, intact: &Intact) -> Result<(), ModelError> {
    let has_tail = model.float_part(FloatPartKind::Tail).is_some();
    for (index, record) in model.outputs.iter().enumerate() {
        let error = ModelError::BadOutput { output: index as u16 };
        let activation = model.activation(record.tensor).ok_or(error)?;
        let output = Output::new("", record, activation).ok_or(error)?;
        let selects = output.selection != Selection::All;
        let count = match selects {
            true => (1..=activation.elements()).contains(&output.count),
            false => record.count == 0,
        };
        let [height, width, _] = activation.shape();
        let is_map = output.kind == OutputKind::Map;
        let shape = (height, width) == (1, 1) || (is_map && !selects);
        let kind = (output.kind == OutputKind::Index) == (output.selection == Selection::Positions);
        let first = index != 0 || record.tensor == model.header.output_tensor;
        let there = intact.has(record.tensor) && !activation.is_streamed();
        if !(count && shape && kind && first && there) || has_tail || record.reserved != [0; 3] {
            return Err(error);
        }
    }
    check_labels(model)
}

/// The names of the classes, one a line, none of them empty, all fit to be printed.
fn check_labels(model: &Model<'_>) -> Result<(), ModelError> {
    let Header { labels_offset: offset, labels_bytes: bytes, .. } = *model.header;
    if offset == 0 && bytes == 0 {
        return Ok(());
    }
    let error = ModelError::BadSection { offset, bytes };
    let section = plan_section(model.bytes, model.header, offset, bytes)?;
    let text = core::str::from_utf8(section).map_err(|_| error)?;
    let mut lines = 0;
    for line in text.split('\n') {
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err(error);
        }
        lines += 1;
    }
    if lines == model.classes() { Ok(()) } else { Err(error) }
}
