//! Faster R-CNN with ResNet-101 (He, Zhang, Ren and Sun, arXiv:1512.03385, appendix A): conv1 to conv4_x once an
//! image, with the region proposal network (Ren, He, Girshick and Sun, arXiv:1506.01497) behind it, and conv5_x
//! for each region of 14x14 pixels.

use fixnet::format::OutputKind;

use super::builder::Filter;
use super::network::Network;
use super::resnet::{Block, imagenet_stage, imagenet_stages};

const BOTTLENECK: Block = Block::Bottleneck { width: 64, groups: 1 };
/// Numbers that a box is told by.
const BOX: usize = 4;
/// Channels of the proposal network.
const PROPOSAL: usize = 512;

/// The features, and for each of so many anchors as there are classes objectness (before a Sigmoid) and the
/// correction of its box.
pub(super) fn backbone(network: &mut Network, stages: [usize; 3]) {
    let features = imagenet_stages(network, BOTTLENECK, &stages);
    let anchors = network.classes();
    let proposal = Filter::new(network.channels(PROPOSAL), 3).biased();
    let hidden = network.builder.conv("rpn.conv", features, proposal);
    let hidden = network.builder.relu("rpn.relu", hidden);
    let objectness = network.builder.conv("rpn.cls", hidden, Filter::new(anchors, 1).biased());
    let boxes = network.builder.conv("rpn.bbox", hidden, Filter::new(BOX * anchors, 1).biased());
    network.give(features, "features", OutputKind::Map);
    network.give(objectness, "objectness", OutputKind::Map);
    network.give(boxes, "boxes", OutputKind::Map);
}

/// conv5_x and its mean over the region.
pub(super) fn regions(network: &mut Network, blocks: usize) {
    let map = imagenet_stage(network, BOTTLENECK, network.image(), [3, blocks]);
    let pooled = network.builder.global_average_pool("avgpool", map);
    let vector = network.builder.flatten("flatten", pooled);
    network.give(vector, "features", OutputKind::Vector);
}
