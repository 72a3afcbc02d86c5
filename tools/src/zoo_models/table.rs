//! All networks, by where they come from: what is not said here is in no list, test or help text.

use super::network::Network;
use super::preactivation::{self, Unit};
use super::resnet::{self, Block, Shortcut};
use super::{alphazero, densenet, detection, highway, keras, mobilenet, vgg};

/// Networks of one origin.
pub(super) struct Group {
    pub title: &'static str,
    /// Height, width and channels.
    pub input: [usize; 3],
    /// The smallest input that leaves a pixel to the last layer.
    pub least_input: usize,
    pub classes: usize,
    pub entries: &'static [Entry],
}

pub(super) struct Entry {
    pub name: &'static str,
    /// Appends the whole network.
    pub build: fn(&mut Network),
}

const BOTTLENECK: Block = Block::Bottleneck { width: 64, groups: 1 };

macro_rules! networks {
    ($($name:literal: $build:expr),* $(,)?) => { &[$(Entry { name: $name, build: $build }),*] };
}

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "ResNet (arXiv:1512.03385) for ImageNet",
        input: [224, 224, 3],
        least_input: 8,
        classes: 1000,
        entries: networks! {
            "resnet18": |n| resnet::imagenet(n, Block::Basic, [2, 2, 2, 2]),
            "resnet34": |n| resnet::imagenet(n, Block::Basic, [3, 4, 6, 3]),
            "resnet50": |n| resnet::imagenet(n, BOTTLENECK, [3, 4, 6, 3]),
            "resnet101": |n| resnet::imagenet(n, BOTTLENECK, [3, 4, 23, 3]),
            "resnet152": |n| resnet::imagenet(n, BOTTLENECK, [3, 8, 36, 3]),
            "plain18": |n| resnet::imagenet(n, Block::Plain, [2, 2, 2, 2]),
            "plain34": |n| resnet::imagenet(n, Block::Plain, [3, 4, 6, 3]),
        },
    },
    Group {
        title: "ResNet (arXiv:1512.03385) for CIFAR-10",
        input: [32, 32, 3],
        least_input: 8,
        classes: 10,
        entries: networks! {
            "resnet20": |n| resnet::cifar(n, 3, Shortcut::Zeros),
            "resnet32": |n| resnet::cifar(n, 5, Shortcut::Zeros),
            "resnet44": |n| resnet::cifar(n, 7, Shortcut::Zeros),
            "resnet56": |n| resnet::cifar(n, 9, Shortcut::Zeros),
            "resnet110": |n| resnet::cifar(n, 18, Shortcut::Zeros),
            "resnet1202": |n| resnet::cifar(n, 200, Shortcut::Zeros),
        },
    },
    Group {
        title: "ResNet of MLPerf Tiny for CIFAR-10",
        input: [32, 32, 3],
        least_input: 8,
        classes: 10,
        entries: networks! {
            "resnet8": |n| resnet::cifar(n, 1, Shortcut::Projection),
        },
    },
    Group {
        title: "Pre-activation ResNet (arXiv:1603.05027) for CIFAR-10",
        input: [32, 32, 3],
        least_input: 8,
        classes: 10,
        entries: networks! {
            "preact-resnet20": |n| preactivation::cifar(n, Unit::Basic, 3),
            "preact-resnet110": |n| preactivation::cifar(n, Unit::Basic, 18),
            "preact-resnet164": |n| preactivation::cifar(n, Unit::Bottleneck, 18),
            "preact-resnet1001": |n| preactivation::cifar(n, Unit::Bottleneck, 111),
        },
    },
    Group {
        title: "Pre-activation ResNet (arXiv:1603.05027) for ImageNet",
        input: [224, 224, 3],
        least_input: 8,
        classes: 1000,
        entries: networks! {
            "preact-resnet200": |n| preactivation::imagenet(n, [3, 24, 36, 3]),
        },
    },
    Group {
        title: "ResNet v1 and v2 of Keras' example for CIFAR-10",
        input: [32, 32, 3],
        least_input: 8,
        classes: 10,
        entries: networks! {
            "keras-resnet20-v1": |n| keras::version1(n, 3),
            "keras-resnet20-v2": |n| keras::version2(n, 2),
        },
    },
    Group {
        title: "ResNet50V2 of Keras' applications for ImageNet",
        input: [224, 224, 3],
        least_input: 8,
        classes: 1000,
        entries: networks! {
            "resnet50v2": |n| keras::application(n, [3, 4, 6, 3]),
        },
    },
    Group {
        title: "ResNeXt-50 32x4d (arXiv:1611.05431), Wide ResNet-50-2 (arXiv:1605.07146), \
                MobileNetV2 (arXiv:1801.04381) for ImageNet",
        input: [224, 224, 3],
        least_input: 8,
        classes: 1000,
        entries: networks! {
            "resnext50": |n| {
                resnet::imagenet(n, Block::Bottleneck { width: 128, groups: 32 }, [3, 4, 6, 3]);
            },
            "wide-resnet50": |n| {
                resnet::imagenet(n, Block::Bottleneck { width: 128, groups: 1 }, [3, 4, 6, 3]);
            },
            "mobilenetv2": mobilenet::version2,
        },
    },
    Group {
        title: "Networks with gates for ImageNet: SE-ResNet-50 (arXiv:1709.01507), \
                MobileNetV3-Large (arXiv:1905.02244); EfficientNet-Lite0 (arXiv:1905.11946)",
        input: [224, 224, 3],
        least_input: 8,
        classes: 1000,
        entries: networks! {
            "se-resnet50": |n| resnet::imagenet(n, Block::SqueezeExcitation, [3, 4, 6, 3]),
            "mobilenetv3-large": mobilenet::version3_large,
            "efficientnet-lite0": mobilenet::efficientnet_lite0,
        },
    },
    Group {
        title: "DenseNet (arXiv:1608.06993) for ImageNet",
        input: [224, 224, 3],
        least_input: 32,
        classes: 1000,
        entries: networks! {
            "densenet121": |n| densenet::densenet(n, [6, 12, 24, 16]),
        },
    },
    Group {
        title: "Highway network (arXiv:1505.00387), deep residual shrinkage network \
                (10.1109/TII.2019.2943898) for CIFAR-10",
        input: [32, 32, 3],
        least_input: 8,
        classes: 10,
        entries: networks! {
            "highway": highway::highway,
            "shrinkage-resnet20": |n| resnet::shrinkage(n, 3),
        },
    },
    Group {
        title: "Faster R-CNN with ResNet-101 (arXiv:1512.03385), what it computes once an image: \
                features, and objectness and boxes of 9 anchors a pixel",
        input: [600, 800, 3],
        least_input: 32,
        classes: 9,
        entries: networks! {
            "frcnn-resnet101": |n| detection::backbone(n, [3, 4, 23]),
        },
    },
    Group {
        title: "Faster R-CNN with ResNet-101 (arXiv:1512.03385), what it computes for each region: \
                its features",
        input: [14, 14, 1024],
        least_input: 8,
        classes: 2048,
        entries: networks! {
            "frcnn-resnet101-regions": |n| detection::regions(n, 3),
        },
    },
    Group {
        title: "AlphaZero (arXiv:1712.01815) for Go: policy and value",
        input: [19, 19, 17],
        least_input: 8,
        classes: 362,
        entries: networks! {
            "alphazero": |n| alphazero::alphazero(n, 19),
        },
    },
    Group {
        title: "VGG (arXiv:1409.1556) for ImageNet, without batch norms",
        input: [224, 224, 3],
        least_input: 32,
        classes: 1000,
        entries: networks! {
            "vgg19": |n| vgg::vgg(n, [2, 2, 4, 4, 4]),
        },
    },
];
