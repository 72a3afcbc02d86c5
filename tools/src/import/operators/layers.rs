//! Operators with weights or windows, and the end of a classifier.

use super::Import::Translate;
use super::Operator;
use crate::import::canonical::window;

const WINDOWS: &str = "two spatial axes; `auto_pad`, `pads` and `strides` of up to 65536";

pub(super) const TABLE: &[Operator] = &[
    Operator {
        asks: "constant weights and bias; two spatial axes; groups and dilations as they are",
        spelling: Some(|_, node| window(node)),
        ..Operator::new("Conv", 1, "an int8 convolution", Translate(|i, n| i.conv(n)))
    },
    Operator {
        asks: "one constant matrix; no `transA`",
        ..Operator::new(
            "Gemm",
            1,
            "an int8 matrix product; the last one gives the scores in 32 bits",
            Translate(|i, n| i.gemm(n)),
        )
    },
    Operator {
        asks: "one vector and one constant matrix",
        ..Operator::new("MatMul", 1, "as `Gemm`", Translate(|i, n| i.matmul(n)))
    },
    Operator {
        asks: "inference mode; constant statistics, one for each channel",
        advice: "export the network in inference mode",
        spelling: Some(|s, node| s.batch_norm(node)),
        ..Operator::new(
            "BatchNormalization",
            1,
            "part of a convolution beside it, or an affine step",
            Translate(|i, n| i.batch_norm(n)),
        )
    },
    Operator {
        asks: WINDOWS,
        spelling: Some(|_, node| window(node)),
        ..Operator::new("MaxPool", 1, "an int8 maximum", Translate(|i, n| i.pool(n)))
    },
    Operator {
        asks: "as `MaxPool`; not `ceil_mode` and `count_include_pad` both, if the former adds a window; without \
               its padding at most 65536 pixels",
        spelling: Some(|_, node| window(node)),
        ..Operator::new("AveragePool", 1, "an int8 average", Translate(|i, n| i.pool(n)))
    },
    Operator::new(
        "GlobalAveragePool",
        1,
        "an int8 average",
        Translate(|i, n| i.global_average_pool(n)),
    ),
    Operator {
        asks: "over rows and columns, both",
        advice: "a mean over rows and columns is taken; others must be replaced before the export, or left in \
                 float by `--partition` before or behind the residual blocks",
        ..Operator::new("ReduceMean", 1, "an int8 average", Translate(|i, n| i.reduce_mean(n)))
    },
];
