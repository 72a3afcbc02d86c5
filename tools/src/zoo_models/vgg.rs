//! VGG (arXiv:1409.1556): 3x3 convolutions with biases, pools, and three fully connected layers; with
//! torchvision's names.

use super::builder::Filter;
use super::network::Network;

/// Convolutions of each stage; a pool ends it.
pub(super) fn vgg(network: &mut Network, stages: [usize; 5]) {
    let mut value = network.image();
    let mut index = 0;
    let mut name = || {
        index += 1;
        format!("features.{}", index - 1)
    };
    for (convolutions, channels) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
        let filter = Filter::new(network.channels(channels), 3).biased();
        for _ in 0..network.blocks(convolutions) {
            value = network.builder.conv(&name(), value, filter);
            value = network.builder.relu(&name(), value);
        }
        value = network.builder.max_pool(&name(), value, 2, 2);
    }
    value = network.builder.flatten("flatten", value);
    for index in [0, 3] {
        let hidden = network.channels(4096);
        value = network.builder.fully_connected(&format!("classifier.{index}"), value, hidden);
        value = network.builder.relu(&format!("classifier.{}", index + 1), value);
    }
    network.scores("classifier.6", value);
}
