//! Operators on two values, and what is computed of constants with the same words.

use super::Import::{Constants, Translate};
use super::{End, Import, Operator};
use crate::import::constants;

const ADD: &str = "an int8 sum, fused into a convolution where one feeds it; with a constant part of an affine \
                   step or of a table";
const MULTIPLY: &str = "an int8 product; with a constant part of an affine step or of a table";
const OPERANDS: &str = "two values of one shape, of which one may be [1, C, 1, 1]; or one and a constant, one or \
                        one for each channel";
const ADVICE: &str =
    "both inputs need one shape, or one of them one value for each channel: [1, C, 1, 1]";

pub(super) const TABLE: &[Operator] = &[
    Operator { keeps_layout: true, ..binary("Add", ADD) },
    Operator {
        asks: OPERANDS,
        advice: ADVICE,
        ..Operator::new("Sum", 1, "as `Add`", Translate(|i, n| i.arithmetic(n)))
    },
    Operator {
        keeps_layout: true,
        spelling: Some(|s, node| s.subtraction(node)),
        ..binary("Sub", "as `Add`, of the negative")
    },
    Operator { keeps_layout: true, ..binary("Mul", MULTIPLY) },
    Operator { keeps_layout: true, ..binary("Div", "as `Mul`, of the reciprocal") },
    Operator {
        on_constants: Some(constants::unary),
        ..Operator::new("Neg", 1, "an affine step", Translate(|i, n| i.negate(n)))
    },
    bound("Min"),
    bound("Max"),
    Operator { end: End::NoScores, takes_infinity: true, ..constants_of("Equal", 1) },
];

const fn binary(name: &'static str, becomes: &'static str) -> Operator {
    Operator {
        asks: OPERANDS,
        advice: ADVICE,
        on_constants: Some(constants::binary),
        spelling: Some(|s, node| s.binary(node)),
        ..Operator::new(name, 1, becomes, Translate(|i, n| i.arithmetic(n)))
    }
}

const fn bound(name: &'static str) -> Operator {
    Operator {
        asks: "two inputs, one of them a constant of one element",
        advice: "a bound is one constant; a maximum or minimum of two values must be replaced before the export, \
                 or left in float by `--partition` before or behind the residual blocks",
        on_constants: Some(constants::binary),
        takes_infinity: true,
        ..Operator::new(name, 1, "as `Clip`", Translate(|i, n| i.min_max(n)))
    }
}

const fn constants_of(name: &'static str, since: i64) -> Operator {
    Operator {
        on_constants: Some(constants::binary),
        spelling: Some(|s, node| s.binary(node)),
        ..Operator::new(name, since, "a constant", ON_CONSTANTS)
    }
}

const ON_CONSTANTS: Import = Constants;
