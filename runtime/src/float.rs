//! The float reference: an ONNX network run by tract, on the same kind of API as the int8 one.
//!
//! A [`FloatModel`] is the judge of every quantization, and a way to run a network on boards with
//! an operating system. It can be tapped at inner tensors by their ONNX names, which is how
//! calibration and the per-layer comparison see the network, and timed node by node.

use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::ops::{Cost, konst::Const};
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::DimLike;

use crate::profile::Clock;

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

    /// The nodes of tract's optimised plan that compute something, in the order in which they run.
    #[must_use]
    pub fn nodes(&self) -> Vec<FloatNode> {
        let model = self.runnable.model();
        let nodes = self.runnable.order_without_consts().iter().map(|&id| &model.nodes[id]);
        nodes.filter(|node| computes(node)).map(|node| self.node(node)).collect()
    }

    fn node(&self, node: &TypedNode) -> FloatNode {
        let model = self.runnable.model();
        let shape = node.outputs.first().and_then(|output| output.fact.shape.as_concrete());
        let costs = model.node_input_facts(node.id).and_then(|facts| node.op.cost(&facts));
        let macs = costs.unwrap_or_default().into_iter().filter_map(|(cost, count)| match cost {
            Cost::FMA(_) => count.to_usize().ok(),
            _ => None,
        });
        FloatNode {
            name: node.name.clone(),
            op: node.op.name().into_owned(),
            shape: shape.map(<[usize]>::to_vec).unwrap_or_default(),
            macs: macs.sum::<usize>() as u64,
        }
    }
}

/// One node of tract's optimised plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloatNode {
    /// The name of the ONNX node that it comes from, or one made from it (`NAME.im2col`).
    pub name: String,
    /// Name of tract's operator.
    pub op: String,
    /// Shape of its first output; empty if it is not fixed.
    pub shape: Vec<usize>,
    /// Multiply-accumulates, by tract's own account.
    pub macs: u64,
}

/// Whether a node does any work: inputs and constants only hand over what is there.
fn computes(node: &TypedNode) -> bool {
    !node.op_is::<TypedSource>() && !node.op_is::<Const>()
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
        let run = || flat(&self.model.runnable.run(self.tensor()?)?);
        run().map_err(|e| FloatError::Run(line(&e)))
    }

    /// [`FloatSession::run`] with the ticks of every node of [`FloatModel::nodes`].
    ///
    /// # Errors
    /// As [`FloatSession::run`].
    pub fn run_timed(
        &self,
        clock: &mut impl Clock,
    ) -> Result<(Vec<Vec<f32>>, Vec<u64>), FloatError> {
        let mut ticks = Vec::new();
        let mut run = || {
            let mut state = self.model.runnable.spawn()?;
            let outputs =
                state.run_plan_with_eval(self.tensor()?, |context, state, node, inputs| {
                    let start = clock.ticks();
                    let result = eval(context, state, node, inputs);
                    if computes(node) {
                        ticks.push(clock.ticks().saturating_sub(start));
                    }
                    result
                });
            flat(&outputs?)
        };
        let outputs = run().map_err(|e| FloatError::Run(line(&e)))?;
        Ok((outputs, ticks))
    }

    fn tensor(&self) -> TractResult<TVec<TValue>> {
        Ok(tvec!(Tensor::from_shape(&self.model.input_shape, &self.input)?.into()))
    }
}

/// Values in the order of their own layouts.
fn flat(values: &[TValue]) -> TractResult<Vec<Vec<f32>>> {
    let flat = |value: &TValue| -> TractResult<Vec<f32>> {
        let value = value.cast_to::<f32>()?;
        Ok(value.view().as_slice::<f32>()?.to_vec())
    };
    values.iter().map(flat).collect()
}
