//! The minor version of a file: the lowest that can express it, so that older readers read what they can.
//!
//! What may not be broken: the writer writes the very version that the reader asks for.

use super::{StepRecord, Target, TensorRecord, WeightLayout};

/// The first minor version with targets, layouts and streamed tensors.
const TARGETS_SINCE: u16 = 2;
/// The first minor version with x86-64-avx512vnni and with the layout [`WeightLayout::U8s8`].
const BYTES_SINCE: u16 = 3;
/// The first minor version with [`flags::EXCLUDE_PADDING`].
const EXCLUDE_PADDING_SINCE: u16 = 4;

/// The lowest minor version that can express a file.
pub(super) fn lowest_minor(
    target: u16,
    tensors: &[TensorRecord],
    steps: &[StepRecord],
    float_parts: usize,
) -> u16 {
    let bytes = steps.iter().any(|step| step.weight_layout == WeightLayout::U8s8 as u16);
    let streamed = tensors.iter().any(|tensor| tensor.rows != 0);
    if steps.iter().any(StepRecord::excludes_padding) {
        return EXCLUDE_PADDING_SINCE;
    }
    let others = match (bytes, streamed) {
        (true, _) => BYTES_SINCE,
        (false, true) => TARGETS_SINCE,
        (false, false) => u16::from(float_parts != 0),
    };
    others.max(Target::from_code(target).map_or(0, Target::since))
}
