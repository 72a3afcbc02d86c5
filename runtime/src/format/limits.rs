//! What a reader accepts beyond what the format allows: work and memory of one inference.
//!
//! What may not be broken: the work counted here is what the kernels do, for every step that the
//! checker accepts, whatever the file says of itself.

use super::{Activation, StepKind, StepRecord};
use crate::error::ModelError;

/// Most that one inference of a model may take; see [`crate::Model::new_checked_with`].
///
/// ```
/// use fixnet::format::Limits;
///
/// // For a device that should answer within a second.
/// let limits = Limits::DEFAULT.with_macs(2_000_000_000).with_arena(4 << 20);
/// assert_eq!(limits.elements, Limits::DEFAULT.elements);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Multiply-accumulates of all steps, as [`crate::Model::macs`] counts them, and of each float
    /// part, as the file's maker counts those.
    pub macs: u64,
    /// Elements that all steps visit apart from multiply-accumulates, as
    /// [`crate::Model::elements`] counts them.
    pub elements: u64,
    /// Bytes of activations in the arena; scratch comes on top.
    pub arena: usize,
}

impl Limits {
    /// What [`crate::Model::new_checked`] accepts: 2^36 multiply-accumulates (six times ResNet-152's),
    /// 2^33 other elements, and 1 GiB of activations.
    pub const DEFAULT: Self = Self { macs: 1 << 36, elements: 1 << 33, arena: 1 << 30 };
    /// Whatever the format can express.
    pub const NONE: Self = Self { macs: u64::MAX, elements: u64::MAX, arena: usize::MAX };

    /// These limits with another one for multiply-accumulates.
    #[must_use]
    pub const fn with_macs(self, macs: u64) -> Self {
        Self { macs, ..self }
    }

    /// These limits with another one for elements.
    #[must_use]
    pub const fn with_elements(self, elements: u64) -> Self {
        Self { elements, ..self }
    }

    /// These limits with another one for the arena.
    #[must_use]
    pub const fn with_arena(self, arena: usize) -> Self {
        Self { arena, ..self }
    }

    pub(super) fn check_arena(&self, needed: usize) -> Result<(), ModelError> {
        if needed <= self.arena {
            return Ok(());
        }
        Err(ModelError::ArenaTooLarge { needed, limit: self.arena })
    }

    pub(super) fn check_macs(&self, needed: u64) -> Result<(), ModelError> {
        if needed <= self.macs {
            return Ok(());
        }
        Err(ModelError::TooMuchWork { needed, limit: self.macs })
    }

    pub(super) fn check_work(&self, work: Work) -> Result<(), ModelError> {
        self.check_macs(work.macs)?;
        if work.elements <= self.elements {
            return Ok(());
        }
        Err(ModelError::TooManyElements { needed: work.elements, limit: self.elements })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What steps do; counts saturate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    /// Multiply-accumulates of convolutions and classifiers.
    pub macs: u64,
    /// Elements of pools' windows, and elements written by everything else.
    pub elements: u64,
}

impl Work {
    /// The work of one step.
    pub fn for_step(
        record: &StepRecord,
        kind: StepKind,
        input: &Activation,
        output: &Activation,
    ) -> Self {
        let outputs = output.elements() as u64;
        let window = u64::from(record.kernel[0]) * u64::from(record.kernel[1]);
        let group_channels = input.channels as u64 / u64::from(record.groups.max(1));
        let (terms, visits) = match kind {
            StepKind::Conv => (window.saturating_mul(group_channels), 1),
            StepKind::Logits => (input.elements() as u64, 1),
            StepKind::MaxPool | StepKind::AveragePool => (0, window),
            StepKind::Add
            | StepKind::Subsample
            | StepKind::Lookup
            | StepKind::Multiply
            | StepKind::Concat => (0, 1),
        };
        Self { macs: outputs.saturating_mul(terms), elements: outputs.saturating_mul(visits) }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            macs: self.macs.saturating_add(other.macs),
            elements: self.elements.saturating_add(other.elements),
        }
    }
}
