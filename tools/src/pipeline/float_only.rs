//! A network without an int8 form, which tract runs as it is.

use std::path::PathBuf;

use fixnet::AlignedBytes;

use super::PipelineError;
use crate::data::{InputSize, Recipe};
use crate::partition::Part;
use crate::plan;

/// A network that stays in float as a whole.
#[derive(Debug)]
pub struct FloatOnly {
    /// What a model file that is made from it is called.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    pub part: Part,
}

impl FloatOnly {
    /// Height and width of the input.
    #[must_use]
    pub fn input_size(&self) -> InputSize {
        let [height, width, _] = self.part.input;
        InputSize { height, width }
    }

    /// The bytes of a model file, for machines that have tract.
    ///
    /// # Errors
    /// [`PipelineError`] if the network is too large for the format.
    pub fn pack(&self, recipe: &Recipe) -> Result<AlignedBytes, PipelineError> {
        fixnet::format::write(&plan::whole(&self.name, &self.part, recipe))
            .map_err(|error| PipelineError::inconsistent(&self.path, error))
    }
}
