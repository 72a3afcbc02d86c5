//! The structure of the networks, layer by layer.

use super::builder::{Builder, GAMMA};
use super::{Block, Family, ModelOptions};
use crate::graph::{Graph, ValueId};

/// Scale of the last batch norm of a residual branch in a stage of two blocks. Longer stages get
/// smaller ones, as trained networks have them, so that a long chain of additions does not grow.
const BRANCH_GAMMA: (f64, f64) = (0.2, 0.8);
/// Channels that a bottleneck block gives out for each of its own.
const EXPANSION: usize = 4;

pub(super) fn build(family: Family, seed: u64, options: &ModelOptions) -> Graph {
    let (default_size, default_classes) = match family {
        Family::ImageNet { .. } => (224, 1000),
        Family::Cifar { .. } => (32, 10),
    };
    let size = options.input_size.unwrap_or(default_size);
    let mut network = Network {
        builder: Builder::new(seed, 3, size),
        width_multiplier: options.width_multiplier,
        branch_gamma: BRANCH_GAMMA,
    };
    let features = match family {
        Family::ImageNet { block, stages } => network.imagenet(block, stages),
        Family::Cifar { blocks, projections } => network.cifar(blocks, projections),
    };
    network.builder.classifier(features, options.classes.unwrap_or(default_classes));
    network.builder.finish()
}

struct Network {
    builder: Builder,
    width_multiplier: f64,
    /// Scale of the last batch norm of a branch in the present stage.
    branch_gamma: (f64, f64),
}

impl Network {
    fn channels(&self, base: usize) -> usize {
        ((base as f64 * self.width_multiplier + 0.5) as usize).max(1)
    }

    /// Prepares for a stage of `blocks` blocks.
    fn enter_stage(&mut self, blocks: usize) {
        let factor = (2.0 / blocks.max(2) as f64).sqrt();
        self.branch_gamma = (BRANCH_GAMMA.0 * factor, BRANCH_GAMMA.1 * factor);
    }

    fn imagenet(&mut self, block: Block, stages: [usize; 4]) -> ValueId {
        let stem = self.channels(64);
        let mut value = self.conv_bn_relu(["conv1", "bn1", "relu"], 0, stem, 7, 2);
        value = self.builder.max_pool("maxpool", value);
        for (stage, &blocks) in stages.iter().enumerate() {
            let channels = self.channels(64 << stage);
            self.enter_stage(blocks);
            for index in 0..blocks {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                value = self.block(block, &name, value, channels, stride);
            }
        }
        value
    }

    fn cifar(&mut self, blocks: usize, projections: bool) -> ValueId {
        let stem = self.channels(16);
        let mut value = self.conv_bn_relu(["conv1", "bn1", "relu"], 0, stem, 3, 1);
        for stage in 0..3 {
            let channels = self.channels(16 << stage);
            self.enter_stage(blocks);
            for index in 0..blocks {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let branch = self.basic_branch(&name, value, channels, stride);
                let shortcut = if projections || stride == 1 {
                    self.projection(&name, value, channels, stride)
                } else {
                    self.builder.subsample(&format!("{name}.shortcut"), value, channels, stride)
                };
                value = self.join(&name, branch, shortcut);
            }
        }
        value
    }

    fn block(
        &mut self,
        block: Block,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        match block {
            Block::Plain => self.plain_block(name, input, channels, stride),
            Block::Basic => {
                let branch = self.basic_branch(name, input, channels, stride);
                let shortcut = self.projection(name, input, channels, stride);
                self.join(name, branch, shortcut)
            }
            Block::Bottleneck => {
                let branch = self.bottleneck_branch(name, input, channels, stride);
                let shortcut = self.projection(name, input, channels * EXPANSION, stride);
                self.join(name, branch, shortcut)
            }
        }
    }

    fn plain_block(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        let first = self.layer(name, 1, input, channels, 3, stride);
        self.layer(name, 2, first, channels, 3, 1)
    }

    fn basic_branch(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        let first = self.layer(name, 1, input, channels, 3, stride);
        let last = self.builder.conv(&format!("{name}.conv2"), first, channels, 3, 1);
        self.builder.batch_norm(&format!("{name}.bn2"), last, self.branch_gamma)
    }

    fn bottleneck_branch(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        let first = self.layer(name, 1, input, channels, 1, 1);
        let second = self.layer(name, 2, first, channels, 3, stride);
        let wide = channels * EXPANSION;
        let last = self.builder.conv(&format!("{name}.conv3"), second, wide, 1, 1);
        self.builder.batch_norm(&format!("{name}.bn3"), last, self.branch_gamma)
    }

    /// The shortcut of the ImageNet family: the input itself, or a strided 1x1 convolution.
    fn projection(
        &mut self,
        name: &str,
        input: ValueId,
        channels: usize,
        stride: usize,
    ) -> ValueId {
        if stride == 1 && self.builder.shape(input)[0] == channels {
            return input;
        }
        let conv = format!("{name}.downsample.0");
        let projected = self.builder.conv(&conv, input, channels, 1, stride);
        self.builder.batch_norm(&format!("{name}.downsample.1"), projected, GAMMA)
    }

    /// The addition of branch and shortcut, and its Relu.
    fn join(&mut self, name: &str, branch: ValueId, shortcut: ValueId) -> ValueId {
        let sum = self.builder.add(&format!("{name}.add"), branch, shortcut);
        self.builder.relu(&format!("{name}.relu"), sum)
    }

    /// Layer `index` of a block: convolution, batch norm and Relu.
    fn layer(
        &mut self,
        name: &str,
        index: usize,
        input: ValueId,
        channels: usize,
        size: usize,
        stride: usize,
    ) -> ValueId {
        let [conv, norm, relu] = ["conv", "bn", "relu"].map(|kind| format!("{name}.{kind}{index}"));
        self.conv_bn_relu([&conv, &norm, &relu], input, channels, size, stride)
    }

    fn conv_bn_relu(
        &mut self,
        [conv, norm, relu]: [&str; 3],
        input: ValueId,
        channels: usize,
        size: usize,
        stride: usize,
    ) -> ValueId {
        let value = self.builder.conv(conv, input, channels, size, stride);
        let value = self.builder.batch_norm(norm, value, GAMMA);
        self.builder.relu(relu, value)
    }
}
