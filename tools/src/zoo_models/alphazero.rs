//! AlphaZero (Silver and others, arXiv:1712.01815; architecture as in "Mastering the game of Go without human
//! knowledge", 10.1038/nature24270): a tower of residual blocks of one width over the planes of a board, a
//! policy head with a score for each move, and a value head that ends in tanh.

use fixnet::format::OutputKind;

use super::builder::Filter;
use super::network::{GAMMA, Network};
use super::resnet::branch_gamma;
use crate::graph::{Function, Unary, ValueId};

/// Channels of the tower, and values between the two layers of the value head.
const WIDTH: usize = 256;

/// So many residual blocks.
pub(super) fn alphazero(network: &mut Network, blocks: usize) {
    let channels = network.channels(WIDTH);
    let stem = Filter::new(channels, 3);
    let mut value = network.conv_norm_relu(["conv1", "bn1", "relu1"], network.image(), stem);
    let blocks = network.blocks(blocks);
    for index in 0..blocks {
        value = block(network, &format!("tower.{index}"), value, channels, branch_gamma(blocks));
    }
    // The value first: it is the policy's size that is measured, as that of scores.
    let estimate = value_head(network, value);
    let policy = policy_head(network, value);
    network.give(policy, "policy", OutputKind::Scores);
    network.give(estimate, "value", OutputKind::Vector);
}

fn block(
    network: &mut Network,
    name: &str,
    input: ValueId,
    channels: usize,
    gamma: (f64, f64),
) -> ValueId {
    let named = |part: &str| format!("{name}.{part}");
    let [conv, norm, relu] = ["conv1", "bn1", "relu1"].map(named);
    let filter = Filter::new(channels, 3);
    let first = network.conv_norm_relu([&conv, &norm, &relu], input, filter);
    let second = network.builder.conv(&named("conv2"), first, filter);
    let branch = network.builder.batch_norm(&named("bn2"), second, gamma);
    let sum = network.builder.add(&named("add"), branch, input);
    network.builder.relu(&named("relu2"), sum)
}

/// A score for each move.
fn policy_head(network: &mut Network, input: ValueId) -> ValueId {
    let names = ["policy.conv", "policy.bn", "policy.relu"];
    let planes = network.conv_norm_relu(names, input, Filter::new(2, 1));
    let flat = network.builder.flatten("policy.flatten", planes);
    network.builder.fully_connected("policy.fc", flat, network.classes())
}

/// Between -1 and 1.
fn value_head(network: &mut Network, input: ValueId) -> ValueId {
    let plane = network.builder.conv("value.conv", input, Filter::new(1, 1));
    let plane = network.builder.batch_norm("value.bn", plane, GAMMA);
    let plane = network.builder.relu("value.relu", plane);
    let flat = network.builder.flatten("value.flatten", plane);
    let hidden = network.channels(WIDTH);
    let hidden = network.builder.fully_connected("value.fc1", flat, hidden);
    let hidden = network.builder.relu("value.relu1", hidden);
    let estimate = network.builder.fully_connected("value.fc2", hidden, 1);
    let tanh = Function::identity().then(Unary::Tanh);
    network.builder.pointwise("value.tanh", estimate, tanh)
}
