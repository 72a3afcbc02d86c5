//! The minor version of a file: the lowest that can express it, so that older readers read what they can.
//!
//! What may not be broken: the writer writes the very version that the reader asks for.

use super::{StepKind, StepRecord, Target, TensorRecord, WeightLayout};

/// The first minor version with targets, layouts and streamed tensors.
const TARGETS_SINCE: u16 = 2;
/// The first minor version with x86-64-avx512vnni and with the layout [`WeightLayout::U8s8`].
const BYTES_SINCE: u16 = 3;
/// The first minor version with [`flags::EXCLUDE_PADDING`].
const EXCLUDE_PADDING_SINCE: u16 = 4;
/// The first minor version with more than [`SHORT`] records of a kind.
const LONG_SINCE: u16 = 6;
/// The first minor version with [`StepKind::Lookup`], [`StepKind::Multiply`], [`StepKind::Concat`], and with
/// one operand value a channel.
const GATES_SINCE: u16 = 7;
/// Most steps or tensors of the versions before.
const SHORT: usize = 1024;

/// The latest minor version: that of the last feature, or of a target that came after it.
pub(super) const LATEST_MINOR: u16 = {
    let (mut latest, mut at) = (GATES_SINCE, 0);
    while at < Target::ALL.len() {
        let since = Target::ALL[at].since();
        if since > latest {
            latest = since;
        }
        at += 1;
    }
    latest
};

/// The lowest minor version that can express a file.
pub(super) fn lowest_minor(
    target: u16,
    tensors: &[TensorRecord],
    steps: &[StepRecord],
    float_parts: usize,
) -> u16 {
    let bytes = steps.iter().any(|step| step.weight_layout == WeightLayout::U8s8 as u16);
    let streamed = tensors.iter().any(|tensor| tensor.rows != 0);
    let excludes_padding = steps.iter().any(StepRecord::excludes_padding);
    let long = steps.len().max(tensors.len()) > SHORT;
    let gates =
        steps.iter().any(|step| step.kind >= StepKind::Lookup as u8 || spreads(step, tensors));
    let features = match (gates, long, excludes_padding, bytes, streamed) {
        (true, ..) => GATES_SINCE,
        (_, true, ..) => LONG_SINCE,
        (.., true, _, _) => EXCLUDE_PADDING_SINCE,
        (.., true, _) => BYTES_SINCE,
        (.., true) => TARGETS_SINCE,
        _ => u16::from(float_parts != 0),
    };
    features.max(Target::from_code(target).map_or(0, Target::since))
}

/// Whether it is an addition of one value a channel.
fn spreads(step: &StepRecord, tensors: &[TensorRecord]) -> bool {
    let tensor = |index: u16| tensors.get(usize::from(index));
    let extents = |t: &TensorRecord| (t.height, t.width);
    step.kind == StepKind::Add as u8
        && tensor(step.operand).map(extents) != tensor(step.output).map(extents)
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::format::{MAX_RECORDS, flags};

    #[test]
    fn a_file_has_the_version_of_the_latest_thing_in_it() {
        let step = StepRecord::new_zeroed();
        let kind = StepKind::AveragePool as u8;
        let pool = StepRecord { kind, flags: flags::EXCLUDE_PADDING, ..step };
        for target in Target::ALL {
            let lowest = |steps: &[StepRecord]| lowest_minor(target as u16, &[], steps, 0);
            assert_eq!(lowest(&[step]), target.since());
            assert_eq!(lowest(&[pool]), target.since().max(EXCLUDE_PADDING_SINCE));
            assert!(lowest(&[pool]) <= LATEST_MINOR);
            assert_eq!(lowest(&[step; SHORT]), target.since());
            assert_eq!(lowest(&[pool; SHORT + 1]), LONG_SINCE);
        }
        let tensors = |count: usize| {
            lowest_minor(0, &std::vec![TensorRecord::new_zeroed(); count], &[step], 0)
        };
        assert_eq!([SHORT, SHORT + 1, MAX_RECORDS].map(tensors), [0, LONG_SINCE, LONG_SINCE]);
    }
}
