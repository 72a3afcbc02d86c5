//! The network of an ONNX file as it is given.

use std::path::PathBuf;

use tract_onnx::pb::ModelProto;

use crate::import::InputTensor;

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
    /// The tensor of the scores: the last one before a final Softmax.
    pub output: String,
    /// The Softmax that was taken off, if any.
    pub removed_softmax: Option<String>,
}
