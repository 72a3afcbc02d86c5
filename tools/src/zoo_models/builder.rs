//! Appends layers with drawn weights to a graph, and keeps the estimated moments of every value.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::moments::Moments;
use crate::graph::{BatchNorm, Conv, Graph, InputLayout, Node, Op, Value, ValueId, Window};

/// Range of a batch norm's scale where nothing else is asked for.
pub(super) const GAMMA: (f64, f64) = (0.5, 1.5);
const BETA: (f64, f64) = (-0.3, 0.3);
const EPSILON: f32 = 1e-5;

pub(super) struct Builder {
    graph: Graph,
    moments: Vec<Moments>,
    rng: ChaCha8Rng,
}

impl Builder {
    pub fn new(seed: u64, channels: usize, size: usize) -> Self {
        let input = Value { name: "input".to_string(), shape: vec![channels, size, size] };
        Self {
            graph: Graph {
                values: vec![input],
                nodes: Vec::new(),
                input: 0,
                input_layout: InputLayout::Nchw,
                output: 0,
            },
            moments: vec![Moments::image(channels)],
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The network that ends in the value added last.
    pub fn finish(mut self) -> Graph {
        self.graph.output = self.graph.values.len() - 1;
        self.graph
    }

    pub fn shape(&self, value: ValueId) -> &[usize] {
        self.graph.shape(value)
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
        moments: Moments,
    ) -> ValueId {
        let output = self.graph.values.len();
        self.graph.values.push(Value { name: name.to_string(), shape });
        self.graph.nodes.push(Node { name: name.to_string(), op, inputs, output });
        self.moments.push(moments);
        output
    }

    /// A square convolution without bias, padded by half its size.
    pub fn conv(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        size: usize,
        stride: usize,
    ) -> ValueId {
        let group_channels = self.shape(input)[0];
        let inputs = group_channels * size * size;
        let deviation = (2.0 / inputs as f64).sqrt();
        let weight = self.normals(channels * inputs, deviation);
        let moments = self.moments[input].weighted(&weight, channels);
        let pad = size / 2;
        let shape = self.window_shape(input, channels, size, stride);
        let conv = Conv {
            weight,
            bias: None,
            out_channels: channels,
            group_channels,
            kernel: [size; 2],
            strides: [stride; 2],
            pads: [pad; 4],
            dilations: [1; 2],
            groups: 1,
        };
        self.push(name, Op::Conv(conv), vec![input], shape, moments)
    }

    /// Shape behind a window of odd `size` that is padded by half its size.
    fn window_shape(
        &self,
        input: ValueId,
        channels: usize,
        size: usize,
        stride: usize,
    ) -> Vec<usize> {
        let along = |length: usize| (length + 2 * (size / 2) - size) / stride + 1;
        let shape = self.shape(input);
        vec![channels, along(shape[1]), along(shape[2])]
    }

    /// A batch norm whose statistics are near those of its input.
    pub fn batch_norm(&mut self, name: &str, input: ValueId, gamma: (f64, f64)) -> ValueId {
        let Moments { mean, variance } = self.moments[input].clone();
        let channels = mean.len();
        let gamma = self.uniforms(channels, gamma);
        let beta = self.uniforms(channels, BETA);
        let (offsets, spreads) =
            (self.uniforms(channels, (-0.2, 0.2)), self.uniforms(channels, (0.7, 1.3)));
        let (mut norm, mut moments) = (
            BatchNorm {
                gamma: to_f32(&gamma),
                beta: to_f32(&beta),
                mean: Vec::with_capacity(channels),
                variance: Vec::with_capacity(channels),
                epsilon: EPSILON,
            },
            Moments { mean: Vec::with_capacity(channels), variance: Vec::with_capacity(channels) },
        );
        for c in 0..channels {
            let running_mean = mean[c] + offsets[c] * variance[c].sqrt();
            let running_variance = (variance[c] * spreads[c]).max(1e-6);
            let scale = gamma[c] / running_variance.sqrt();
            norm.mean.push(running_mean as f32);
            norm.variance.push(running_variance as f32);
            moments.mean.push(beta[c] + (mean[c] - running_mean) * scale);
            moments.variance.push(variance[c] * scale * scale);
        }
        let shape = self.shape(input).to_vec();
        self.push(name, Op::BatchNorm(norm), vec![input], shape, moments)
    }

    pub fn relu(&mut self, name: &str, input: ValueId) -> ValueId {
        let (shape, moments) = (self.shape(input).to_vec(), self.moments[input].relu());
        self.push(name, Op::Clip { min: 0.0, max: f32::INFINITY }, vec![input], shape, moments)
    }

    pub fn add(&mut self, name: &str, left: ValueId, right: ValueId) -> ValueId {
        let moments = self.moments[left].add(&self.moments[right]);
        let shape = self.shape(left).to_vec();
        self.push(name, Op::Add, vec![left, right], shape, moments)
    }

    /// The 3x3 max-pool of stride 2 behind the stem.
    pub fn max_pool(&mut self, name: &str, input: ValueId) -> ValueId {
        let shape = self.window_shape(input, self.shape(input)[0], 3, 2);
        let window = Window { kernel: [3; 2], strides: [2; 2], pads: [1; 4] };
        let moments = self.moments[input].max_pool();
        self.push(name, Op::MaxPool(window), vec![input], shape, moments)
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
        let moments = self.moments[input].with_zeros(channels_before, channels_after);
        let op = Op::Subsample { strides: [stride; 2], channels_before, channels_after };
        self.push(name, op, vec![input], shape, moments)
    }

    /// Global average pool, flatten and a fully connected layer with bias.
    pub fn classifier(&mut self, input: ValueId, classes: usize) -> ValueId {
        let inputs = self.shape(input)[0];
        let moments = self.moments[input].clone();
        let op = Op::GlobalAveragePool;
        let pooled = self.push("avgpool", op, vec![input], vec![inputs, 1, 1], moments.clone());
        let flat = self.push("flatten", Op::Flatten, vec![pooled], vec![inputs], moments.clone());
        // The pooled features hardly vary about their means; the logits get a deviation of 3.
        let power: f64 = moments.mean.iter().map(|mean| mean * mean).sum();
        let weight = self.normals(classes * inputs, 3.0 / power.max(1e-6).sqrt());
        let moments = moments.weighted(&weight, classes);
        let bias = Some(to_f32(&self.uniforms(classes, (-0.1, 0.1))));
        let op = Op::Gemm { weight, bias, outputs: classes, inputs };
        let logits = self.push("fc", op, vec![flat], vec![classes], moments);
        self.graph.values[logits].name = "logits".to_string();
        logits
    }

    fn uniforms(&mut self, len: usize, (low, high): (f64, f64)) -> Vec<f64> {
        let mut draw = || f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        (0..len).map(|_| low + (high - low) * draw()).collect()
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

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}
