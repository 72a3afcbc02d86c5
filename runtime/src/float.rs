//! The float reference: an ONNX network run by tract, on the same kind of API as the int8 one.
//!
//! A [`FloatModel`] is the judge of every quantization, and a way to run a network on boards with
//! an operating system. It can be tapped at inner tensors by their ONNX names, which is how
//! calibration and the per-layer comparison see the network, and timed node by node.

mod crop;
mod guard;
mod pad;
mod padding;
mod pieces;
mod sizes;

use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::Pad;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::ops::{Cost, konst::Const};
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::{DimLike, bail};

use crate::profile::Clock;

use guard::guarded;
pub use guard::silence_caught_panics;
use pieces::Pieces;
use sizes::{bounded, check_file, check_inferred, check_typed};

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

/// A float network, optimised for this machine. Cheap to clone and shared between threads.
#[derive(Debug, Clone)]
pub struct FloatModel {
    pieces: Arc<Pieces>,
    input_shape: Vec<usize>,
}

impl FloatModel {
    /// Loads an ONNX network for inputs of `input_shape` (batch included) whose outputs are the
    /// tensors `outputs`, by their ONNX names, in this order.
    ///
    /// # Errors
    /// [`FloatError`] if tract refuses the network, a tensor does not exist, or one of more than 2^28
    /// elements does, before it is allocated.
    pub fn load(
        model: &tract_onnx::pb::ModelProto,
        folder: Option<&str>,
        input_shape: &[usize],
        outputs: &[&str],
    ) -> Result<Self, FloatError> {
        // The shape is given here; shapes noted in the file may name a symbolic batch instead.
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        if bounded(input_shape.iter().copied()).is_none() {
            return Err(FloatError::Load(format!(
                "an input of shape {input_shape:?} is too large"
            )));
        }
        let parse = || {
            check_file(model)?;
            let mut network = onnx.parse(model, folder)?.model;
            network.set_input_fact(0, f32::fact(input_shape).into())?;
            Ok(network)
        };
        let mut network = guarded(parse).map_err(FloatError::Load)?;
        let mut outlets = Vec::with_capacity(outputs.len());
        for &name in outputs {
            let outlet = find_outlet(&network, name);
            outlets.push(outlet.ok_or_else(|| FloatError::NoSuchTensor(name.to_string()))?);
        }
        let typed = || {
            network.select_output_outlets(&outlets)?;
            check_inferred(&mut network)?;
            let mut network = network.into_typed()?;
            refuse_negative_pads(&network)?;
            check_typed(&network)?;
            padding::fix(&mut network)?;
            Ok(network)
        };
        let network = guarded(typed).map_err(FloatError::Load)?;
        let pieces = Arc::new(Pieces::new(network).map_err(FloatError::Load)?);
        Ok(Self { pieces, input_shape: input_shape.to_vec() })
    }

    /// Loads an ONNX model that holds all of its weights, of one input of a fixed shape.
    ///
    /// # Errors
    /// [`FloatError::Load`] if it is none, or tract refuses it.
    pub fn from_bytes(onnx: &[u8]) -> Result<Self, FloatError> {
        let read = || tract_onnx::onnx().proto_model_for_read(&mut &*onnx);
        let proto = guarded(read).map_err(FloatError::Load)?;
        let missing = |what: &str| FloatError::Load(format!("its ONNX model has no {what}"));
        let graph = proto.graph.as_ref().ok_or_else(|| missing("graph"))?;
        let [input] = graph.input.as_slice() else { return Err(missing("single input")) };
        let [output] = graph.output.as_slice() else { return Err(missing("single output")) };
        let shape = fixed_shape(input).ok_or_else(|| missing("fixed input shape"))?;
        Self::load(&proto, None, &shape, &[&output.name])
    }

    /// Number of input values.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// Shapes of the outputs, batch included; none for one that is not fixed.
    #[must_use]
    pub fn output_shapes(&self) -> Vec<Option<Vec<usize>>> {
        self.pieces.output_shapes()
    }

    /// A session; one per thread.
    #[must_use]
    pub fn session(&self) -> FloatSession {
        FloatSession { model: self.clone(), input: vec![0.0; self.input_len()] }
    }

    /// The nodes of tract's optimised plan that compute something, in the order in which they run.
    #[must_use]
    pub fn nodes(&self) -> Vec<FloatNode> {
        let pieces = self.pieces.pieces.iter().map(|piece| &piece.runnable);
        let nodes = pieces.flat_map(|runnable| {
            let ids = runnable.order_without_consts().iter();
            ids.map(|&id| FloatNode::new(runnable.model(), &runnable.model().nodes[id]))
        });
        nodes.flatten().collect()
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

impl FloatNode {
    /// None for a node that computes nothing.
    fn new(model: &TypedModel, node: &TypedNode) -> Option<Self> {
        if !computes(node) {
            return None;
        }
        let shape = node.outputs.first().and_then(|output| output.fact.shape.as_concrete());
        let costs = model.node_input_facts(node.id).and_then(|facts| node.op.cost(&facts));
        let macs = costs.unwrap_or_default().into_iter().filter_map(|(cost, count)| match cost {
            Cost::FMA(_) => count.to_usize().ok(),
            _ => None,
        });
        Some(Self {
            name: node.name.clone(),
            op: node.op.name().into_owned(),
            shape: shape.map(<[usize]>::to_vec).unwrap_or_default(),
            macs: macs.sum::<usize>() as u64,
        })
    }
}

/// Whether a node does any work: inputs and constants only hand over what is there.
fn computes(node: &TypedNode) -> bool {
    !node.op_is::<TypedSource>() && !node.op_is::<Const>()
}

/// tract takes the number of a negative pad, which crops, for a huge one, and computes something.
fn refuse_negative_pads(network: &TypedModel) -> TractResult<()> {
    const MOST: usize = i32::MAX as usize;
    let negative = |node: &&TypedNode| {
        let pad = node.op_as::<Pad>();
        pad.is_some_and(|pad| pad.pads.iter().any(|&(before, after)| before.max(after) > MOST))
    };
    match network.nodes.iter().find(negative) {
        None => Ok(()),
        Some(node) => bail!("node {:?}: negative padding is not supported", node.name),
    }
}

/// The shape that a model declares for its input, if it is fixed and of a sane size.
fn fixed_shape(info: &tract_onnx::pb::ValueInfoProto) -> Option<Vec<usize>> {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value::DimValue;
    use tract_onnx::pb::type_proto::Value::TensorType;
    let Some(TensorType(tensor)) = &info.r#type.as_ref()?.value else { return None };
    let size = |dim: &tract_onnx::pb::tensor_shape_proto::Dimension| match dim.value {
        Some(DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    };
    let shape: Vec<usize> = tensor.shape.as_ref()?.dim.iter().map(size).collect::<Option<_>>()?;
    bounded(shape.iter().copied()).filter(|&elements| elements > 0)?;
    Some(shape)
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
        let run = || {
            let outputs = self
                .model
                .pieces
                .run(self.tensor()?, |piece, inputs| piece.runnable.run(inputs))?;
            flat(&outputs)
        };
        guarded(run).map_err(FloatError::Run)
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
        let run = || {
            let outputs = self.model.pieces.run(self.tensor()?, |piece, inputs| {
                let mut state = piece.runnable.spawn()?;
                state.run_plan_with_eval(inputs, |context, state, node, inputs| {
                    let start = clock.ticks();
                    let result = eval(context, state, node, inputs);
                    if computes(node) {
                        ticks.push(clock.ticks().saturating_sub(start));
                    }
                    result
                })
            });
            flat(&outputs?)
        };
        let outputs = guarded(run).map_err(FloatError::Run)?;
        Ok((outputs, ticks))
    }

    fn tensor(&self) -> TractResult<TValue> {
        Ok(Tensor::from_shape(&self.model.input_shape, &self.input)?.into())
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
