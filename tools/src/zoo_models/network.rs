//! What the families share: channel counts, depths, and layers of several nodes.

use fixnet::format::OutputKind;

use super::ModelOptions;
use super::builder::{Builder, Filter};
use super::table::Group;
use crate::graph::{Graph, GraphOutput, InputLayout, ValueId};

/// Range of a batch norm's scale where nothing else is asked for.
pub(super) const GAMMA: (f64, f64) = (0.5, 1.5);

/// A network in the making.
pub(super) struct Network {
    pub builder: Builder,
    width_multiplier: f64,
    blocks: Option<usize>,
    classes: usize,
    /// None: the value added last is a vector of scores.
    outputs: Vec<GraphOutput>,
}

impl Network {
    pub fn new(seed: u64, group: &Group, options: &ModelOptions) -> Self {
        let [height, width, channels] = group.input;
        let width = options.input_width.or(options.input_size).unwrap_or(width);
        let height = options.input_size.unwrap_or(height);
        Self {
            builder: Builder::new(seed, [options.channels.unwrap_or(channels), height, width]),
            width_multiplier: options.width_multiplier,
            blocks: options.blocks,
            classes: options.classes.unwrap_or(group.classes),
            outputs: Vec::new(),
        }
    }

    /// The image, NCHW.
    pub fn image(&self) -> ValueId {
        0
    }

    /// The image, NHWC in the file as Keras has it.
    pub fn keras_image(&mut self) -> ValueId {
        self.builder.set_layout(InputLayout::Nhwc);
        0
    }

    /// The network gives this value, by this name.
    pub fn give(&mut self, value: ValueId, name: &str, kind: OutputKind) {
        self.builder.rename(value, name);
        self.outputs.push(GraphOutput { kind, ..GraphOutput::scores(value) });
    }

    /// The network that gives what was said, or ends in the value added last.
    pub fn finish(self) -> Graph {
        let mut graph = self.builder.finish();
        if !self.outputs.is_empty() {
            graph.outputs = self.outputs;
        }
        graph
    }

    /// Number of classes, or what a network has in their place.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Channels where the network of full width has `base`.
    pub fn channels(&self, base: usize) -> usize {
        ((base as f64 * self.width_multiplier + 0.5) as usize).max(1)
    }

    /// The same, of a number that can be divided into `groups`.
    pub fn grouped_channels(&self, base: usize, groups: usize) -> usize {
        groups * self.channels(base / groups)
    }

    /// Blocks of a stage that has `own` of them.
    pub fn blocks(&self, own: usize) -> usize {
        self.blocks.unwrap_or(own)
    }

    /// Channels of a value.
    pub fn channels_of(&self, value: ValueId) -> usize {
        self.builder.shape(value)[0]
    }

    /// Batch norm and Relu.
    pub fn norm_relu(&mut self, [norm, relu]: [&str; 2], input: ValueId) -> ValueId {
        let value = self.builder.batch_norm(norm, input, GAMMA);
        self.builder.relu(relu, value)
    }

    /// Convolution, batch norm and Relu.
    pub fn conv_norm_relu(
        &mut self,
        [conv, norm, relu]: [&str; 3],
        input: ValueId,
        filter: Filter,
    ) -> ValueId {
        let value = self.builder.conv(conv, input, filter);
        self.norm_relu([norm, relu], value)
    }

    /// Global average pool, flatten and a fully connected layer with the network's classes.
    pub fn classifier(&mut self, input: ValueId) -> ValueId {
        let pooled = self.builder.global_average_pool("avgpool", input);
        let flat = self.builder.flatten("flatten", pooled);
        self.scores("fc", flat)
    }

    /// A fully connected layer with the network's classes.
    pub fn scores(&mut self, name: &str, input: ValueId) -> ValueId {
        let scores = self.builder.fully_connected(name, input, self.classes);
        self.builder.rename(scores, "logits");
        scores
    }
}
