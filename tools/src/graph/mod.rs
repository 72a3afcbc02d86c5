//! The float graph: what an importer produces, what folding rewrites, and what quantization reads.
//!
//! A graph is a list of nodes in topological order over single-assignment values. Shape arithmetic
//! (Shape, Gather, Concat of constants), constants and layout changes are gone by the time a graph
//! exists: every value is a feature map of shape `[C, H, W]` or a vector of shape `[C]`, batch 1,
//! and every spatial operator is in NCHW terms whatever the file's own layout was.

mod function;

use std::str::FromStr;

use fixnet::format::{OutputFunction, OutputKind, Selection};

pub use function::{Binary, Function, Term, Unary};

/// Index of a value in [`Graph::values`].
pub type ValueId = usize;

/// A tensor that flows between nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Name of the tensor in the ONNX file: the float reference is tapped by this name.
    pub name: String,
    /// `[C, H, W]` for a feature map, `[C]` for a vector; the batch dimension is left out.
    pub shape: Vec<usize>,
}

/// How the file's input tensor is laid out. Inside the graph everything is NCHW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputLayout {
    /// `[1, C, H, W]`, as PyTorch exports.
    #[default]
    Nchw,
    /// `[1, H, W, C]`, as Keras exports.
    Nhwc,
}

impl FromStr for InputLayout {
    type Err = &'static str;

    /// `nchw` and `nhwc`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err("expected nchw or nhwc"),
        }
    }
}

/// A convolution in ONNX terms (`Conv`, operator set 1 to 22).
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Weights in OIHW order, `out_channels * in_channels / groups * kernel[0] * kernel[1]` values.
    pub weight: Vec<f32>,
    pub bias: Option<Vec<f32>>,
    pub out_channels: usize,
    /// Input channels of one group.
    pub group_channels: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right (the order of the ONNX `pads` attribute).
    pub pads: [usize; 4],
    pub dilations: [usize; 2],
    pub groups: usize,
}

/// A window of a pooling operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right; a `ceil_mode` of the file is already turned into padding.
    pub pads: [usize; 4],
}

/// Inference-time batch normalization over the channel axis.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub epsilon: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    Conv(Conv),
    BatchNorm(BatchNorm),
    /// `x * scale[c] + shift[c]`: a batch norm that could not be folded into a convolution.
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// `Relu` is `min = 0, max = +inf`; `Relu6` and `Clip` have finite bounds.
    Clip {
        min: f32,
        max: f32,
    },
    MaxPool(Window),
    /// Average over the window; `count_include_pad` says whether padding counts in the divisor.
    AveragePool {
        window: Window,
        count_include_pad: bool,
    },
    GlobalAveragePool,
    /// Sum of two values of one shape, or of a feature map and one value for each of its channels, which
    /// comes second.
    Add,
    /// Product of two values, shaped as those of [`Op::Add`].
    Multiply,
    /// A function of each element.
    Pointwise(Function),
    /// The channels of all inputs one behind the other, then `x * scale[c] + shift[c]`.
    Concat {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// `y = W x + b`, weights `[out][in]`, the input being the CHW-flattened value.
    Gemm {
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        outputs: usize,
        inputs: usize,
    },
    /// Feature map to vector, in CHW order.
    Flatten,
    /// Zero padding of rows and columns that no convolution has absorbed: top, left, bottom, right.
    Pad {
        pads: [usize; 4],
    },
    /// `x[:, ::stride_h, ::stride_w]`, then zero channels before and after: the option-A shortcut.
    Subsample {
        strides: [usize; 2],
        channels_before: usize,
        channels_after: usize,
    },
    Softmax,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name of the node in the file, or one made from its output where the file gives none. Unique.
    pub name: String,
    pub op: Op,
    pub inputs: Vec<ValueId>,
    pub output: ValueId,
}

/// What the network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOutput {
    pub value: ValueId,
    pub kind: OutputKind,
    /// What stood behind the value in the file, and is applied to it where it is read.
    pub function: OutputFunction,
    pub selection: Selection,
    /// Values that a selection gives; 0 without one.
    pub count: usize,
}

impl GraphOutput {
    /// A vector of class scores.
    pub const fn scores(value: ValueId) -> Self {
        let (function, selection) = (OutputFunction::None, Selection::All);
        Self { value, kind: OutputKind::Scores, function, selection, count: 0 }
    }
}

/// A whole network from one image to what it says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub values: Vec<Value>,
    pub nodes: Vec<Node>,
    pub input: ValueId,
    pub input_layout: InputLayout,
    /// At least one.
    pub outputs: Vec<GraphOutput>,
}

impl Graph {
    /// Nodes that read `value`.
    pub fn consumers(&self, value: ValueId) -> impl Iterator<Item = usize> + '_ {
        let reads = move |node: &Node| node.inputs.contains(&value);
        self.nodes.iter().enumerate().filter(move |(_, n)| reads(n)).map(|(i, _)| i)
    }

    /// The node that writes `value`; `None` for the graph's input.
    pub fn producer(&self, value: ValueId) -> Option<usize> {
        self.nodes.iter().position(|n| n.output == value)
    }

    /// Whether the network gives `value`.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.outputs.iter().any(|output| output.value == value)
    }

    /// Shape of `value` without the batch dimension.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        &self.values[value].shape
    }
}

impl Graph {
    /// Removes the nodes and values that no output depends on; the input stays.
    /// The order of what remains is kept.
    pub fn remove_dead_nodes(&mut self) {
        let mut live = vec![false; self.values.len()];
        self.outputs.iter().for_each(|output| live[output.value] = true);
        for node in self.nodes.iter().rev() {
            if live[node.output] {
                node.inputs.iter().for_each(|&input| live[input] = true);
            }
        }
        live[self.input] = true;
        self.nodes.retain(|node| live[node.output]);
        self.renumber(&live);
    }

    fn renumber(&mut self, live: &[bool]) {
        let mut next = 0;
        let new_ids: Vec<ValueId> = live
            .iter()
            .map(|&live| {
                next += usize::from(live);
                next.wrapping_sub(1)
            })
            .collect();
        let mut keep = live.iter();
        self.values.retain(|_| keep.next().copied().unwrap_or(false));
        for node in &mut self.nodes {
            node.inputs.iter_mut().for_each(|id| *id = new_ids[*id]);
            node.output = new_ids[node.output];
        }
        self.input = new_ids[self.input];
        self.outputs.iter_mut().for_each(|output| output.value = new_ids[output.value]);
    }
}
