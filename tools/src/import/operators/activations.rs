//! Functions of one value. Formulas are those of the ONNX operator specification.

use super::Import::{Function as Of, Translate};
use super::Operator;
use crate::graph::{Binary, Function, Unary};
use crate::import::constants;
use crate::import::error::NodeProblem;
use crate::import::node::OnnxNode;
use crate::import::translate::NodeResult;

const CLAMP: &str = "bounds of the layer before it, or a step";
const LOOKUP: &str = "a table of 256 entries";

pub(super) const TABLE: &[Operator] = &[
    Operator::new("Relu", 1, CLAMP, Translate(|i, n| i.clip(n))),
    Operator {
        asks: "constant bounds, the lower one not above the upper one",
        advice: "give it bounds that are constant, and the lower one first",
        keeps_layout: true,
        takes_infinity: true,
        ..Operator::new("Clip", 1, CLAMP, Translate(|i, n| i.clip(n)))
    },
    table("Sigmoid", 1, |_| unary(Unary::Sigmoid)),
    table("Tanh", 1, |_| unary(Unary::Tanh)),
    table("HardSigmoid", 1, |node| {
        Ok(hard_sigmoid(finite(node, "alpha", 0.2)?, finite(node, "beta", 0.5)?))
    }),
    table("HardSwish", 14, |_| Ok(x().with(Binary::Mul, &hard_sigmoid(1.0 / 6.0, 0.5)))),
    table("LeakyRelu", 1, |node| {
        let (above, below) = parts();
        let slope = constant(finite(node, "alpha", 0.01)?);
        Ok(above.with(Binary::Add, &below.with(Binary::Mul, &slope)))
    }),
    Operator {
        asks: "constant slopes, one or one for each channel",
        advice: "give it one constant slope for each channel",
        ..Operator::new(
            "PRelu",
            1,
            "a table of 256 entries, for each channel where slopes differ",
            Translate(|i, n| i.prelu(n)),
        )
    },
    table("Elu", 1, |node| Ok(exponential(finite(node, "alpha", 1.0)?))),
    table("Selu", 1, |node| {
        let inner = exponential(finite(node, "alpha", 1.673_263_2)?);
        Ok(inner.with(Binary::Mul, &constant(finite(node, "gamma", 1.050_701)?)))
    }),
    Operator {
        asks: "`alpha` above 0",
        advice: "give it an `alpha` above 0",
        spelling: Some(|s, node| s.celu(node)),
        ..Operator::new("Celu", 12, "`Elu`, scaled", super::Import::Constants)
    },
    table("Gelu", 20, |node| match node.string("approximate", "none") {
        "none" => Ok(gelu(false)),
        "tanh" => Ok(gelu(true)),
        other => {
            let reason = format!("{other:?} is neither none nor tanh");
            Err(NodeProblem::Attribute { name: "approximate", reason })
        }
    }),
    table("Mish", 18, |_| Ok(x().with(Binary::Mul, &x().then(Unary::Softplus).then(Unary::Tanh)))),
    Operator {
        asks: "`alpha` of 1",
        advice: "spell it as `Mul`, `Sigmoid` and `Mul`",
        ..table("Swish", 24, |node| match node.float("alpha", 1.0) {
            1.0 => Ok(x().with(Binary::Mul, &x().then(Unary::Sigmoid))),
            _ => Err(NodeProblem::unsupported("Swish with an alpha other than 1")),
        })
    },
    table("Softplus", 1, |_| unary(Unary::Softplus)),
    table("Softsign", 1, |_| {
        let size = x().then(Unary::Abs).with(Binary::Add, &constant(1.0));
        Ok(x().with(Binary::Mul, &size.then(Unary::Reciprocal)))
    }),
    table("ThresholdedRelu", 10, |node| {
        let beyond = x().with(Binary::Sub, &constant(finite(node, "alpha", 1.0)?));
        let gate = beyond.then(Unary::Sign).with(Binary::Max, &constant(0.0));
        Ok(x().with(Binary::Mul, &gate))
    }),
    table("Abs", 6, |_| unary(Unary::Abs)),
    table("Sign", 9, |_| unary(Unary::Sign)),
    table("Erf", 9, |_| unary(Unary::Erf)),
    table("Exp", 1, |_| unary(Unary::Exp)),
    table("Log", 1, |_| unary(Unary::Log)),
    Operator { on_constants: Some(constants::unary), ..table("Sqrt", 1, |_| unary(Unary::Sqrt)) },
    Operator {
        on_constants: Some(constants::unary),
        ..table("Reciprocal", 1, |_| unary(Unary::Reciprocal))
    },
    Operator {
        asks: "a constant exponent, or one for each channel",
        advice: "give it a constant exponent",
        spelling: Some(|s, node| s.binary(node)),
        ..Operator::new("Pow", 1, LOOKUP, Translate(|i, n| i.power(n)))
    },
];

/// A function without inputs but its variable.
const fn table(
    name: &'static str,
    since: i64,
    function: fn(&OnnxNode<'_>) -> NodeResult<Function>,
) -> Operator {
    Operator::new(name, since, LOOKUP, Of(function))
}

fn unary(function: Unary) -> NodeResult<Function> {
    Ok(x().then(function))
}

/// An attribute that is a finite number.
fn finite(node: &OnnxNode<'_>, name: &'static str, default: f32) -> NodeResult<f32> {
    match node.float(name, default) {
        value if value.is_finite() => Ok(value),
        value => Err(NodeProblem::Attribute { name, reason: format!("is {value}") }),
    }
}

/// The variable.
pub(in crate::import) fn x() -> Function {
    Function::identity()
}

fn constant(value: f32) -> Function {
    Function::constant(value)
}

/// The part of `x` above 0, and that below.
pub(in crate::import) fn parts() -> (Function, Function) {
    let zero = constant(0.0);
    (x().with(Binary::Max, &zero), x().with(Binary::Min, &zero))
}

/// `max(0, x)` and, below 0, `alpha * (exp(x) - 1)`.
fn exponential(alpha: f32) -> Function {
    let (above, below) = parts();
    let decay = below
        .then(Unary::Exp)
        .with(Binary::Sub, &constant(1.0))
        .with(Binary::Mul, &constant(alpha));
    above.with(Binary::Add, &decay)
}

/// `max(0, min(1, alpha * x + beta))`.
fn hard_sigmoid(alpha: f32, beta: f32) -> Function {
    x().with(Binary::Mul, &constant(alpha))
        .with(Binary::Add, &constant(beta))
        .with(Binary::Min, &constant(1.0))
        .with(Binary::Max, &constant(0.0))
}

/// `0.5 * x * (1 + erf(x / sqrt(2)))`, or with `tanh` in place of the error function.
fn gelu(with_tanh: bool) -> Function {
    let gate = if with_tanh {
        let cube = x().with(Binary::Mul, &x()).with(Binary::Mul, &x());
        let inner = cube.with(Binary::Mul, &constant(0.044_715)).with(Binary::Add, &x());
        let root = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
        inner.with(Binary::Mul, &constant(root)).then(Unary::Tanh)
    } else {
        x().with(Binary::Mul, &constant(std::f32::consts::FRAC_1_SQRT_2)).then(Unary::Erf)
    };
    let gate = gate.with(Binary::Add, &constant(1.0)).with(Binary::Mul, &constant(0.5));
    x().with(Binary::Mul, &gate)
}
