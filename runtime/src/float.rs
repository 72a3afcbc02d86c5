//! The float reference: an ONNX network run by tract, on the same kind of API as the int8 one.
//!
//! A [`FloatModel`] is the judge of every quantization. It can be tapped at inner tensors by their
//! ONNX names, which is how calibration and the per-layer comparison see the network.

use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use tract_onnx::prelude::*;

/// Why the float reference could not be made or run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatError {
    /// tract does not accept the network.
    Load(String),
    /// The network has no tensor of this name.
    NoSuchTensor(String),
    /// The input has another length than the network's.
    InputLength { needed: usize, available: usize },
    /// The network failed on an input.
    Run(String),
}

impl core::fmt::Display for FloatError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Load(why) => write!(f, "the float reference cannot load the network: {why}"),
            Self::NoSuchTensor(name) => write!(f, "the network has no tensor named {name}"),
            Self::InputLength { needed, available } => {
                write!(f, "the input has {available} values and {needed} are needed")
            }
            Self::Run(why) => write!(f, "the float reference failed: {why}"),
        }
    }
}

impl core::error::Error for FloatError {}

/// One line of an error with its causes.
fn line(error: &TractError) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A float network, optimised for this machine. Cheap to clone and shared between threads.
#[derive(Debug, Clone)]
pub struct FloatModel {
    runnable: Arc<TypedRunnableModel>,
    input_shape: Vec<usize>,
}

impl FloatModel {
    /// Loads an ONNX network for inputs of `input_shape` (batch included) whose outputs are the
    /// tensors `outputs`, by their ONNX names, in this order.
    ///
    /// # Errors
    /// [`FloatError`] if tract refuses the network or a tensor does not exist.
    pub fn load(
        model: &tract_onnx::pb::ModelProto,
        folder: Option<&str>,
        input_shape: &[usize],
        outputs: &[&str],
    ) -> Result<Self, FloatError> {
        let load = |e: TractError| FloatError::Load(line(&e));
        // The shape is given here; shapes noted in the file may name a symbolic batch instead.
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        let parsed = onnx.parse(model, folder).map_err(load)?;
        let mut network = parsed.model;
        let fact = f32::fact(input_shape).into();
        network.set_input_fact(0, fact).map_err(load)?;
        let mut outlets = Vec::with_capacity(outputs.len());
        for &name in outputs {
            let outlet = find_outlet(&network, name);
            outlets.push(outlet.ok_or_else(|| FloatError::NoSuchTensor(name.to_string()))?);
        }
        network.select_output_outlets(&outlets).map_err(load)?;
        let runnable = network.into_optimized().and_then(|m| m.into_runnable()).map_err(load)?;
        Ok(Self { runnable, input_shape: input_shape.to_vec() })
    }

    /// Number of input values.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// A session; one per thread.
    #[must_use]
    pub fn session(&self) -> FloatSession {
        FloatSession { model: self.clone(), input: vec![0.0; self.input_len()] }
    }
}

/// The outlet of the tensor `name`: tract labels outlets by tensor, nodes by node.
fn find_outlet(network: &InferenceModel, name: &str) -> Option<OutletId> {
    if let Some(outlet) = network.find_outlet_label(name) {
        return Some(outlet);
    }
    let node = network.nodes.iter().find(|n| n.name == name)?;
    Some(OutletId::new(node.id, 0))
}

/// A float inference, in the manner of [`crate::Session`].
#[derive(Debug, Clone)]
pub struct FloatSession {
    model: FloatModel,
    input: Vec<f32>,
}

impl FloatSession {
    /// The input, in the layout of the ONNX file.
    pub fn input_mut(&mut self) -> &mut [f32] {
        &mut self.input
    }

    /// Runs the network and returns its outputs, each flattened in its own layout.
    ///
    /// # Errors
    /// [`FloatError::Run`] if tract fails.
    pub fn run(&self) -> Result<Vec<Vec<f32>>, FloatError> {
        let fail = |e: TractError| FloatError::Run(line(&e));
        let input = Tensor::from_shape(&self.model.input_shape, &self.input).map_err(fail)?;
        let outputs = self.model.runnable.run(tvec!(input.into())).map_err(fail)?;
        let flat = |value: &TValue| -> TractResult<Vec<f32>> {
            let value = value.cast_to::<f32>()?;
            Ok(value.view().as_slice::<f32>()?.to_vec())
        };
        outputs.iter().map(flat).collect::<TractResult<_>>().map_err(fail)
    }
}
