//! Residual networks with batch norm and Relu before each convolution, of He, Zhang, Ren and Sun,
//! "Identity mappings in deep residual networks" (arXiv:1603.05027).
//!
//! Where a stage begins, shortcut and branch share the first batch norm and Relu; all other shortcuts are
//! the sum before it. A last batch norm and Relu follow the last addition.

use super::builder::Filter;
use super::network::Network;
use crate::graph::ValueId;

/// Channels that a bottleneck unit gives out for each of its own.
const EXPANSION: usize = 4;

/// How the units of a network are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 (which carries the stride) and 1x1 with four times the channels.
    Bottleneck,
}

/// Where the first batch norm and Relu of a unit stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// In the branch.
    Branch,
    /// Before both ways.
    Both,
    /// Nowhere: the stem has them.
    Stem,
}

/// 3x3 stem, three stages from 16 channels.
pub(super) fn cifar(network: &mut Network, unit: Unit, units: usize) {
    let stem = Filter::new(network.channels(16), 3);
    let mut value = network.builder.conv("conv1", network.image(), stem);
    for stage in 0..3 {
        let channels = network.channels(16 << stage);
        let stride = if stage > 0 { 2 } else { 1 };
        value = self::stage(network, (stage, units), unit, value, (channels, stride), First::Both);
    }
    end(network, value);
}

/// 7x7 stem, max-pool, four stages of bottlenecks from 64 channels.
pub(super) fn imagenet(network: &mut Network, units: [usize; 4]) {
    let stem = Filter::new(network.channels(64), 7).strided(2);
    let value = network.conv_norm_relu(["conv1", "bn1", "relu"], network.image(), stem);
    let mut value = network.builder.max_pool("maxpool", value, 3, 2);
    for (stage, &units) in units.iter().enumerate() {
        let channels = network.channels(64 << stage);
        let (stride, first) = if stage > 0 { (2, First::Both) } else { (1, First::Stem) };
        let unit = Unit::Bottleneck;
        value = self::stage(network, (stage, units), unit, value, (channels, stride), first);
    }
    end(network, value);
}

fn stage(
    network: &mut Network,
    (stage, units): (usize, usize),
    unit: Unit,
    mut value: ValueId,
    (channels, stride): (usize, usize),
    first: First,
) -> ValueId {
    for index in 0..network.blocks(units) {
        let name = format!("layer{}.{index}", stage + 1);
        let (first, stride) = if index == 0 { (first, stride) } else { (First::Branch, 1) };
        value = residual(network, &name, unit, value, (channels, stride), first);
    }
    value
}

fn residual(
    network: &mut Network,
    name: &str,
    unit: Unit,
    input: ValueId,
    (channels, stride): (usize, usize),
    first: First,
) -> ValueId {
    let (filters, channels_out) = match unit {
        Unit::Basic => {
            let strided = Filter::new(channels, 3).strided(stride);
            (vec![strided, Filter::new(channels, 3)], channels)
        }
        Unit::Bottleneck => {
            let (narrow, wide) = (Filter::new(channels, 1), channels * EXPANSION);
            let strided = Filter::new(channels, 3).strided(stride);
            (vec![narrow, strided, Filter::new(wide, 1)], wide)
        }
    };
    let mut branch = input;
    let mut shortcut = input;
    for (index, filter) in (1..).zip(filters) {
        let [norm, relu, conv] = ["bn", "relu", "conv"].map(|kind| format!("{name}.{kind}{index}"));
        if index > 1 || first != First::Stem {
            branch = network.norm_relu([&norm, &relu], branch);
        }
        if index == 1 && first == First::Both {
            shortcut = branch;
        }
        branch = network.builder.conv(&conv, branch, filter);
    }
    if stride > 1 || network.channels_of(shortcut) != channels_out {
        let filter = Filter::new(channels_out, 1).strided(stride);
        shortcut = network.builder.conv(&format!("{name}.shortcut"), shortcut, filter);
    }
    network.builder.add(&format!("{name}.add"), branch, shortcut)
}

fn end(network: &mut Network, value: ValueId) {
    let value = network.norm_relu(["bn", "relu_last"], value);
    network.classifier(value);
}
