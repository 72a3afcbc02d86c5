//! Groups of nodes become layers: a convolution with its residual addition and activation function.

use values::order;

use super::classifier;
use super::{Ends, Geometry, Kind, Layer, LowerError, Network, Tensor, TensorId};
use crate::graph::{Binary, Conv, Function, Graph, Node, Op, ValueId, Window};

/// No activation function.
const UNBOUNDED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// Taps of an average whose padding does not count: the file has constants for each number of them.
const MAX_COUNTED_TAPS: usize = 1 << 16;

/// What a node is to its layer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    /// The layer is emitted when this node is reached.
    Last { head: usize },
    /// Computed inside the layer of a later node.
    Inner,
}

struct Fuser<'g> {
    graph: &'g Graph,
    roles: Vec<Role>,
    /// For each head of a fused addition: the value that is added.
    residuals: Vec<Option<ValueId>>,
    clips: Vec<(f32, f32)>,
    network: Network,
    tensor_of: Vec<Option<TensorId>>,
}

/// See [`super::lower`].
pub(super) fn fuse(graph: &Graph, ends: Ends) -> Result<Network, LowerError> {
    let count = graph.nodes.len();
    let mut fuser = Fuser {
        graph,
        roles: (0..count).map(|head| Role::Last { head }).collect(),
        residuals: vec![None; count],
        clips: vec![UNBOUNDED; count],
        network: Network { tensors: Vec::new(), layers: Vec::new(), input: 0, outputs: Vec::new() },
        tensor_of: vec![None; graph.values.len()],
    };
    fuser.group();
    fuser.emit(ends)
}

impl<'g> Fuser<'g> {
    /// The only consumer of a value that the network does not give.
    fn only_consumer(&self, value: ValueId) -> Option<usize> {
        let mut consumers = self.graph.consumers(value);
        let first = consumers.next()?;
        let twice = self.graph.nodes[first].inputs.iter().filter(|&&i| i == value).count() > 1;
        (consumers.next().is_none() && !twice && !self.graph.is_output(value)).then_some(first)
    }

    /// Longest path from the input to each value, in convolutions.
    fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.graph.values.len()];
        for node in &self.graph.nodes {
            let deepest = node.inputs.iter().map(|&i| depths[i]).max().unwrap_or(0);
            depths[node.output] = deepest + usize::from(matches!(node.op, Op::Conv(_)));
        }
        depths
    }

    /// Finds what each head computes: its residual addition first, then its activation function.
    fn group(&mut self) {
        let depths = self.depths();
        for index in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[index];
            if matches!(node.op, Op::Add) {
                self.fuse_addition(index, &depths);
            } else if let Op::Clip { min, max } = node.op {
                self.fuse_clip(index, (min, max));
            }
        }
    }

    /// Moves the end of `head`'s layer to the node `last`.
    fn extend(&mut self, head: usize, from: usize, last: usize) {
        self.roles[from] = Role::Inner;
        self.roles[last] = Role::Last { head };
    }

    /// An addition joins the deeper of the convolutions that feed only it: in a residual block the
    /// main branch, whose projection then is a layer of its own.
    fn fuse_addition(&mut self, add: usize, depths: &[usize]) {
        let node = &self.graph.nodes[add];
        let mut candidates: Vec<(usize, ValueId, ValueId)> = Vec::new();
        for (value, other) in [(0, 1), (1, 0)].map(|(a, b)| (node.inputs[a], node.inputs[b])) {
            let Some(producer) = self.graph.producer(value) else { continue };
            let is_conv = matches!(self.graph.nodes[producer].op, Op::Conv(_));
            if is_conv && self.only_consumer(value) == Some(add) {
                candidates.push((producer, value, other));
            }
        }
        // A residual has the shape of what it is added to.
        let node_shape = self.graph.shape(node.output);
        candidates.retain(|&(_, value, other)| {
            self.graph.shape(value) == node_shape && self.graph.shape(other) == node_shape
        });
        let deepest =
            candidates.into_iter().max_by_key(|&(producer, value, _)| (depths[value], producer));
        if let Some((producer, _, other)) = deepest {
            self.residuals[producer] = Some(other);
            self.extend(producer, producer, add);
        }
    }

    /// An activation function joins the layer whose result it is the only reader of.
    fn fuse_clip(&mut self, clip: usize, bounds: (f32, f32)) {
        let input = self.graph.nodes[clip].inputs[0];
        let Some(producer) = self.graph.producer(input) else { return };
        if self.only_consumer(input) != Some(clip) {
            return;
        }
        let Role::Last { head } = self.roles[producer] else { return };
        let takes_clip = matches!(
            self.graph.nodes[head].op,
            Op::Conv(_)
                | Op::Affine { .. }
                | Op::MaxPool(_)
                | Op::Pad { .. }
                | Op::Add
                | Op::Multiply
                | Op::Concat { .. }
                | Op::GlobalAveragePool
                | Op::AveragePool { .. }
                | Op::Gemm { .. }
        );
        if takes_clip && self.clips[head] == UNBOUNDED {
            self.clips[head] = bounds;
            self.extend(head, producer, clip);
        }
    }

    fn emit(mut self, ends: Ends) -> Result<Network, LowerError> {
        self.network.input = self.tensor(self.graph.input);
        for index in 0..self.graph.nodes.len() {
            if let Role::Last { head } = self.roles[index] {
                self.emit_layer(head, self.graph.nodes[index].output)?;
            }
        }
        let mut outputs = Vec::with_capacity(self.graph.outputs.len());
        for output in &self.graph.outputs {
            let tensor = self.tensor_of[output.value];
            let tensor = tensor.ok_or_else(|| self.unsupported(None, "no output"))?;
            outputs.push((tensor, output.kind));
        }
        classifier::finish(self.network, &outputs, ends)
    }

    fn unsupported(&self, node: Option<&Node>, what: &'static str) -> LowerError {
        let node = node.map_or_else(|| "(graph)".to_string(), |n| n.name.clone());
        LowerError::Unsupported { node, what }
    }

    /// The tensor of a value, HWC.
    fn tensor(&mut self, value: ValueId) -> TensorId {
        if let Some(tensor) = self.tensor_of[value] {
            return tensor;
        }
        let shape = match *self.graph.shape(value) {
            [c, h, w] => [h, w, c],
            ref vector => [1, 1, vector.iter().product()],
        };
        let name = self.graph.values[value].name.clone();
        self.network.tensors.push(Tensor { name, shape });
        let tensor = self.network.tensors.len() - 1;
        self.tensor_of[value] = Some(tensor);
        tensor
    }

    fn emit_layer(&mut self, head: usize, output: ValueId) -> Result<(), LowerError> {
        let node = &self.graph.nodes[head];
        let input = self.tensor(node.inputs[0]);
        // In HWC a flattened map is the map itself; a later Gemm permutes its columns.
        if matches!(node.op, Op::Flatten) {
            self.tensor_of[output] = Some(input);
            return Ok(());
        }
        let kind = self.kind(node, input)?;
        let operand = match (&node.op, self.residuals[head]) {
            (_, Some(value)) => Some(self.tensor(value)),
            (Op::Add | Op::Multiply, None) => Some(self.tensor(node.inputs[1])),
            _ => None,
        };
        let others = match &node.op {
            Op::Concat { .. } => node.inputs[1..].iter().map(|&value| self.tensor(value)).collect(),
            _ => Vec::new(),
        };
        let mut clip = self.clips[head];
        if let Op::Clip { min, max } = node.op {
            clip = (min, max);
        }
        let name = layer_name(node);
        let output = self.tensor(output);
        self.network.layers.push(Layer { name, kind, input, operand, others, output, clip });
        Ok(())
    }

    fn kind(&self, node: &Node, input: TensorId) -> Result<Kind, LowerError> {
        let shape = self.network.tensors[input].shape;
        Ok(match &node.op {
            Op::Conv(conv) => convolution(conv),
            // One for all channels is a function of the value alone.
            Op::Affine { scale, shift } if is_uniform(scale) && is_uniform(shift) => {
                let product = Function::identity().with(Binary::Mul, &Function::per_channel(scale));
                let function = product.with(Binary::Add, &Function::per_channel(shift));
                Kind::Lookup { function }
            }
            Op::Affine { scale, shift } => Kind::Conv {
                geometry: Geometry { groups: scale.len(), ..Geometry::POINT },
                weights: scale.clone(),
                bias: shift.clone(),
            },
            Op::Gemm { weight, bias, outputs, inputs } => {
                gemm(weight, bias.as_deref(), *outputs, *inputs, shape)
            }
            Op::MaxPool(window) => Kind::MaxPool(pool(window)),
            Op::AveragePool { window, count_include_pad } => {
                // Without padding both are the same, and one pair of constants will do.
                let count_include_pad = *count_include_pad || window.pads == [0; 4];
                if !count_include_pad && window.kernel.iter().product::<usize>() > MAX_COUNTED_TAPS
                {
                    let what = "an average without its padding over more than 65536 pixels has no int8 step";
                    return Err(self.unsupported(Some(node), what));
                }
                Kind::AveragePool { geometry: pool(window), count_include_pad }
            }
            Op::GlobalAveragePool => {
                let geometry = Geometry { kernel: [shape[0], shape[1]], ..Geometry::POINT };
                Kind::AveragePool { geometry, count_include_pad: true }
            }
            Op::Add => Kind::Add,
            Op::Multiply => Kind::Multiply,
            Op::Pointwise(function) => Kind::Lookup { function: function.clone() },
            Op::Concat { scale, shift } => {
                Kind::Concat { weights: scale.clone(), bias: shift.clone() }
            }
            // An activation function by itself: a maximum over one pixel, clamped.
            Op::Clip { .. } => Kind::MaxPool(Geometry::POINT),
            Op::Subsample { strides, channels_before, .. } => {
                Kind::Subsample { strides: *strides, channels_before: *channels_before }
            }
            Op::BatchNorm(_) => {
                return Err(self.unsupported(Some(node), "the graph has not been folded"));
            }
            Op::Pad { pads } => Kind::Pad { pads: *pads },
            Op::Softmax => {
                return Err(self.unsupported(Some(node), "Softmax is supported as the last node"));
            }
            Op::Flatten => return Err(self.unsupported(Some(node), "misplaced Flatten")),
        })
    }
}

/// Whether all channels have the same constant.
fn is_uniform(values: &[f32]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// The node's name without decoration that carries no meaning.
fn layer_name(node: &Node) -> String {
    let trimmed = node.name.trim_matches('/');
    let trimmed = ["/Conv", "/Gemm", "/MatMul"]
        .iter()
        .find_map(|s| trimmed.strip_suffix(s))
        .unwrap_or(trimmed);
    // Names in a model file hold no control characters.
    trimmed
        .chars()
        .map(|c| {
            if c == '/' {
                '.'
            } else if c.is_control() {
                '_'
            } else {
                c
            }
        })
        .collect()
}

fn convolution(conv: &Conv) -> Kind {
    let [kh, kw] = conv.kernel;
    let filters = conv.weight.chunks_exact((conv.group_channels * kh * kw).max(1));
    let weights = filters.flat_map(|filter| order::hwc(filter, [kh, kw, conv.group_channels]));
    let weights = weights.collect();
    Kind::Conv {
        geometry: Geometry {
            kernel: conv.kernel,
            strides: conv.strides,
            pads: conv.pads,
            dilations: conv.dilations,
            groups: conv.groups,
        },
        weights,
        bias: conv.bias.clone().unwrap_or_else(|| vec![0.0; conv.out_channels]),
    }
}

/// A Gemm over a map is a convolution whose window is the whole map.
fn gemm(
    weight: &[f32],
    bias: Option<&[f32]>,
    outputs: usize,
    inputs: usize,
    [h, w, c]: [usize; 3],
) -> Kind {
    let rows = weight.chunks_exact(inputs.max(1));
    let weights = rows.flat_map(|row| order::hwc(row, [h, w, c])).collect();
    Kind::Conv {
        geometry: Geometry { kernel: [h, w], ..Geometry::POINT },
        weights,
        bias: bias.map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec),
    }
}

fn pool(window: &Window) -> Geometry {
    Geometry {
        kernel: window.kernel,
        strides: window.strides,
        pads: window.pads,
        dilations: [1, 1],
        groups: 1,
    }
}
