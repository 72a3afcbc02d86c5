//! Gates that weigh the channels of a map by what is in it: squeeze and excitation, and soft thresholds.

use super::builder::Filter;
use super::network::Network;
use crate::graph::{Binary, Function, Unary, ValueId};

/// `max(0, min(1, x / 6 + 1 / 2))`, as ONNX' HardSigmoid of a sixth and a half.
pub(super) fn hard_sigmoid() -> Function {
    Function::identity()
        .with(Binary::Mul, &Function::constant(1.0 / 6.0))
        .with(Binary::Add, &Function::constant(0.5))
        .with(Binary::Min, &Function::constant(1.0))
        .with(Binary::Max, &Function::constant(0.0))
}

/// Squeeze and excitation (arXiv:1709.01507): each channel times a gate made from the means of all.
pub(super) fn squeeze_excitation(
    network: &mut Network,
    name: &str,
    input: ValueId,
    squeezed: usize,
    gate: Function,
) -> ValueId {
    let channels = network.channels_of(input);
    let pooled = network.builder.global_average_pool(&format!("{name}.avgpool"), input);
    let scale = excitation(network, name, pooled, [squeezed, channels], gate);
    network.builder.multiply(&format!("{name}.scale"), input, scale)
}

/// Two fully connected layers, a Relu between them.
fn excitation(
    network: &mut Network,
    name: &str,
    pooled: ValueId,
    [squeezed, channels]: [usize; 2],
    gate: Function,
) -> ValueId {
    let builder = &mut network.builder;
    let value = builder.conv(&format!("{name}.fc1"), pooled, Filter::new(squeezed, 1).biased());
    let value = builder.relu(&format!("{name}.relu"), value);
    let value = builder.conv(&format!("{name}.fc2"), value, Filter::new(channels, 1).biased());
    builder.pointwise(&format!("{name}.gate"), value, gate)
}

/// The soft threshold of deep residual shrinkage networks (Zhao et al., 10.1109/TII.2019.2943898), one for each
/// channel: `sign(x) * max(|x| - t, 0)`, `t` being the mean of `|x|` times a gate.
pub(super) fn soft_threshold(network: &mut Network, name: &str, input: ValueId) -> ValueId {
    let channels = network.channels_of(input);
    let of = |function: Unary| Function::identity().then(function);
    let size = network.builder.pointwise(&format!("{name}.abs"), input, of(Unary::Abs));
    let mean = network.builder.global_average_pool(&format!("{name}.avgpool"), size);
    let gate = excitation(network, name, mean, [channels, channels], of(Unary::Sigmoid));
    let builder = &mut network.builder;
    let threshold = builder.multiply(&format!("{name}.threshold"), mean, gate);
    let negative = Function::constant(0.0).with(Binary::Sub, &Function::identity());
    let threshold = builder.pointwise(&format!("{name}.negative"), threshold, negative);
    let beyond = builder.add(&format!("{name}.beyond"), size, threshold);
    let beyond = builder.relu(&format!("{name}.above"), beyond);
    let sign = builder.pointwise(&format!("{name}.sign"), input, of(Unary::Sign));
    builder.multiply(&format!("{name}.out"), sign, beyond)
}
