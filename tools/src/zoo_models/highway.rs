//! Convolutional highway networks of Srivastava, Greff and Schmidhuber (arXiv:1505.00387): each layer gives
//! `T(x) * H(x) + (1 - T(x)) * x`, with gates `T` of their own weights.

use super::builder::Filter;
use super::network::Network;
use crate::graph::{Binary, Function, Unary, ValueId};

/// Channels of each stage.
const STAGES: [usize; 3] = [16, 32, 48];
/// Highway layers of a stage.
const LAYERS: usize = 2;

/// Three stages, each a 3x3 convolution to its channels, highway layers and a max-pool.
pub(super) fn highway(network: &mut Network) {
    let mut value = network.image();
    for (stage, channels) in (1..).zip(STAGES) {
        let filter = Filter::new(network.channels(channels), 3).biased();
        value = network.builder.conv(&format!("stage{stage}.conv"), value, filter);
        value = network.builder.relu(&format!("stage{stage}.relu"), value);
        for index in 1..=network.blocks(LAYERS) {
            value = layer(network, &format!("stage{stage}.highway{index}"), value);
        }
        value = network.builder.max_pool_unpadded(&format!("stage{stage}.pool"), value, 2, 2);
    }
    network.classifier(value);
}

fn layer(network: &mut Network, name: &str, input: ValueId) -> ValueId {
    let filter = Filter::new(network.channels_of(input), 3).biased();
    let builder = &mut network.builder;
    let plain = builder.conv(&format!("{name}.h"), input, filter);
    let plain = builder.relu(&format!("{name}.h.relu"), plain);
    let gate = builder.conv(&format!("{name}.t"), input, filter);
    let sigmoid = Function::identity().then(Unary::Sigmoid);
    let gate = builder.pointwise(&format!("{name}.t.sigmoid"), gate, sigmoid);
    let rest = Function::constant(1.0).with(Binary::Sub, &Function::identity());
    let carry = builder.pointwise(&format!("{name}.carry"), gate, rest);
    let transformed = builder.multiply(&format!("{name}.transformed"), plain, gate);
    let carried = builder.multiply(&format!("{name}.carried"), input, carry);
    builder.add(&format!("{name}.sum"), transformed, carried)
}
