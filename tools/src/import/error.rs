//! What can be wrong with a model file. Every error prints as one line that names the file and,
//! where there is one, the node with its place, operator and input shapes. Names that come from the
//! file are printed quoted and escaped, so a hostile name cannot break the line.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::name_list;
use super::operators;

/// A model file that could not be imported.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct ImportError {
    pub path: PathBuf,
    pub problem: Problem,
}

/// The reason of an [`ImportError`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("cannot read the model file: {0}")]
    Read(std::io::Error),
    #[error("is not an ONNX model, or only a part of one ({reason}); export or download it again")]
    NotOnnx { reason: String },
    #[error(
        "the model has {count} inputs ({names}), fixnet takes exactly one image input; \
         export the network alone"
    )]
    InputCount { count: usize, names: String },
    #[error(
        "{count} outputs ({names}) are asked for, a model file holds 1 to {limit}; name those that are \
         needed with --output", limit = fixnet::format::MAX_OUTPUTS
    )]
    OutputCount { count: usize, names: String },
    #[error(
        "the model has {count} outputs ({names}), and only one can be had with parts in float; \
         name it with --output"
    )]
    SeveralOutputs { count: usize, names: String },
    #[error("the model has no output {name:?}; its outputs are {names}")]
    NoSuchOutput { name: String, names: String },
    #[error("output {name:?} is asked for twice")]
    OutputTwice { name: String },
    #[error(
        "output {name:?} is {is}; --output NAME=scores and NAME=vector are for vectors of several values \
         with nothing taken off behind them"
    )]
    OutputKind { name: String, is: &'static str },
    #[error("input {input:?} has element type {element_type}; export the model with a float input")]
    InputType { input: String, element_type: &'static str },
    #[error(
        "input {input:?} has {rank} dimensions; fixnet takes an image [1, C, H, W] or [1, H, W, C], \
         or a vector [1, N]; if the file leaves the rank open give --input-shape 1,C,H,W"
    )]
    InputRank { input: String, rank: usize },
    #[error(
        "input {input:?}: dimension {index} is not fixed ({dimension}) in {shape}; \
         say what it is with --input-shape, for example --input-shape 1,3,224,224"
    )]
    UnknownDimension { input: String, index: usize, dimension: String, shape: String },
    #[error(
        "input {input:?} has a fixed batch of {batch}; fixnet runs one image at a time: export \
         with batch 1 or a dynamic batch, or try --input-shape with a leading 1"
    )]
    Batch { input: String, batch: usize },
    #[error("--input-shape {given:?} does not fit input {input:?}, which is {shape} in the file")]
    InputShape { input: String, given: Vec<usize>, shape: String },
    #[error("tensor {name:?} of shape {shape:?} is too large for any target (limit: {limit})")]
    TooLarge { name: String, shape: Vec<usize>, limit: &'static str },
    #[error("output {name:?} is written by no node: the file is damaged or was cut off")]
    NoOutput { name: String },
    #[error(
        "output {name:?} has shape {shape:?}; a vector [1, N] or a map [1, C, H, W] or [1, H, W, C] of \
         one image is needed: export the network without what turns it around"
    )]
    OutputOrder { name: String, shape: Vec<usize> },
    #[error(
        "output {name:?} is a norm by itself, which has no int8 form; leave it out with --output"
    )]
    NormOutput { name: String },
    #[error("output {name:?} does not depend on the input: there is nothing to run")]
    ConstantOutput { name: String },
    #[error(transparent)]
    Node(Box<NodeError>),
}

/// A node that cannot be imported, and where it stands.
#[derive(Debug, Error)]
pub struct NodeError {
    /// Position in the file's node list, from 0.
    pub index: usize,
    pub name: String,
    pub op: String,
    /// Shapes of the inputs that are known by then.
    pub input_shapes: Vec<Vec<usize>>,
    pub problem: NodeProblem,
    /// Outputs of the network, of several, that do not depend on it.
    pub spared: Vec<String>,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} {:?} ({}", self.index, self.name, printable(&self.op))?;
        for (i, shape) in self.input_shapes.iter().enumerate() {
            let separator = if i == 0 { " of " } else { ", " };
            write!(f, "{separator}{shape:?}")?;
        }
        write!(f, "): {}", self.problem)?;
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        if let Some(first) = self.spared.first() {
            let names = name_list(self.spared.iter().map(String::as_str));
            write!(f, "; it is not needed for {names}: try --output {}", printable(first))?;
        }
        // There may be more of the kind.
        match self.problem {
            NodeProblem::UnknownOperator { .. } => f.write_str("; `fixnet check` lists every node"),
            _ => Ok(()),
        }
    }
}

impl NodeError {
    /// What to do, where the problem itself does not say it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self.problem {
            NodeProblem::UnknownOperator { .. }
            | NodeProblem::Unsupported { .. }
            | NodeProblem::NotConstant { .. }
            | NodeProblem::Rank { .. }
            | NodeProblem::Shapes { .. }
            | NodeProblem::Reshape { .. }
            | NodeProblem::Layout { .. } => Some(operators::advice(&self.op)),
            _ => None,
        }
    }
}

/// `text` with control characters escaped.
fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Why a node cannot be imported.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum NodeProblem {
    #[error("operator {op:?} of domain {domain:?} is not supported")]
    UnknownOperator { op: String, domain: String },
    #[error("{what} is not supported")]
    Unsupported { what: String },
    #[error("runs in training mode; export the network in inference mode")]
    TrainingMode,
    #[error(
        "has {outputs} outputs, which mean training mode before operator set 14 (statistics of the batch, as \
         ONNX Runtime takes them); export the network in inference mode, or keep the first output alone if \
         the statistics in the file are meant"
    )]
    TrainingOutputs { outputs: usize },
    #[error("{what}; export the network with operator set {since} or later")]
    OldSpelling { what: &'static str, since: i64 },
    #[error("input {index} is missing")]
    MissingInput { index: usize },
    #[error("has no output")]
    MissingOutput,
    #[error(
        "reads {tensor:?} which neither the file nor any node before it gives (a cycle, or a part of a network)"
    )]
    UndefinedTensor { tensor: String },
    #[error("reads {tensor:?}, which an unsupported node writes")]
    UnknownTensor { tensor: String },
    #[error("writes {tensor:?}, which already exists")]
    Redefined { tensor: String },
    #[error("input {index} ({tensor:?}) must be a constant")]
    NotConstant { index: usize, tensor: String },
    #[error("input {index} ({tensor:?}) is a constant where the network's own data is expected")]
    UnexpectedConstant { index: usize, tensor: String },
    #[error(
        "uses what comes from the end of the network, as a Softmax, the largest values or a norm, which is supported only there"
    )]
    AfterEnd,
    #[error("{what} must have {expected} dimensions, found shape {found:?}")]
    Rank { what: &'static str, expected: &'static str, found: Vec<usize> },
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch { what: &'static str, expected: usize, found: usize },
    #[error("shapes {left:?} and {right:?} do not fit together")]
    Shapes { left: Vec<usize>, right: Vec<usize> },
    #[error("shape {from:?} cannot become {to:?}: only whole axes can be merged or moved")]
    Reshape { from: Vec<usize>, to: Vec<i64> },
    #[error("needs its input as [1, C, H, W]; it comes as {shape:?} in another order of axes")]
    Layout { shape: Vec<usize> },
    #[error("attribute {name:?}: {reason}")]
    Attribute { name: &'static str, reason: String },
    #[error("the window of {kernel:?} is larger than the padded input of {input:?}")]
    EmptyOutput { kernel: [usize; 2], input: [usize; 2] },
    #[error("tensor {tensor:?} holds {value} at index {index}; train or export the model again")]
    NonFinite { tensor: String, index: usize, value: f32 },
    #[error("tensor {tensor:?}: variance + epsilon is {value} at index {index}, must be positive")]
    Variance { tensor: String, index: usize, value: f32 },
    #[error("the model's constants need more than {limit} elements")]
    ConstantsTooLarge { limit: usize },
    #[error("output of shape {shape:?} is too large for any target (limit: {limit})")]
    TooLarge { shape: Vec<usize>, limit: &'static str },
    #[error("{0}")]
    Constant(&'static str),
    #[error(transparent)]
    Tensor(#[from] TensorProblem),
}

impl NodeProblem {
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

/// A constant of the file that cannot be read.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TensorProblem {
    #[error("tensor {tensor:?} has impossible dimensions {dims:?}")]
    Dims { tensor: String, dims: Vec<i64> },
    #[error("tensor {tensor:?} has element type {element_type}, which is not supported")]
    ElementType { tensor: String, element_type: String },
    #[error("tensor {tensor:?} needs {needed} {unit} and has {found}; the file is damaged")]
    Length { tensor: String, needed: usize, found: usize, unit: &'static str },
    #[error("tensor {tensor:?}: bad external data entry {key:?}")]
    ExternalEntry { tensor: String, key: &'static str },
    #[error(
        "tensor {tensor:?}: external data {location:?} lies outside the model's folder; \
         put the data file beside the model"
    )]
    ExternalOutside { tensor: String, location: String },
    #[error(
        "tensor {tensor:?}: cannot read external data {location:?} ({reason}); \
         the data file must lie beside the model"
    )]
    ExternalRead { tensor: String, location: String, reason: String },
    #[error(
        "tensor {tensor:?}: external data {location:?} is too short: bytes {offset}..{end} of {size}"
    )]
    ExternalRange { tensor: String, location: String, offset: u64, end: u64, size: u64 },
}
