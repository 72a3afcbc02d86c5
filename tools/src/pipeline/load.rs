//! The start of the way in one call: a network in int8; failing that, in parts, or whole in float; or the
//! one that a model file was made from.

use std::path::Path;
use std::sync::Arc;

use fixnet::Model;

use super::{BUNDLED_NAME, FloatOnly, Lowered, PipelineError, Problem, Source};
use crate::import::ImportOptions;
use crate::partition::FloatNode;

/// How a network is loaded, and what else is tried where nodes have no int8 form.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    pub import: ImportOptions,
    /// Leave what stands before or behind the residual blocks in float.
    pub partition: bool,
    /// Leave the whole network in float.
    pub keep_float: bool,
}

/// A network on its way into a model file.
#[derive(Debug)]
pub enum Loaded {
    /// Int8, maybe between float ends.
    Int8(Arc<Lowered>),
    /// Float as a whole, and why.
    Float { network: Box<FloatOnly>, reason: PipelineError },
}

impl Loaded {
    /// What the model file is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Int8(lowered) => &lowered.name,
            Self::Float { network, .. } => &network.name,
        }
    }

    /// The ONNX file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Int8(lowered) => &lowered.path,
            Self::Float { network, .. } => &network.path,
        }
    }

    /// The nodes that stay in float.
    #[must_use]
    pub fn float_nodes(&self) -> Vec<&FloatNode> {
        match self {
            Self::Int8(lowered) => lowered.float_nodes().collect(),
            Self::Float { network, .. } => network.part.nodes.iter().collect(),
        }
    }
}

/// Loads the network of the file `path`, or the bundled one.
///
/// # Errors
/// What the last thing that was tried makes of it.
pub fn load(path: Option<&Path>, options: &LoadOptions) -> Result<Loaded, PipelineError> {
    let import = &options.import;
    let Some(path) = path else {
        return Source::bundled()?.lower(&ImportOptions::default()).map(Loaded::Int8);
    };
    let mut reason = match Source::open(path).and_then(|source| source.lower(import)) {
        Ok(lowered) => return Ok(Loaded::Int8(lowered)),
        Err(error) => error,
    };
    if options.partition && reason.may_be_split() {
        match Source::open(path).and_then(|source| source.partition(import)) {
            Ok(lowered) => return Ok(Loaded::Int8(lowered)),
            Err(error) => reason = error,
        }
    }
    if !options.keep_float {
        return Err(reason);
    }
    let network = Box::new(Source::open(path)?.keep_float(import)?);
    Ok(Loaded::Float { network, reason })
}

/// The float network that `model`, of the file `path`, was made from: `onnx`, or the bundled one.
///
/// # Errors
/// As [`Source::lower_as`], and if neither is the network that it was made from.
pub fn float_network_of(
    path: &Path,
    model: &Model<'_>,
    onnx: Option<&Path>,
    options: &ImportOptions,
) -> Result<Arc<Lowered>, PipelineError> {
    let lowered = match onnx {
        Some(onnx) => Source::open(onnx)?.lower_as(model, options)?,
        None if model.name() == BUNDLED_NAME => {
            Source::bundled()?.lower(&ImportOptions::default())?
        }
        None => {
            let problem = Problem::NoFloatNetwork { name: model.name().to_string() };
            return Err(PipelineError::network(path, problem));
        }
    };
    let layers = lowered.network.layers.iter().map(|layer| layer.name.as_str());
    if model.layers().map(|layer| layer.name).eq(layers) {
        return Ok(lowered);
    }
    let problem = Problem::OtherNetwork { name: lowered.name.clone() };
    Err(PipelineError::network(path, problem))
}
