//! A network without an int8 form, which tract runs as it is.

use std::path::PathBuf;

use fixnet::AlignedBytes;
use fixnet::format::ModelSpec;

use super::PipelineError;
use crate::data::{InputShape, Recipe};
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
    /// Name and operator of nodes that tract alone has computed.
    pub unjudged: Vec<(String, String)>,
}

impl FloatOnly {
    /// Height, width and channels of the input.
    #[must_use]
    pub fn input_shape(&self) -> InputShape {
        self.part.input.into()
    }

    /// The bytes of a model file, for machines that have tract, with the classes' names, or none.
    ///
    /// # Errors
    /// [`PipelineError`] if the network is too large for the format.
    pub fn pack(
        &self,
        recipe: Option<&Recipe>,
        labels: Vec<String>,
    ) -> Result<AlignedBytes, PipelineError> {
        let spec = ModelSpec { labels, ..plan::whole(&self.name, &self.part, recipe) };
        fixnet::format::write(&spec).map_err(|error| PipelineError::inconsistent(&self.path, error))
    }
}
