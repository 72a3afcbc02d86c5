//! Operators that move, cut or join, that do nothing in inference, or that only make constants.

use super::Import::{Constants, Translate};
use super::{End, OnConstants, Operator};
use crate::import::constants;

const LAYOUT: &str = "nothing: a change of layout, seen to at import";
const NOTHING: &str = "nothing";
const CONSTANT: &str = "a constant";
const AXES: &str = "whole axes are merged or moved";

pub(super) const TABLE: &[Operator] = &[
    Operator { on_constants: Some(constants::reshape), ..layout("Flatten", AXES) },
    Operator { on_constants: Some(constants::reshape), ..layout("Reshape", AXES) },
    Operator {
        on_constants: Some(constants::reshape),
        spelling: Some(|s, node| s.squeeze(node)),
        advice: "export it with `axes`",
        ..layout("Squeeze", "`axes`")
    },
    Operator { on_constants: Some(constants::reshape), ..layout("Unsqueeze", "") },
    Operator { on_constants: Some(constants::transpose), ..layout("Transpose", "") },
    Operator {
        asks: "constant `pads`; zeros; rows and columns, or channels",
        takes_infinity: true,
        keeps_layout: true,
        spelling: Some(|s, node| s.pad(node)),
        ..Operator::new(
            "Pad",
            1,
            "padding of the layer behind it, a step, or channels of zeros",
            Translate(|i, n| i.pad(n)),
        )
    },
    Operator {
        asks: "every n-th row and column of the whole image",
        on_constants: Some(constants::slice),
        ..Operator::new("Slice", 1, "a strided copy", Translate(|i, n| i.slice(n)))
    },
    Operator {
        asks: "along the axis of the channels; values of one height and width, or zeros",
        advice: "values are joined along their channels alone: axis 1 of [1, C, H, W], and the last one of \
                 [1, H, W, C]",
        on_constants: Some(constants::concat),
        ..Operator::new(
            "Concat",
            1,
            "an int8 concatenation in which every input keeps its scale; with zeros part of a copy",
            Translate(|i, n| i.concat(n)),
        )
    },
    Operator {
        on_constants: Some(constants::identity),
        keeps_layout: true,
        end: End::PassesOn,
        ..Operator::new("Identity", 1, NOTHING, Translate(|i, n| i.identity(n)))
    },
    Operator {
        asks: "inference mode",
        advice: "export the network in inference mode",
        end: End::PassesOn,
        ..Operator::new("Dropout", 1, NOTHING, Translate(|i, n| i.identity(n)))
    },
    Operator {
        asks: "to floats",
        advice: "the network's data stays in float: leave the cast out",
        on_constants: Some(constants::cast),
        keeps_layout: true,
        end: End::PassesOn,
        ..Operator::new("Cast", 1, NOTHING, Translate(|i, n| i.identity(n)))
    },
    Operator {
        on_constants: Some(constants::cast_like),
        ..Operator::new("CastLike", 15, NOTHING, Translate(|i, n| i.identity(n)))
    },
    constant("Constant", 1, constants::constant),
    Operator {
        spelling: Some(|s, node| s.constant_of_shape(node)),
        ..constant("ConstantOfShape", 9, constants::constant_of_shape)
    },
    Operator { is_of_shape: true, end: End::NoScores, ..constant("Shape", 1, constants::shape) },
    Operator { is_of_shape: true, end: End::NoScores, ..constant("Size", 1, constants::size) },
    constant("Gather", 1, constants::gather),
    constant("Expand", 8, constants::expand),
    constant("Range", 11, constants::range),
    Operator { takes_infinity: true, ..constant("Where", 9, constants::select) },
    constant("Floor", 1, constants::unary),
];

const fn layout(name: &'static str, asks: &'static str) -> Operator {
    Operator {
        asks,
        advice: "keep the order of the axes, or export the network in one layout throughout",
        end: End::PassesOn,
        ..Operator::new(name, 1, LAYOUT, Translate(|i, n| i.layout(n)))
    }
}

const fn constant(name: &'static str, since: i64, value: OnConstants) -> Operator {
    Operator {
        asks: "constants, or shapes",
        on_constants: Some(value),
        ..Operator::new(name, since, CONSTANT, Constants)
    }
}
