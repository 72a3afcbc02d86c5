//! The network of an ONNX file as it is given.

use std::path::PathBuf;

use tract_onnx::pb::ModelProto;

use crate::import::{ImportedOutput, InputTensor};

/// The network of an ONNX file, which everything made from it is held against.
#[derive(Debug)]
pub struct Original {
    /// What a model file is called that is made from it.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    /// Its model, in canonical form.
    pub proto: ModelProto,
    pub input: InputTensor,
    /// In the order of the graph's.
    pub outputs: Vec<ImportedOutput>,
    /// Whether a model file says more of them than that there is one vector of scores.
    pub tells_outputs: bool,
}
