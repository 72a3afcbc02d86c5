//! Appends nodes with drawn weights to a graph.
//!
//! Batch norms get the statistics of nothing (mean 0, variance 1) and the last fully connected layer gets
//! weights of no particular size: [`super::measure`] gives them theirs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::graph::{
    BatchNorm, Conv, Function, Graph, GraphOutput, InputLayout, Node, Op, Value, ValueId, Window,
};

const BETA: (f64, f64) = (-0.3, 0.3);
const BIAS: (f64, f64) = (-0.1, 0.1);
const EPSILON: f32 = 1e-5;

/// A square convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    channels: usize,
    size: usize,
    stride: usize,
    groups: usize,
    padding: Padding,
    has_bias: bool,
}

/// Zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// Half the size of the window on each side.
    Half,
    /// As ONNX' `SAME_UPPER`: as many as the last window lacks, the odd one behind.
    Same,
    None,
}

impl Filter {
    /// Windows of `size` by `size` pixels to so many channels.
    pub const fn new(channels: usize, size: usize) -> Self {
        let padding = Padding::Half;
        Self { channels, size, stride: 1, groups: 1, padding, has_bias: false }
    }

    pub const fn strided(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub const fn grouped(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    pub const fn padded(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    pub const fn biased(self) -> Self {
        Self { has_bias: true, ..self }
    }

    /// Zeros before and behind a row of `length` pixels.
    fn pads(self, length: usize) -> [usize; 2] {
        match self.padding {
            Padding::None => [0, 0],
            Padding::Half => [self.size / 2; 2],
            Padding::Same => {
                let outputs = length.div_ceil(self.stride);
                let all = ((outputs - 1) * self.stride + self.size).saturating_sub(length);
                [all / 2, all - all / 2]
            }
        }
    }
}

pub(super) struct Builder {
    graph: Graph,
    rng: ChaCha8Rng,
}

impl Builder {
    /// `shape` is that of the input: channels, height, width.
    pub fn new(seed: u64, shape: [usize; 3]) -> Self {
        let input = Value { name: "input".to_string(), shape: shape.to_vec() };
        Self {
            graph: Graph {
                values: vec![input],
                nodes: Vec::new(),
                input: 0,
                input_layout: InputLayout::Nchw,
                outputs: Vec::new(),
            },
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The network that ends in the value added last.
    pub fn finish(mut self) -> Graph {
        self.graph.outputs = vec![GraphOutput::scores(self.graph.values.len() - 1)];
        self.graph
    }

    pub fn shape(&self, value: ValueId) -> &[usize] {
        self.graph.shape(value)
    }

    pub fn set_layout(&mut self, layout: InputLayout) {
        self.graph.input_layout = layout;
    }

    pub fn rename(&mut self, value: ValueId, name: &str) {
        self.graph.values[value].name = name.to_string();
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<ValueId>, shape: Vec<usize>) -> ValueId {
        let output = self.graph.values.len();
        self.graph.values.push(Value { name: name.to_string(), shape });
        self.graph.nodes.push(Node { name: name.to_string(), op, inputs, output });
        output
    }

    /// A node that keeps the shape of its input.
    fn push_alike(&mut self, name: &str, op: Op, input: ValueId) -> ValueId {
        let shape = self.shape(input).to_vec();
        self.push(name, op, vec![input], shape)
    }

    /// A convolution with He's weights.
    pub fn conv(&mut self, name: &str, input: ValueId, filter: Filter) -> ValueId {
        let Filter { channels, size, stride, groups, has_bias, .. } = filter;
        let [in_channels, height, width] = [0, 1, 2].map(|axis| self.shape(input)[axis]);
        let group_channels = in_channels / groups;
        let inputs = group_channels * size * size;
        let weight = self.normals(channels * inputs, (2.0 / inputs as f64).sqrt());
        let bias = has_bias.then(|| self.uniforms(channels, BIAS));
        let [[top, bottom], [left, right]] = [height, width].map(|length| filter.pads(length));
        let along = |length: usize, pads: usize| (length + pads - size) / stride + 1;
        let shape = vec![channels, along(height, top + bottom), along(width, left + right)];
        let conv = Conv {
            weight,
            bias,
            out_channels: channels,
            group_channels,
            kernel: [size; 2],
            strides: [stride; 2],
            pads: [top, left, bottom, right],
            dilations: [1; 2],
            groups,
        };
        self.push(name, Op::Conv(conv), vec![input], shape)
    }

    /// A batch norm with a scale from the range `gamma`.
    pub fn batch_norm(&mut self, name: &str, input: ValueId, gamma: (f64, f64)) -> ValueId {
        let channels = self.shape(input)[0];
        let norm = BatchNorm {
            gamma: self.uniforms(channels, gamma),
            beta: self.uniforms(channels, BETA),
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            epsilon: EPSILON,
        };
        self.push_alike(name, Op::BatchNorm(norm), input)
    }

    pub fn relu(&mut self, name: &str, input: ValueId) -> ValueId {
        self.clip(name, input, 0.0, f32::INFINITY)
    }

    pub fn clip(&mut self, name: &str, input: ValueId, min: f32, max: f32) -> ValueId {
        self.push_alike(name, Op::Clip { min, max }, input)
    }

    pub fn softmax(&mut self, name: &str, input: ValueId) -> ValueId {
        self.push_alike(name, Op::Softmax, input)
    }

    pub fn add(&mut self, name: &str, left: ValueId, right: ValueId) -> ValueId {
        let shape = self.shape(left).to_vec();
        self.push(name, Op::Add, vec![left, right], shape)
    }

    /// The product of a map and another one, or one value for each channel.
    pub fn multiply(&mut self, name: &str, left: ValueId, right: ValueId) -> ValueId {
        let shape = self.shape(left).to_vec();
        self.push(name, Op::Multiply, vec![left, right], shape)
    }

    pub fn pointwise(&mut self, name: &str, input: ValueId, function: Function) -> ValueId {
        self.push_alike(name, Op::Pointwise(function), input)
    }

    /// The channels of all `parts`.
    pub fn concat(&mut self, name: &str, parts: &[ValueId]) -> ValueId {
        let mut shape = self.shape(parts[0]).to_vec();
        shape[0] = parts.iter().map(|&part| self.shape(part)[0]).sum();
        let (scale, shift) = (vec![1.0; shape[0]], vec![0.0; shape[0]]);
        self.push(name, Op::Concat { scale, shift }, parts.to_vec(), shape)
    }

    /// An average pool without padding.
    pub fn average_pool(
        &mut self,
        name: &str,
        input: ValueId,
        size: usize,
        stride: usize,
    ) -> ValueId {
        let mut shape = self.shape(input).to_vec();
        shape[1..].iter_mut().for_each(|length| *length = (*length - size) / stride + 1);
        let window = Window { kernel: [size; 2], strides: [stride; 2], pads: [0; 4] };
        let op = Op::AveragePool { window, count_include_pad: false };
        self.push(name, op, vec![input], shape)
    }

    /// So many rows and columns of zeros on each side.
    pub fn pad(&mut self, name: &str, input: ValueId, pads: usize) -> ValueId {
        let [channels, height, width] = [0, 1, 2].map(|axis| self.shape(input)[axis]);
        let shape = vec![channels, height + 2 * pads, width + 2 * pads];
        self.push(name, Op::Pad { pads: [pads; 4] }, vec![input], shape)
    }

    /// A max-pool; windows of odd size are padded by half of it.
    pub fn max_pool(&mut self, name: &str, input: ValueId, size: usize, stride: usize) -> ValueId {
        let pads = if size % 2 == 1 { size / 2 } else { 0 };
        self.padded_pool(name, input, [size, stride, pads])
    }

    pub fn max_pool_unpadded(
        &mut self,
        name: &str,
        input: ValueId,
        size: usize,
        stride: usize,
    ) -> ValueId {
        self.padded_pool(name, input, [size, stride, 0])
    }

    fn padded_pool(
        &mut self,
        name: &str,
        input: ValueId,
        [size, stride, pads]: [usize; 3],
    ) -> ValueId {
        let mut shape = self.shape(input).to_vec();
        shape[1..].iter_mut().for_each(|length| *length = (*length + 2 * pads - size) / stride + 1);
        let window = Window { kernel: [size; 2], strides: [stride; 2], pads: [pads; 4] };
        self.push(name, Op::MaxPool(window), vec![input], shape)
    }

    pub fn global_average_pool(&mut self, name: &str, input: ValueId) -> ValueId {
        let channels = self.shape(input)[0];
        self.push(name, Op::GlobalAveragePool, vec![input], vec![channels, 1, 1])
    }

    pub fn flatten(&mut self, name: &str, input: ValueId) -> ValueId {
        let elements = self.shape(input).iter().product();
        self.push(name, Op::Flatten, vec![input], vec![elements])
    }

    /// A fully connected layer with He's weights and a bias.
    pub fn fully_connected(&mut self, name: &str, input: ValueId, outputs: usize) -> ValueId {
        let inputs = self.shape(input)[0];
        let weight = self.normals(outputs * inputs, (2.0 / inputs as f64).sqrt());
        let bias = Some(self.uniforms(outputs, BIAS));
        self.push(name, Op::Gemm { weight, bias, outputs, inputs }, vec![input], vec![outputs])
    }

    /// The option-A shortcut: every `stride`-th pixel, new channels half before and half after.
    pub fn subsample(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        let shape = self.shape(input);
        let new_channels = channels - shape[0];
        let shape = vec![channels, shape[1].div_ceil(stride), shape[2].div_ceil(stride)];
        let (channels_before, channels_after) = (new_channels / 2, new_channels - new_channels / 2);
        let op = Op::Subsample { strides: [stride; 2], channels_before, channels_after };
        self.push(name, op, vec![input], shape)
    }

    fn uniforms(&mut self, len: usize, (low, high): (f64, f64)) -> Vec<f32> {
        let mut draw = || f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        (0..len).map(|_| (low + (high - low) * draw()) as f32).collect()
    }

    /// Nearly normal values: sums of four uniform ones (Irwin-Hall), which need no logarithm.
    fn normals(&mut self, len: usize, deviation: f64) -> Vec<f32> {
        // A sum of four uniform 16-bit integers has mean 2 * 65535 and variance (2^32 - 1) / 3.
        let unit = (3.0 / 4_294_967_295.0_f64).sqrt() * deviation;
        let mut draw = || {
            let bits = self.rng.next_u64();
            let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
            (sum as f64 - 131_070.0) * unit
        };
        (0..len).map(|_| draw() as f32).collect()
    }
}
