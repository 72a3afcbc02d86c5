//! MobileNetV2 (arXiv:1801.04381), with torchvision's names.

use super::builder::Filter;
use super::network::{GAMMA, Network};
use crate::graph::ValueId;

/// Factor of the inner channels, channels, blocks and stride of each stage.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// Inverted residual blocks, whose ends have no activation function.
pub(super) fn version2(network: &mut Network) {
    let stem = Filter::new(network.channels(32), 3).strided(2);
    let mut value = layer(network, "features.0", network.image(), stem);
    let mut index = 0;
    for (expansion, channels, blocks, stride) in STAGES {
        for block in 0..network.blocks(blocks) {
            index += 1;
            let name = format!("features.{index}");
            let stride = if block == 0 { stride } else { 1 };
            let channels = network.channels(channels);
            value = inverted_residual(network, &name, value, expansion, (channels, stride));
        }
    }
    let last = Filter::new(network.channels(1280), 1);
    let value = layer(network, &format!("features.{}", index + 1), value, last);
    network.classifier(value);
}

fn inverted_residual(
    network: &mut Network,
    name: &str,
    input: ValueId,
    expansion: usize,
    (channels, stride): (usize, usize),
) -> ValueId {
    let inner = network.channels_of(input) * expansion;
    let mut value = input;
    if expansion > 1 {
        value = layer(network, &format!("{name}.expand"), value, Filter::new(inner, 1));
    }
    let depthwise = Filter::new(inner, 3).strided(stride).grouped(inner);
    value = layer(network, &format!("{name}.depthwise"), value, depthwise);
    let conv = format!("{name}.project.0");
    value = network.builder.conv(&conv, value, Filter::new(channels, 1));
    value = network.builder.batch_norm(&format!("{name}.project.1"), value, GAMMA);
    if stride > 1 || network.channels_of(input) != channels {
        return value;
    }
    network.builder.add(&format!("{name}.add"), input, value)
}

/// Convolution, batch norm and Relu6.
fn layer(network: &mut Network, name: &str, input: ValueId, filter: Filter) -> ValueId {
    let [conv, norm, relu] = [0, 1, 2].map(|index| format!("{name}.{index}"));
    let value = network.builder.conv(&conv, input, filter);
    let value = network.builder.batch_norm(&norm, value, GAMMA);
    network.builder.clip(&relu, value, 0.0, 6.0)
}
