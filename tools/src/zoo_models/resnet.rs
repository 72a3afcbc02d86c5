//! Residual networks with the addition before the last Relu of a block, and the plain networks that they
//! are compared with; nodes are named as torchvision's.

use super::builder::Filter;
use super::gates;
use super::network::{GAMMA, Network};
use crate::graph::{Function, Unary, ValueId};

/// Scale of the last batch norm of a residual branch in a stage of two blocks. Longer stages get
/// smaller ones, as trained networks have them, so that a long chain of additions does not grow.
const BRANCH_GAMMA: (f64, f64) = (0.2, 0.8);
/// Channels that a bottleneck block gives out for each of a network of ordinary width.
const EXPANSION: usize = 4;
/// Channels for each of those that squeeze and excitation leaves.
const REDUCTION: usize = 16;

/// How the blocks of a network are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 (which carries the stride) and 1x1: `width` channels between them in the first stage, in
    /// so many groups.
    Bottleneck { width: usize, groups: usize },
    /// A bottleneck of ordinary width whose channels are weighed before the addition
    /// (arXiv:1709.01507).
    SqueezeExcitation,
    /// Two 3x3 convolutions without a shortcut.
    Plain,
}

/// What brings a shortcut to the shape of a smaller map with more channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortcut {
    /// Every second pixel and new channels of zeros.
    Zeros,
    /// A strided 1x1 convolution.
    Projection,
}

/// 7x7 stem, max-pool, four stages from 64 channels, projection shortcuts.
pub(super) fn imagenet(network: &mut Network, block: Block, stages: [usize; 4]) {
    let value = imagenet_stages(network, block, &stages);
    network.classifier(value);
}

/// The stem, the max-pool and as many stages.
pub(super) fn imagenet_stages(network: &mut Network, block: Block, stages: &[usize]) -> ValueId {
    let stem = Filter::new(network.channels(64), 7).strided(2);
    let value = network.conv_norm_relu(["conv1", "bn1", "relu"], network.image(), stem);
    let mut value = network.builder.max_pool("maxpool", value, 3, 2);
    for (stage, &blocks) in stages.iter().enumerate() {
        value = imagenet_stage(network, block, value, [stage, blocks]);
    }
    value
}

/// Stage `stage`, from 0, of so many blocks.
pub(super) fn imagenet_stage(
    network: &mut Network,
    block: Block,
    input: ValueId,
    [stage, blocks]: [usize; 2],
) -> ValueId {
    let mut value = input;
    let blocks = network.blocks(blocks);
    for index in 0..blocks {
        let name = format!("layer{}.{index}", stage + 1);
        let stride = if stage > 0 && index == 0 { 2 } else { 1 };
        let gamma = branch_gamma(blocks);
        value = Residual { network, name: &name, stride, gamma }.block(block, value, stage);
    }
    value
}

/// 3x3 stem, three stages of basic blocks from 16 channels.
pub(super) fn cifar(network: &mut Network, blocks: usize, shortcuts: Shortcut) {
    cifar_with(network, blocks, shortcuts, |_, _, branch| branch);
}

/// The same with soft thresholds before the additions: a deep residual shrinkage network.
pub(super) fn shrinkage(network: &mut Network, blocks: usize) {
    cifar_with(network, blocks, Shortcut::Projection, |network, name, branch| {
        gates::soft_threshold(network, &format!("{name}.threshold"), branch)
    });
}

/// `end` is what becomes of a branch before it is added.
fn cifar_with(
    network: &mut Network,
    blocks: usize,
    shortcuts: Shortcut,
    end: impl Fn(&mut Network, &str, ValueId) -> ValueId,
) {
    let stem = Filter::new(network.channels(16), 3);
    let mut value = network.conv_norm_relu(["conv1", "bn1", "relu"], network.image(), stem);
    let blocks = network.blocks(blocks);
    for stage in 0..3 {
        let channels = network.channels(16 << stage);
        for index in 0..blocks {
            let name = format!("layer{}.{index}", stage + 1);
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let gamma = branch_gamma(blocks);
            let mut residual = Residual { network, name: &name, stride, gamma };
            let branch = residual.basic_branch(value, channels);
            let branch = end(residual.network, &name, branch);
            let shortcut = match shortcuts {
                Shortcut::Zeros if stride > 1 => residual.subsample(value, channels),
                _ => residual.projection(value, channels),
            };
            value = residual.join(branch, shortcut);
        }
    }
    network.classifier(value);
}

/// Scale of the last batch norm of a branch in a stage of so many blocks.
pub(super) fn branch_gamma(blocks: usize) -> (f64, f64) {
    let factor = (2.0 / blocks.max(2) as f64).sqrt();
    (BRANCH_GAMMA.0 * factor, BRANCH_GAMMA.1 * factor)
}

/// One block.
struct Residual<'n> {
    network: &'n mut Network,
    name: &'n str,
    stride: usize,
    /// Scale of the last batch norm of the branch.
    gamma: (f64, f64),
}

impl Residual<'_> {
    fn block(&mut self, block: Block, input: ValueId, stage: usize) -> ValueId {
        let channels = self.network.channels(64 << stage);
        match block {
            Block::Plain => {
                let first = self.layer(1, input, Filter::new(channels, 3).strided(self.stride));
                self.layer(2, first, Filter::new(channels, 3))
            }
            Block::Basic => {
                let branch = self.basic_branch(input, channels);
                let shortcut = self.projection(input, channels);
                self.join(branch, shortcut)
            }
            Block::Bottleneck { width, groups } => {
                let branch = self.bottleneck(input, [width, groups, stage], channels);
                let shortcut = self.projection(input, channels * EXPANSION);
                self.join(branch, shortcut)
            }
            Block::SqueezeExcitation => {
                let branch = self.bottleneck(input, [64, 1, stage], channels);
                let squeezed = (channels * EXPANSION / REDUCTION).max(1);
                let name = format!("{}.se", self.name);
                let gate = Function::identity().then(Unary::Sigmoid);
                let branch = gates::squeeze_excitation(self.network, &name, branch, squeezed, gate);
                let shortcut = self.projection(input, channels * EXPANSION);
                self.join(branch, shortcut)
            }
        }
    }

    fn bottleneck(
        &mut self,
        input: ValueId,
        [width, groups, stage]: [usize; 3],
        channels: usize,
    ) -> ValueId {
        let width = self.network.grouped_channels(width << stage, groups);
        let first = self.layer(1, input, Filter::new(width, 1));
        let middle = Filter::new(width, 3).strided(self.stride).grouped(groups);
        let second = self.layer(2, first, middle);
        self.end(3, second, Filter::new(channels * EXPANSION, 1))
    }

    fn basic_branch(&mut self, input: ValueId, channels: usize) -> ValueId {
        let first = self.layer(1, input, Filter::new(channels, 3).strided(self.stride));
        self.end(2, first, Filter::new(channels, 3))
    }

    /// Layer `index`: convolution, batch norm and Relu.
    fn layer(&mut self, index: usize, input: ValueId, filter: Filter) -> ValueId {
        let names = ["conv", "bn", "relu"].map(|kind| format!("{}.{kind}{index}", self.name));
        self.network.conv_norm_relu(names.each_ref().map(String::as_str), input, filter)
    }

    /// The last convolution of the branch, and its batch norm.
    fn end(&mut self, index: usize, input: ValueId, filter: Filter) -> ValueId {
        let [conv, norm] = ["conv", "bn"].map(|kind| format!("{}.{kind}{index}", self.name));
        let value = self.network.builder.conv(&conv, input, filter);
        self.network.builder.batch_norm(&norm, value, self.gamma)
    }

    /// The input itself, or a strided 1x1 convolution of it.
    fn projection(&mut self, input: ValueId, channels: usize) -> ValueId {
        if self.stride == 1 && self.network.channels_of(input) == channels {
            return input;
        }
        let [conv, norm] = [0, 1].map(|index| format!("{}.downsample.{index}", self.name));
        let filter = Filter::new(channels, 1).strided(self.stride);
        let value = self.network.builder.conv(&conv, input, filter);
        self.network.builder.batch_norm(&norm, value, GAMMA)
    }

    fn subsample(&mut self, input: ValueId, channels: usize) -> ValueId {
        let name = format!("{}.shortcut", self.name);
        self.network.builder.subsample(&name, input, channels, self.stride)
    }

    /// The addition of branch and shortcut, and its Relu.
    fn join(&mut self, branch: ValueId, shortcut: ValueId) -> ValueId {
        let sum = self.network.builder.add(&format!("{}.add", self.name), branch, shortcut);
        self.network.builder.relu(&format!("{}.relu", self.name), sum)
    }
}
