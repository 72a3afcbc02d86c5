//! From the folded float graph to layers: the operators that the runtime has steps for, with
//! activation functions and residual additions fused, still in float.
//!
//! What may not be broken: a layer's output carries the ONNX name of the last tensor that it
//! computes, so that the float reference can be tapped there, and lowering the same graph twice
//! gives the same layers in the same order, so that `compare` finds the layers of a file again.

mod classifier;
mod fuse;

use crate::graph::{Function, Graph};
use crate::output;

/// Index of a tensor in [`Network::tensors`].
pub type TensorId = usize;

/// A tensor between layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// ONNX name of the same tensor in the float network.
    pub name: String,
    /// Height, width, channels.
    pub shape: [usize; 3],
}

/// Geometry of a window: of a convolution or a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    pub dilations: [usize; 2],
    pub groups: usize,
}

impl Geometry {
    /// A window of one pixel.
    pub const POINT: Self =
        Self { kernel: [1, 1], strides: [1, 1], pads: [0; 4], dilations: [1, 1], groups: 1 };
}

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Weights in OHWI order.
    Conv {
        geometry: Geometry,
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    MaxPool(Geometry),
    AveragePool {
        geometry: Geometry,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
    /// The operand may have one value for each channel.
    Add,
    /// Elementwise product; the operand may have one value for each channel.
    Multiply,
    /// A function of each element.
    Lookup {
        function: Function,
    },
    /// Channels of several inputs one behind the other, then `x * weights[c] + bias[c]`.
    Concat {
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    /// Zeros around the map: top, left, bottom, right.
    Pad {
        pads: [usize; 4],
    },
    Subsample {
        strides: [usize; 2],
        channels_before: usize,
    },
    /// Weights `[class][HWC]`.
    Logits {
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
}

/// One layer, one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub name: String,
    pub kind: Kind,
    pub input: TensorId,
    /// Residual of a convolution, second input of an addition or multiplication.
    pub operand: Option<TensorId>,
    /// What a concatenation reads behind `input`, in order.
    pub others: Vec<TensorId>,
    pub output: TensorId,
    /// Bounds of the activation function; infinite where there is none.
    pub clip: (f32, f32),
}

impl Layer {
    /// All tensors that it reads.
    pub fn inputs(&self) -> impl Iterator<Item = TensorId> + '_ {
        [self.input].into_iter().chain(self.operand).chain(self.others.iter().copied())
    }

    /// Whether it reads `tensor`.
    #[must_use]
    pub fn reads(&self, tensor: TensorId) -> bool {
        self.inputs().any(|input| input == tensor)
    }

    /// Multiply-accumulates of the layer; 0 for layers without weights.
    #[must_use]
    pub fn macs(&self, network: &Network) -> u64 {
        let output: usize = network.tensors[self.output].shape.iter().product();
        match &self.kind {
            Kind::Conv { geometry, .. } => {
                let inputs = network.tensors[self.input].shape[2] / geometry.groups;
                (output * geometry.kernel[0] * geometry.kernel[1] * inputs) as u64
            }
            Kind::Logits { weights, .. } => weights.len() as u64,
            _ => 0,
        }
    }
}

/// A network as the runtime will execute it, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub tensors: Vec<Tensor>,
    pub layers: Vec<Layer>,
    pub input: TensorId,
    /// In the order of the graph's; at least one.
    pub outputs: Vec<TensorId>,
}

impl Network {
    /// Multiply-accumulates of all layers.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|layer| layer.macs(self)).fold(0, u64::saturating_add)
    }

    /// Whether a tensor holds i32 logits, and not int8.
    #[must_use]
    pub fn is_wide(&self, tensor: TensorId) -> bool {
        let logits = |layer: &&Layer| matches!(layer.kind, Kind::Logits { .. });
        self.layers.iter().filter(logits).any(|layer| layer.output == tensor)
    }

    /// Whether the network gives `tensor`.
    #[must_use]
    pub fn is_output(&self, tensor: TensorId) -> bool {
        self.outputs.contains(&tensor)
    }

    /// The tensor of the first output.
    #[must_use]
    pub fn first_output(&self) -> TensorId {
        self.outputs.first().copied().unwrap_or(self.input)
    }
}

/// Why a graph has no int8 form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    #[error("node {node}: {what}")]
    Unsupported { node: String, what: &'static str },
    #[error("node {node}: a dimension of {shape:?} is larger than 65535")]
    TooLarge { node: String, shape: [usize; 3] },
}

/// What stands around a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// Its input comes from a float head, not from an image.
    pub head: bool,
    /// Its output goes to a float tail and need not be scores.
    pub tail: bool,
}

/// Lowers a folded graph.
///
/// # Errors
/// [`LowerError`] naming the node that has no int8 form.
pub fn lower(graph: &Graph) -> Result<Network, LowerError> {
    lower_part(graph, Ends::default())
}

/// Lowers the folded graph of a part of a network.
///
/// # Errors
/// As [`lower()`].
pub fn lower_part(graph: &Graph, ends: Ends) -> Result<Network, LowerError> {
    let mut network = fuse::fuse(graph, ends)?;
    for layer in &mut network.layers {
        // Names go into a model file, which holds none that cannot be printed.
        layer.name = output::escaped(&layer.name);
    }
    for layer in &network.layers {
        let shape = network.tensors[layer.output].shape;
        if shape[0] > 65_535 || shape[1] > 65_535 {
            return Err(LowerError::TooLarge { node: layer.name.clone(), shape });
        }
    }
    Ok(network)
}

#[cfg(test)]
mod tests;
