//! The minor version of a file: the lowest that can express it, so that older readers read what they can.
//!
//! What may not be broken: the writer writes the very version that the reader asks for.

use super::{StepKind, StepRecord, Target, TensorRecord, WeightLayout};

/// The first minor version with parts in float.
const FLOAT_PARTS_SINCE: u16 = 1;
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
/// The first minor version with preprocessing of images of 1 and 4 channels.
const IMAGES_SINCE: u16 = 8;
/// The first minor version with a table of outputs, and with names of classes.
const OUTPUTS_SINCE: u16 = 9;
/// Most steps or tensors of the versions before.
const SHORT: usize = 1024;

/// The latest minor version: that of the last feature, or of a target that came after it.
pub(super) const LATEST_MINOR: u16 = {
    let (mut latest, mut at) = (OUTPUTS_SINCE, 0);
    while at < Target::ALL.len() {
        let since = Target::ALL[at].since();
        if since > latest {
            latest = since;
        }
        at += 1;
    }
    latest
};

/// What a file holds, as far as its version depends on it.
#[derive(Clone, Copy, Default)]
pub(super) struct Contents<'a> {
    /// [`Target`].
    pub target: u16,
    pub tensors: &'a [TensorRecord],
    pub steps: &'a [StepRecord],
    /// Number of them.
    pub float_parts: usize,
    /// Those of the image that the preprocessing is for.
    pub image_channels: Option<usize>,
    /// Whether it has a table of outputs, or names of classes.
    pub outputs: bool,
}

/// The lowest minor version that can express a file.
pub(super) fn lowest_minor(contents: Contents<'_>) -> u16 {
    let Contents { target, tensors, steps, float_parts, image_channels, outputs } = contents;
    let bytes = steps.iter().any(|step| step.weight_layout == WeightLayout::U8s8 as u16);
    let streamed = tensors.iter().any(|tensor| tensor.rows != 0);
    let excludes_padding = steps.iter().any(StepRecord::excludes_padding);
    let long = steps.len().max(tensors.len()) > SHORT;
    let gates =
        steps.iter().any(|step| step.kind >= StepKind::Lookup as u8 || spreads(step, tensors));
    let other_image = image_channels.is_some_and(|channels| channels != 3);
    let features = [
        (float_parts != 0, FLOAT_PARTS_SINCE),
        (streamed, TARGETS_SINCE),
        (bytes, BYTES_SINCE),
        (excludes_padding, EXCLUDE_PADDING_SINCE),
        (long, LONG_SINCE),
        (gates, GATES_SINCE),
        (other_image, IMAGES_SINCE),
        (outputs, OUTPUTS_SINCE),
    ];
    let since = features.into_iter().map(|(used, since)| if used { since } else { 0 });
    since.fold(Target::from_code(target).map_or(0, Target::since), u16::max)
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
            let lowest = |steps: &[StepRecord]| {
                lowest_minor(Contents { target: target as u16, steps, ..Contents::default() })
            };
            assert_eq!(lowest(&[step]), target.since());
            assert_eq!(lowest(&[pool]), target.since().max(EXCLUDE_PADDING_SINCE));
            assert!(lowest(&[pool]) <= LATEST_MINOR);
            assert_eq!(lowest(&[step; SHORT]), target.since());
            assert_eq!(lowest(&[pool; SHORT + 1]), LONG_SINCE);
        }
        let tensors = |count: usize| {
            let tensors = std::vec![TensorRecord::new_zeroed(); count];
            lowest_minor(Contents { tensors: &tensors, steps: &[step], ..Contents::default() })
        };
        assert_eq!([SHORT, SHORT + 1, MAX_RECORDS].map(tensors), [0, LONG_SINCE, LONG_SINCE]);
    }

    #[test]
    fn images_of_one_and_four_channels_came_later_than_those_of_three() {
        let lowest =
            |image_channels| lowest_minor(Contents { image_channels, ..Contents::default() });
        let image = [None, Some(3), Some(1), Some(4)].map(lowest);
        assert_eq!(image, [0, 0, IMAGES_SINCE, IMAGES_SINCE]);
    }

    #[test]
    fn a_table_of_outputs_came_last() {
        assert_eq!(lowest_minor(Contents { outputs: true, ..Contents::default() }), OUTPUTS_SINCE);
    }
}
