//! What a step may read: tensors that are intact, and maps of which only some rows are there.

use super::super::{Model, NONE, StepKind, StepRecord};
use crate::error::ModelError;

/// Every tensor that a step reads was written before and not overwritten since.
pub(super) fn check_liveness(
    model: &Model<'_>,
    index: usize,
    record: &StepRecord,
) -> Result<(), ModelError> {
    let step = index as u16;
    let operand = Some(record.operand).filter(|&t| t != NONE);
    for tensor in [Some(record.input), operand].into_iter().flatten() {
        if !intact(model, index, tensor) {
            return Err(ModelError::NotWritten { step, tensor });
        }
    }
    Ok(())
}

/// Whether `tensor` holds its value when step `index` begins.
fn intact(model: &Model<'_>, index: usize, tensor: u16) -> bool {
    let Some(wanted) = model.activation(tensor) else { return false };
    for earlier in model.steps.iter().take(index).rev() {
        if earlier.output == tensor {
            return true;
        }
        if model.activation(earlier.output).is_none_or(|written| written.overlaps(&wanted)) {
            return false;
        }
    }
    tensor == model.header.input_tensor
}

/// A tensor of which only some rows are there at a time lies between a convolution and the max-pool
/// that follows, and nowhere else; whole windows fit, so every part makes progress.
pub(super) fn check_streaming(
    model: &Model<'_>,
    index: usize,
    record: &StepRecord,
) -> Result<(), ModelError> {
    let step = index as u16;
    let error = ModelError::BadReference { step };
    let streamed = |tensor: u16| model.activation(tensor).is_some_and(|t| t.is_streamed());
    if record.operand != NONE && streamed(record.operand) {
        return Err(error);
    }
    let before = index.checked_sub(1).and_then(|index| model.steps.get(index));
    if streamed(record.input) && before.is_none_or(|before| before.output != record.input) {
        return Err(error);
    }
    if !streamed(record.output) {
        return Ok(());
    }
    let next = model.steps.get(index + 1).ok_or(error)?;
    let rows = model.activation(record.output).map_or(0, |t| t.rows);
    let pool = next.kind == StepKind::MaxPool as u8
        && next.input == record.output
        && next.strides[0] <= next.kernel[0]
        && usize::from(next.kernel[0]) <= rows;
    let conv = record.kind == StepKind::Conv as u8 && record.operand == NONE;
    // The pool writes while the convolution still reads.
    let (input, output) = (model.activation(record.input), model.activation(next.output));
    let disjoint = input.zip(output).is_some_and(|(input, output)| !input.overlaps(&output));
    if !conv || !pool || !disjoint {
        return Err(error);
    }
    Ok(())
}
