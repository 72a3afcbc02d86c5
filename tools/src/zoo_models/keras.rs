//! Residual networks as Keras has them: images in NHWC, biases beside batch norms, padding of SAME, pools
//! of one pixel, and a Softmax at the end.

use super::builder::{Filter, Padding};
use super::network::{GAMMA, Network};
use crate::graph::ValueId;

/// Version 1 of the example for CIFAR-10: the first layers of three stages of `blocks` blocks are strided,
/// and their shortcuts are convolutions without batch norm.
pub(super) fn version1(network: &mut Network, blocks: usize) {
    let image = network.keras_image();
    let stem = same(network.channels(16), 3, 1);
    let mut value = network.conv_norm_relu(["conv0", "bn0", "relu0"], image, stem);
    for stage in 0..3 {
        let channels = network.channels(16 << stage);
        for block in 0..network.blocks(blocks) {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = |part: &str| format!("stack{}.block{}.{part}", stage + 1, block + 1);
            let [conv, norm, relu] = ["conv1", "bn1", "relu1"].map(name);
            let first = same(channels, 3, stride);
            let branch = network.conv_norm_relu([&conv, &norm, &relu], value, first);
            let branch = network.builder.conv(&name("conv2"), branch, same(channels, 3, 1));
            let branch = network.builder.batch_norm(&name("bn2"), branch, GAMMA);
            let shortcut = match stride {
                1 => value,
                _ => network.builder.conv(&name("shortcut"), value, same(channels, 1, stride)),
            };
            let sum = network.builder.add(&name("add"), shortcut, branch);
            value = network.builder.relu(&name("relu2"), sum);
        }
    }
    end(network, value);
}

/// Version 2 of it: batch norm and Relu before the convolutions of bottlenecks, but for the first one of
/// all, and the shortcuts of stages are convolutions of the sum itself.
pub(super) fn version2(network: &mut Network, blocks: usize) {
    let image = network.keras_image();
    let stem = same(network.channels(16), 3, 1);
    let mut value = network.conv_norm_relu(["conv0", "bn0", "relu0"], image, stem);
    let mut inner = 16;
    for stage in 0..3 {
        let outer = if stage == 0 { 4 * inner } else { 2 * inner };
        let [narrow, wide] = [inner, outer].map(|base| network.channels(base));
        for block in 0..network.blocks(blocks) {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = |part: &str| format!("stack{}.block{}.{part}", stage + 1, block + 1);
            let mut branch = value;
            if (stage, block) != (0, 0) {
                branch = network.norm_relu([&name("bn1"), &name("relu1")], branch);
            }
            branch = network.builder.conv(&name("conv1"), branch, same(narrow, 1, stride));
            branch = network.norm_relu([&name("bn2"), &name("relu2")], branch);
            branch = network.builder.conv(&name("conv2"), branch, same(narrow, 3, 1));
            branch = network.norm_relu([&name("bn3"), &name("relu3")], branch);
            branch = network.builder.conv(&name("conv3"), branch, same(wide, 1, 1));
            let shortcut = match block {
                0 => network.builder.conv(&name("shortcut"), value, same(wide, 1, stride)),
                _ => value,
            };
            value = network.builder.add(&name("add"), shortcut, branch);
        }
        inner = outer;
    }
    value = network.norm_relu(["bn_last", "relu_last"], value);
    end(network, value);
}

/// ResNet50V2 and its like: the last block of a stage is strided, and takes every second pixel for its
/// shortcut.
pub(super) fn application(network: &mut Network, stages: [usize; 4]) {
    let image = network.keras_image();
    let padded = network.builder.pad("conv1_pad", image, 3);
    let stem = Filter::new(network.channels(64), 7).strided(2).biased().padded(Padding::None);
    let value = network.builder.conv("conv1_conv", padded, stem);
    let padded = network.builder.pad("pool1_pad", value, 1);
    let mut value = network.builder.max_pool_unpadded("pool1_pool", padded, 3, 2);
    for (stage, blocks) in stages.into_iter().enumerate() {
        let channels = network.channels(64 << stage);
        let blocks = network.blocks(blocks);
        for block in 1..=blocks {
            let name = format!("conv{}_block{block}", stage + 2);
            let stride = if block == blocks && stage < 3 { 2 } else { 1 };
            value = application_block(network, &name, value, (channels, stride), block == 1);
        }
    }
    let value = network.norm_relu(["post_bn", "post_relu"], value);
    end(network, value);
}

fn application_block(
    network: &mut Network,
    name: &str,
    input: ValueId,
    (channels, stride): (usize, usize),
    projection: bool,
) -> ValueId {
    let name = |part: &str| format!("{name}_{part}");
    let wide = Filter::new(4 * channels, 1).biased();
    let first = network.norm_relu([&name("preact_bn"), &name("preact_relu")], input);
    let shortcut = match (projection, stride) {
        (true, _) => network.builder.conv(&name("0_conv"), first, wide.strided(stride)),
        (false, 1) => input,
        (false, _) => network.builder.max_pool_unpadded(&name("pool"), input, 1, stride),
    };
    let names = ["1_conv", "1_bn", "1_relu"].map(name);
    let narrow = Filter::new(channels, 1);
    let branch = network.conv_norm_relu(names.each_ref().map(String::as_str), first, narrow);
    let branch = network.builder.pad(&name("2_pad"), branch, 1);
    let names = ["2_conv", "2_bn", "2_relu"].map(name);
    let middle = Filter::new(channels, 3).strided(stride).padded(Padding::None);
    let branch = network.conv_norm_relu(names.each_ref().map(String::as_str), branch, middle);
    let branch = network.builder.conv(&name("3_conv"), branch, wide);
    network.builder.add(&name("out"), shortcut, branch)
}

/// A convolution of the example.
fn same(channels: usize, size: usize, stride: usize) -> Filter {
    Filter::new(channels, size).strided(stride).biased().padded(Padding::Same)
}

fn end(network: &mut Network, value: ValueId) {
    let scores = network.classifier(value);
    network.builder.softmax("softmax", scores);
}
