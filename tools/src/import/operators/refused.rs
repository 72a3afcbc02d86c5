//! Operators that have no int8 form, for what to do about them. Others of which nothing is known are refused
//! alike.

use super::Import::Refuse;
use super::{End, Operator, PARTITION};
use crate::import::canonical::window;

const NONE: &str = "no int8 step";
const QUANTIZED: &str = "export the float network: fixnet chooses its own integers";
const RECURRENT: &str = "fixnet runs networks without a state; export the part before or behind it";
const CONTROL: &str =
    "export the network for one input of a fixed shape, so that nothing is decided while it runs";
const DETECTION: &str = "export the network without what comes behind its scores";
const NORM: &str = "statistics of the input itself have no int8 step: train with BatchNormalization; \
                    `--partition` leaves it in float before or behind the residual blocks";

pub(super) const TABLE: &[Operator] = &[
    Operator { spelling: Some(|_, node| window(node)), ..refused("ConvTranspose", 1, PARTITION) },
    Operator { spelling: Some(|_, node| window(node)), ..refused("LpPool", 1, PARTITION) },
    refused("GlobalMaxPool", 1, "spell it as MaxPool with a window of the whole map"),
    refused("GlobalLpPool", 1, PARTITION),
    refused("LRN", 1, PARTITION),
    refused("InstanceNormalization", 1, NORM),
    refused("LayerNormalization", 17, NORM),
    refused("GroupNormalization", 18, NORM),
    refused("Split", 1, PARTITION),
    refused("DepthToSpace", 1, PARTITION),
    refused("SpaceToDepth", 1, PARTITION),
    refused(
        "Resize",
        10,
        "resize images before they are given: fixnet does so by its preprocessing",
    ),
    refused(
        "Upsample",
        7,
        "resize images before they are given: fixnet does so by its preprocessing",
    ),
    refused("QuantizeLinear", 10, QUANTIZED),
    refused("DequantizeLinear", 10, QUANTIZED),
    refused("DynamicQuantizeLinear", 11, QUANTIZED),
    refused("QLinearConv", 10, QUANTIZED),
    refused("QLinearMatMul", 10, QUANTIZED),
    refused("ConvInteger", 10, QUANTIZED),
    refused("MatMulInteger", 10, QUANTIZED),
    refused("LSTM", 1, RECURRENT),
    refused("GRU", 1, RECURRENT),
    refused("RNN", 1, RECURRENT),
    refused("If", 1, CONTROL),
    refused("Loop", 1, CONTROL),
    refused("Scan", 8, CONTROL),
    refused("Attention", 23, "fixnet runs convolutional networks"),
    Operator { end: End::NoScores, ..refused("NonMaxSuppression", 10, DETECTION) },
    Operator { end: End::NoScores, ..refused("NonZero", 9, DETECTION) },
    Operator { end: End::NoScores, ..refused("ArgMin", 1, DETECTION) },
    Operator { end: End::NoScores, ..refused("Multinomial", 7, DETECTION) },
    compared("Greater", 1),
    Operator { spelling: None, ..compared("GreaterOrEqual", 12) },
    compared("Less", 1),
    Operator { spelling: None, ..compared("LessOrEqual", 12) },
    truths("And", 1),
    truths("Or", 1),
    truths("Xor", 1),
    Operator { spelling: None, ..truths("Not", 1) },
    Operator { spelling: None, ..truths("IsNaN", 9) },
    Operator { spelling: None, ..truths("IsInf", 10) },
];

const fn refused(name: &'static str, since: i64, advice: &'static str) -> Operator {
    Operator { advice, ..Operator::new(name, since, NONE, Refuse) }
}

const fn truths(name: &'static str, since: i64) -> Operator {
    Operator {
        end: End::NoScores,
        spelling: Some(|s, node| s.binary(node)),
        ..refused(name, since, PARTITION)
    }
}

const fn compared(name: &'static str, since: i64) -> Operator {
    Operator { takes_infinity: true, ..truths(name, since) }
}
