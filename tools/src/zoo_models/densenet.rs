//! DenseNet (arXiv:1608.06993), with torchvision's names: each layer reads what all layers of its block before
//! it give.

use super::builder::Filter;
use super::network::Network;
use crate::graph::ValueId;

/// Channels that a layer gives.
const GROWTH: usize = 32;
/// Channels between the two convolutions of a layer, for each that it gives.
const BOTTLENECK: usize = 4;

/// 7x7 stem, max-pool, blocks of so many layers with a transition behind each but the last.
pub(super) fn densenet(network: &mut Network, blocks: [usize; 4]) {
    let stem = Filter::new(network.channels(2 * GROWTH), 7).strided(2);
    let names = ["features.conv0", "features.norm0", "features.relu0"];
    let value = network.conv_norm_relu(names, network.image(), stem);
    let mut value = network.builder.max_pool("features.pool0", value, 3, 2);
    for (index, layers) in (1..).zip(blocks) {
        value = dense_block(network, index, layers, value);
        if index < blocks.len() {
            value = transition(network, &format!("features.transition{index}"), value);
        }
    }
    let value = network.norm_relu(["features.norm5", "relu"], value);
    network.classifier(value);
}

fn dense_block(network: &mut Network, block: usize, layers: usize, input: ValueId) -> ValueId {
    let growth = network.channels(GROWTH);
    let mut parts = vec![input];
    let mut joined = input;
    for layer in 1..=network.blocks(layers) {
        let name = format!("features.denseblock{block}.denselayer{layer}");
        let value = network.norm_relu([&format!("{name}.norm1"), &format!("{name}.relu1")], joined);
        let filter = Filter::new(growth * BOTTLENECK, 1);
        let value = network.builder.conv(&format!("{name}.conv1"), value, filter);
        let value = network.norm_relu([&format!("{name}.norm2"), &format!("{name}.relu2")], value);
        let filter = Filter::new(growth, 3);
        parts.push(network.builder.conv(&format!("{name}.conv2"), value, filter));
        joined = network.builder.concat(&format!("{name}.concat"), &parts);
    }
    joined
}

/// Half the channels, half the rows and columns.
fn transition(network: &mut Network, name: &str, input: ValueId) -> ValueId {
    let value = network.norm_relu([&format!("{name}.norm"), &format!("{name}.relu")], input);
    let filter = Filter::new(network.channels_of(value).div_ceil(2), 1);
    let value = network.builder.conv(&format!("{name}.conv"), value, filter);
    network.builder.average_pool(&format!("{name}.pool"), value, 2, 2)
}
