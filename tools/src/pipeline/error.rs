//! What can stop a network on its way.

use std::path::{Path, PathBuf};

use fixnet::ModelError;
use fixnet::float::FloatError;

use crate::calibrate::CalibrateError;
use crate::compare::CompareError;
use crate::data::{DataError, RecipeError};
use crate::fold::FoldError;
use crate::import::ImportError;
use crate::lower::LowerError;
use crate::packing::PackingError;
use crate::partition::PartitionError;
use crate::quantize::QuantizeError;
use crate::verify::VerifyError;

/// Why a network did not get through a stage: one line that begins with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The ONNX file or one of its nodes.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An image.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An image on which a network gives no scores.
    #[error(transparent)]
    Scores(CompareError),
    /// What was made of the ONNX file, or of a model file that it is compared with.
    #[error("{}: {problem}", path.display())]
    Network { path: PathBuf, problem: Box<Problem> },
}

/// The reason of a [`PipelineError::Network`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error(transparent)]
    Float(#[from] FloatError),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error(transparent)]
    Lower(#[from] LowerError),
    #[error(transparent)]
    Partition(PartitionError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Calibrate(CalibrateError),
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    #[error("the planned file is inconsistent: {0}")]
    Inconsistent(ModelError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Pack(#[from] PackingError),
    #[error(transparent)]
    Compare(CompareError),
    #[error(
        "its input has {channels} channels, and images have 1, 3 or 4: a recipe for images has no meaning"
    )]
    NoImages { channels: usize },
    #[error("the model file runs it whole in float, by tract; there is no int8 beside it")]
    WholeInFloat,
    #[error("the file does not hold the float network of {name}; give it with --model MODEL.onnx")]
    NoFloatNetwork { name: String },
    #[error("was not made from {name}; give its float network with --model MODEL.onnx")]
    OtherNetwork { name: String },
}

impl PipelineError {
    /// A problem of what was made of the file `path`.
    pub fn network(path: &Path, problem: impl Into<Problem>) -> Self {
        Self::Network { path: path.to_path_buf(), problem: Box::new(problem.into()) }
    }

    /// The problem, if it is one of a network.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Network { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// Whether a part of the network may have the int8 form that the whole has not.
    #[must_use]
    pub fn may_be_split(&self) -> bool {
        !matches!(self.problem(), Some(Problem::Quantize(_)))
    }

    pub(super) fn inconsistent(path: &Path, error: ModelError) -> Self {
        Self::network(path, Problem::Inconsistent(error))
    }

    pub(super) fn partition(path: &Path, error: PartitionError) -> Self {
        match error {
            PartitionError::Import(error) => Self::Import(error),
            other => Self::network(path, Problem::Partition(other)),
        }
    }

    pub(super) fn calibrate(path: &Path, error: CalibrateError) -> Self {
        match error {
            CalibrateError::Data(error) => Self::Data(error),
            other => Self::network(path, Problem::Calibrate(other)),
        }
    }

    /// A comparison of the file `path` that failed, if not because of an image.
    #[must_use]
    pub fn compare(path: &Path, error: CompareError) -> Self {
        match error {
            CompareError::Data(error) => Self::Data(error),
            CompareError::NotFinite { .. } => Self::Scores(error),
            other => Self::network(path, Problem::Compare(other)),
        }
    }
}
