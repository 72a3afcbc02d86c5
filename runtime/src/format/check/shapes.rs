//! Which tensors a step takes and gives: as many as its kind has, and of shapes that follow from its parameters.

use super::super::{Activation, Model, StepKind, StepRecord};
use crate::error::ModelError;

/// Which steps take a second tensor, and of what shape.
#[cfg_attr(not(feature = "std"), cold)]
pub(super) fn check_operands(
    step: u16,
    kind: StepKind,
    input: &Activation,
    operand: Option<&Activation>,
    output: &Activation,
) -> Result<(), ModelError> {
    let same_as_output = operand.is_none_or(|o| o.shape() == output.shape());
    let fits = match kind {
        StepKind::Conv => same_as_output,
        StepKind::Add | StepKind::Multiply => {
            let by_channel = operand.is_some_and(|o| o.shape() == [1, 1, output.channels]);
            operand.is_some() && (same_as_output || by_channel) && input.shape() == output.shape()
        }
        _ => operand.is_none(),
    };
    if fits { Ok(()) } else { Err(ModelError::BadShape { step }) }
}

/// The inputs of a concatenation: maps of one extent that lie elsewhere than the output and have its
/// channels together. Those of all steps lie back to back in their table, which bounds the work of checking.
#[cfg_attr(not(feature = "std"), cold)]
pub(super) fn check_others(
    model: &Model<'_>,
    step: u16,
    record: &StepRecord,
    end: &mut usize,
) -> Result<(), ModelError> {
    if record.kind != StepKind::Concat as u8 {
        return Ok(());
    }
    let reference = ModelError::BadReference { step };
    let others = model.others_of(record).ok_or(reference)?;
    if record.channels_before as usize != *end {
        return Err(reference);
    }
    *end += others.len();
    let input = model.activation(record.input).ok_or(reference)?;
    let output = model.activation(record.output).ok_or(reference)?;
    let extent = |map: &Activation| (map.height, map.width);
    let mut channels = 0usize;
    let tensors = others.iter().map(|&tensor| model.activation(tensor));
    for map in core::iter::once(Some(input)).chain(tensors) {
        let map = map.filter(|map| !map.wide).ok_or(reference)?;
        if map.overlaps(&output) {
            return Err(ModelError::Overlap { step });
        }
        channels = channels.saturating_add(map.channels);
        if extent(&map) != extent(&output) {
            return Err(ModelError::BadShape { step });
        }
    }
    if channels == output.channels { Ok(()) } else { Err(ModelError::BadShape { step }) }
}

#[cfg_attr(not(feature = "std"), cold)]
pub(super) fn check_shape(
    step: u16,
    record: &StepRecord,
    kind: StepKind,
    input: &Activation,
    output: &Activation,
) -> Result<(), ModelError> {
    let fits = match kind {
        StepKind::Conv => {
            let groups = record.groups as usize;
            groups > 0
                && input.channels.is_multiple_of(groups)
                && output.channels.is_multiple_of(groups)
                && windows_fit(record, input, output)
        }
        StepKind::MaxPool | StepKind::AveragePool => {
            input.channels == output.channels
                && record.dilations == [1, 1]
                && pads_within_windows(record)
                && windows_fit(record, input, output)
        }
        StepKind::Lookup => input.shape() == output.shape(),
        // Seen to with the operands.
        StepKind::Add | StepKind::Multiply | StepKind::Concat => true,
        StepKind::Subsample => {
            let strided = |extent: usize, stride: u16| extent.div_ceil(usize::from(stride).max(1));
            let padded = input.channels.checked_add(record.channels_before as usize);
            !record.strides.contains(&0)
                && output.height == strided(input.height, record.strides[0])
                && output.width == strided(input.width, record.strides[1])
                && padded.is_some_and(|c| c <= output.channels)
        }
        StepKind::Logits => output.height == 1 && output.width == 1,
    };
    if fits { Ok(()) } else { Err(ModelError::BadShape { step }) }
}

/// No window lies in the padding alone: a pool, unlike a convolution, has no value for such a one.
fn pads_within_windows(record: &StepRecord) -> bool {
    (0..4).all(|side| record.pads[side] < record.kernel[side % 2])
}

/// The output extents follow from the window.
fn windows_fit(record: &StepRecord, input: &Activation, output: &Activation) -> bool {
    let extents = [(input.height, output.height), (input.width, output.width)];
    extents.iter().enumerate().all(|(axis, &(extent, out))| {
        let kernel = u32::from(record.kernel[axis]);
        let stride = u32::from(record.strides[axis]);
        let dilation = u32::from(record.dilations[axis]);
        let (before, after) = (u32::from(record.pads[axis]), u32::from(record.pads[axis + 2]));
        if kernel == 0 || stride == 0 || dilation == 0 {
            return false;
        }
        let span = u64::from(dilation) * u64::from(kernel - 1) + 1;
        let padded = extent as u64 + u64::from(before) + u64::from(after);
        padded >= span && (padded - span) / u64::from(stride) + 1 == out as u64
    })
}
