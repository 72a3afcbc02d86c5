//! MobileNetV2 (arXiv:1801.04381), EfficientNet-Lite0 (arXiv:1905.11946 without gates and with Relu6) and
//! MobileNetV3-Large (arXiv:1905.02244), with torchvision's names.

use super::builder::Filter;
use super::gates;
use super::network::{GAMMA, Network};
use crate::graph::{Binary, Function, ValueId};

/// Blocks of one kind.
struct Stage {
    /// Factor of the inner channels.
    expansion: usize,
    window: usize,
    channels: usize,
    blocks: usize,
    stride: usize,
}

const fn stage(expansion: usize, window: usize, to: [usize; 3]) -> Stage {
    let [channels, blocks, stride] = to;
    Stage { expansion, window, channels, blocks, stride }
}

const VERSION2: [Stage; 7] = [
    stage(1, 3, [16, 1, 1]),
    stage(6, 3, [24, 2, 2]),
    stage(6, 3, [32, 3, 2]),
    stage(6, 3, [64, 4, 2]),
    stage(6, 3, [96, 3, 1]),
    stage(6, 3, [160, 3, 2]),
    stage(6, 3, [320, 1, 1]),
];

const EFFICIENTNET_LITE0: [Stage; 7] = [
    stage(1, 3, [16, 1, 1]),
    stage(6, 3, [24, 2, 2]),
    stage(6, 5, [40, 2, 2]),
    stage(6, 3, [80, 3, 2]),
    stage(6, 5, [112, 3, 1]),
    stage(6, 5, [192, 4, 2]),
    stage(6, 3, [320, 1, 1]),
];

/// A block of MobileNetV3: window, inner channels, channels, squeeze and excitation, hard swish, stride.
type Block = (usize, usize, usize, bool, bool, usize);

const VERSION3: [Block; 15] = [
    (3, 16, 16, false, false, 1),
    (3, 64, 24, false, false, 2),
    (3, 72, 24, false, false, 1),
    (5, 72, 40, true, false, 2),
    (5, 120, 40, true, false, 1),
    (5, 120, 40, true, false, 1),
    (3, 240, 80, false, true, 2),
    (3, 200, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 480, 112, true, true, 1),
    (3, 672, 112, true, true, 1),
    (5, 672, 160, true, true, 2),
    (5, 960, 160, true, true, 1),
    (5, 960, 160, true, true, 1),
];

/// What follows a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Relu,
    Relu6,
    HardSwish,
}

/// Inverted residual blocks, whose ends have no activation function.
pub(super) fn version2(network: &mut Network) {
    inverted_residuals(network, &VERSION2);
}

/// The same with other windows and channels.
pub(super) fn efficientnet_lite0(network: &mut Network) {
    inverted_residuals(network, &EFFICIENTNET_LITE0);
}

fn inverted_residuals(network: &mut Network, stages: &[Stage]) {
    let stem = Filter::new(network.channels(32), 3).strided(2);
    let mut value = layer(network, "features.0", network.image(), stem, Activation::Relu6);
    let mut index = 0;
    for stage in stages {
        for block in 0..network.blocks(stage.blocks) {
            index += 1;
            let inner = network.channels_of(value) * stage.expansion;
            let inverted = Inverted {
                name: format!("features.{index}"),
                depthwise: Filter::new(inner, stage.window)
                    .strided(if block == 0 { stage.stride } else { 1 })
                    .grouped(inner),
                inner,
                channels: network.channels(stage.channels),
                squeezed: None,
                activation: Activation::Relu6,
            };
            value = inverted.append(network, value);
        }
    }
    let last = Filter::new(network.channels(1280), 1);
    let name = format!("features.{}", index + 1);
    let value = layer(network, &name, value, last, Activation::Relu6);
    network.classifier(value);
}

/// Blocks with gates and with hard swish, and a hidden layer before the scores.
pub(super) fn version3_large(network: &mut Network) {
    let stem = Filter::new(network.channels(16), 3).strided(2);
    let mut value = layer(network, "features.0", network.image(), stem, Activation::HardSwish);
    for (index, (window, inner, channels, gated, hard_swish, stride)) in (1..).zip(VERSION3) {
        let inner = network.channels(inner);
        let inverted = Inverted {
            name: format!("features.{index}"),
            depthwise: Filter::new(inner, window).strided(stride).grouped(inner),
            inner,
            channels: network.channels(channels),
            squeezed: gated.then(|| (inner / 4).next_multiple_of(8)),
            activation: if hard_swish { Activation::HardSwish } else { Activation::Relu },
        };
        value = inverted.append(network, value);
    }
    let last = Filter::new(network.channels(960), 1);
    let value = layer(network, "features.16", value, last, Activation::HardSwish);
    let pooled = network.builder.global_average_pool("avgpool", value);
    let flat = network.builder.flatten("flatten", pooled);
    let hidden = network.channels(1280);
    let value = network.builder.fully_connected("classifier.0", flat, hidden);
    let value = activate(network, "classifier.1", value, Activation::HardSwish);
    network.scores("classifier.3", value);
}

/// A block whose inner channels are more than its ends'.
struct Inverted {
    name: String,
    depthwise: Filter,
    inner: usize,
    channels: usize,
    /// Channels in the middle of its squeeze and excitation.
    squeezed: Option<usize>,
    activation: Activation,
}

impl Inverted {
    fn append(&self, network: &mut Network, input: ValueId) -> ValueId {
        let Self { name, inner, channels, activation, .. } = self;
        let mut value = input;
        if *inner != network.channels_of(input) {
            let expand = Filter::new(*inner, 1);
            value = layer(network, &format!("{name}.expand"), value, expand, *activation);
        }
        value = layer(network, &format!("{name}.depthwise"), value, self.depthwise, *activation);
        if let Some(squeezed) = self.squeezed {
            let (name, gate) = (format!("{name}.se"), gates::hard_sigmoid());
            value = gates::squeeze_excitation(network, &name, value, squeezed, gate);
        }
        let conv = format!("{name}.project.0");
        value = network.builder.conv(&conv, value, Filter::new(*channels, 1));
        value = network.builder.batch_norm(&format!("{name}.project.1"), value, GAMMA);
        if network.builder.shape(input) != network.builder.shape(value) {
            return value;
        }
        network.builder.add(&format!("{name}.add"), input, value)
    }
}

/// Convolution, batch norm and activation function.
fn layer(
    network: &mut Network,
    name: &str,
    input: ValueId,
    filter: Filter,
    activation: Activation,
) -> ValueId {
    let value = network.builder.conv(&format!("{name}.0"), input, filter);
    let value = network.builder.batch_norm(&format!("{name}.1"), value, GAMMA);
    activate(network, &format!("{name}.2"), value, activation)
}

fn activate(network: &mut Network, name: &str, input: ValueId, of: Activation) -> ValueId {
    let builder = &mut network.builder;
    match of {
        Activation::Relu => builder.relu(name, input),
        Activation::Relu6 => builder.clip(name, input, 0.0, 6.0),
        Activation::HardSwish => {
            let function = Function::identity().with(Binary::Mul, &gates::hard_sigmoid());
            builder.pointwise(name, input, function)
        }
    }
}
