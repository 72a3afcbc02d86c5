//! Small residual networks with operators at their ends, or between their blocks, that have no int8
//! form.

use crate::common::onnx::{Model, float, floats, int, ints, string};

const CHANNELS: i64 = 8;

/// A 3x3 convolution with weights `w{n}` and a bias.
fn conv(model: Model, input: &str, output: &str, channels: i64) -> Model {
    let (weights, bias) = (format!("{output}.w"), format!("{output}.b"));
    let pads = [ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
    let model = model.weights(&weights, &[CHANNELS, channels, 3, 3]).weights(&bias, &[CHANNELS]);
    model.node("Conv", &[input, &weights, &bias], output, &pads)
}

/// `conv, relu, conv, activation?, add, relu` from `input` to `{name}`.
fn block(model: Model, input: &str, name: &str, inner: Option<&str>) -> Model {
    let part = |suffix: &str| format!("{name}.{suffix}");
    let (first, relu, second, sum) = (part("conv1"), part("relu"), part("conv2"), part("add"));
    let model = conv(model, input, &first, CHANNELS).node("Relu", &[&first], &relu, &[]);
    let model = conv(model, &relu, &second, CHANNELS);
    let (model, branch) = match inner {
        Some(op) => (model.node(op, &[&second], &part("inner"), &[]), part("inner")),
        None => (model, second),
    };
    model.node("Add", &[&branch, input], &sum, &[]).node("Relu", &[&sum], name, &[])
}

/// The stem and two blocks from `input` to `trunk`.
pub fn trunk(model: Model, input: &str) -> Model {
    let model = conv(model, input, "stem", 3).node("Relu", &["stem"], "stem.relu", &[]);
    let model = block(model, "stem.relu", "block1", None);
    block(model, "block1", "trunk", None)
}

/// Pool, flatten and a classifier of 5 classes from `input` to `logits`.
pub fn classifier(model: Model, input: &str) -> Model {
    let model = model.node("GlobalAveragePool", &[input], "pool", &[]);
    let model = model.node("Flatten", &["pool"], "flat", &[]);
    dense(model, "flat", "logits")
}

fn dense(model: Model, input: &str, output: &str) -> Model {
    let model = model.weights("fc.w", &[5, CHANNELS]).weights("fc.b", &[5]);
    model.node("Gemm", &[input, "fc.w", "fc.b"], output, &[int("transB", 1)])
}

/// The stages of the networks of these tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Net {
    /// A local response normalisation before the first convolution.
    LrnHead,
    /// The network makes its images smaller itself.
    ResizeHead,
    /// A hard swish over the feature map behind the blocks.
    AtanTail,
    /// A layer normalisation of the pooled features.
    LayerNormTail,
    /// Scores squashed behind the classifier.
    SquashedTail,
    /// Both ends.
    HeadAndTail,
    /// Both ends, with channels last outside of the trunk and more columns than rows.
    ChannelsLast,
    /// A hard swish between the blocks.
    MiddleBetween,
    /// A hard swish inside a block.
    MiddleInside,
}

/// Those that can be split.
pub const SPLIT: [Net; 7] = [
    Net::LrnHead,
    Net::ResizeHead,
    Net::AtanTail,
    Net::LayerNormTail,
    Net::SquashedTail,
    Net::HeadAndTail,
    Net::ChannelsLast,
];

impl Net {
    pub fn onnx(self) -> Model {
        let lrn = [int("size", 3), float("alpha", 0.1), float("beta", 0.75)];
        match self {
            Self::LrnHead => {
                let model = Model::new(17, &[1, 3, 16, 16]).node("LRN", &["x"], "lrn", &lrn);
                classifier(trunk(model, "lrn"), "trunk").output("logits")
            }
            Self::ResizeHead => {
                let model = Model::new(17, &[1, 3, 32, 32]).tensor(floats(
                    "scales",
                    &[4],
                    vec![1.0, 1.0, 0.5, 0.5],
                ));
                let modes = [
                    string("mode", "linear"),
                    string("coordinate_transformation_mode", "half_pixel"),
                ];
                let model = model.node("Resize", &["x", "", "scales"], "small", &modes);
                classifier(trunk(model, "small"), "trunk").output("logits")
            }
            Self::AtanTail => {
                let model = trunk(Model::new(17, &[1, 3, 16, 16]), "x");
                let model = model.node("Atan", &["trunk"], "bent", &[]);
                classifier(model, "bent").output("logits")
            }
            Self::LayerNormTail => {
                let model = trunk(Model::new(17, &[1, 3, 16, 16]), "x");
                let model = model.node("GlobalAveragePool", &["trunk"], "pool", &[]);
                let model = model.node("Flatten", &["pool"], "flat", &[]);
                let gamma = floats("gamma", &[CHANNELS], vec![1.5; 8]);
                let beta = floats("beta", &[CHANNELS], vec![0.1; 8]);
                let model = model.tensor(gamma).tensor(beta);
                let model = model.node(
                    "LayerNormalization",
                    &["flat", "gamma", "beta"],
                    "norm",
                    &[int("axis", -1)],
                );
                dense(model, "norm", "logits").output("logits")
            }
            Self::SquashedTail => {
                let model = classifier(trunk(Model::new(17, &[1, 3, 16, 16]), "x"), "trunk");
                model.node("Atan", &["logits"], "squashed", &[]).output("squashed")
            }
            Self::HeadAndTail => {
                let model = Model::new(17, &[1, 3, 16, 16]).node("LRN", &["x"], "lrn", &lrn);
                let model = trunk(model, "lrn").node("Atan", &["trunk"], "bent", &[]);
                let model = classifier(model, "bent");
                model.node("Softmax", &["logits"], "scores", &[]).output("scores")
            }
            Self::ChannelsLast => {
                let model = Model::new(17, &[1, 12, 16, 3]).node("Atan", &["x"], "in", &[]);
                let turn = |order: &[i64]| [ints("perm", order)];
                let model = model.node("Transpose", &["in"], "chw", &turn(&[0, 3, 1, 2]));
                let model = trunk(model, "chw");
                let model = model.node("Transpose", &["trunk"], "hwc", &turn(&[0, 2, 3, 1]));
                let model = model.node("Atan", &["hwc"], "bent", &[]);
                let axes = [ints("axes", &[1, 2]), int("keepdims", 0)];
                dense(model.node("ReduceMean", &["bent"], "mean", &axes), "mean", "logits")
                    .output("logits")
            }
            Self::MiddleBetween => {
                let model = trunk(Model::new(17, &[1, 3, 16, 16]), "x");
                let model = model.node("Atan", &["trunk"], "bent", &[]);
                classifier(block(model, "bent", "block3", None), "block3").output("logits")
            }
            Self::MiddleInside => {
                let model = trunk(Model::new(17, &[1, 3, 16, 16]), "x");
                let model = block(model, "trunk", "block3", Some("Atan"));
                classifier(model, "block3").output("logits")
            }
        }
    }

    /// Pixels on a side of the image.
    pub fn size(self) -> &'static str {
        if self == Self::ResizeHead { "32" } else { "16" }
    }

    /// The nodes that have to stay in float.
    pub fn nodes(self) -> &'static [&'static str] {
        match self {
            Self::LrnHead => &["lrn"],
            Self::ResizeHead => &["small"],
            Self::AtanTail => &["bent", "pool", "flat", "logits"],
            Self::LayerNormTail => &["norm", "logits"],
            Self::SquashedTail => &["squashed"],
            Self::HeadAndTail => &["lrn", "bent", "pool", "flat", "logits"],
            Self::ChannelsLast => &["in", "bent", "mean", "logits"],
            Self::MiddleBetween => &["bent"],
            Self::MiddleInside => &["block3.inner"],
        }
    }
}
