//! Activation functions other than bounds, and what they are multiplied or joined with.
//!
//! Formulas are those of the ONNX operator specification.

use super::{Activation, Held, Importer, NodeResult, Outcome};
use crate::graph::{Binary, Function, Op, Unary};
use crate::import::error::NodeProblem;
use crate::import::node::{OnnxNode, resolve_axis};
use crate::import::view::{Axis, View, in_graph_order};

/// The variable.
fn x() -> Function {
    Function::identity()
}

fn constant(value: f32) -> Function {
    Function::constant(value)
}

/// The part of `x` above 0, and that below.
fn parts() -> (Function, Function) {
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

/// The function of an operator that has no input but its variable; none if it is another operator.
fn function(node: &OnnxNode<'_>) -> NodeResult<Option<Function>> {
    let unary = [
        Unary::Abs,
        Unary::Erf,
        Unary::Exp,
        Unary::Log,
        Unary::Reciprocal,
        Unary::Sigmoid,
        Unary::Sign,
        Unary::Softplus,
        Unary::Sqrt,
        Unary::Tanh,
    ];
    if let Some(&function) = unary.iter().find(|function| function.name() == node.op()) {
        return Ok(Some(x().then(function)));
    }
    let attribute = |name: &'static str, default: f32| match node.float(name, default) {
        value if value.is_finite() => Ok(value),
        value => Err(NodeProblem::Attribute { name, reason: format!("is {value}") }),
    };
    Ok(Some(match node.op() {
        "LeakyRelu" => {
            let (above, below) = parts();
            above.with(Binary::Add, &below.with(Binary::Mul, &constant(attribute("alpha", 0.01)?)))
        }
        "Elu" => exponential(attribute("alpha", 1.0)?),
        "Selu" => {
            let alpha = attribute("alpha", 1.673_263_2)?;
            exponential(alpha).with(Binary::Mul, &constant(attribute("gamma", 1.050_701)?))
        }
        "HardSigmoid" => hard_sigmoid(attribute("alpha", 0.2)?, attribute("beta", 0.5)?),
        "HardSwish" => x().with(Binary::Mul, &hard_sigmoid(1.0 / 6.0, 0.5)),
        "Gelu" => gelu(match node.string("approximate", "none") {
            "none" => false,
            "tanh" => true,
            other => {
                let reason = format!("{other:?} is neither none nor tanh");
                return Err(NodeProblem::Attribute { name: "approximate", reason });
            }
        }),
        "Mish" => x().with(Binary::Mul, &x().then(Unary::Softplus).then(Unary::Tanh)),
        "Softsign" => {
            let size = x().then(Unary::Abs).with(Binary::Add, &constant(1.0));
            x().with(Binary::Mul, &size.then(Unary::Reciprocal))
        }
        "Swish" => {
            if node.float("alpha", 1.0) != 1.0 {
                return Err(NodeProblem::unsupported("Swish with an alpha other than 1"));
            }
            x().with(Binary::Mul, &x().then(Unary::Sigmoid))
        }
        "ThresholdedRelu" => {
            let beyond = x().with(Binary::Sub, &constant(attribute("alpha", 1.0)?));
            let gate = beyond.then(Unary::Sign).with(Binary::Max, &constant(0.0));
            x().with(Binary::Mul, &gate)
        }
        _ => return Ok(None),
    }))
}

impl<'a> Importer<'a> {
    /// An activation function; none if the node is none.
    pub(super) fn pointwise(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Outcome>> {
        match function(node)? {
            Some(function) => {
                let activation = self.operand(node, 0)?;
                self.emit_elementwise(node, Op::Pointwise(function), &[&activation]).map(Some)
            }
            None => Ok(None),
        }
    }

    /// `x` above 0, and `slope[c] * x` below.
    pub(super) fn prelu(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let slopes = self.constant_by_channel(node, 1, &activation)?;
        let (above, below) = parts();
        let below = below.with(Binary::Mul, &Function::per_channel(&slopes));
        let function = above.with(Binary::Add, &below);
        self.emit_elementwise(node, Op::Pointwise(function), &[&activation])
    }

    /// A power with a constant exponent.
    pub(super) fn power(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let exponents = self.constant_by_channel(node, 1, &activation)?;
        let function = x().with(Binary::Pow, &Function::per_channel(&exponents));
        self.emit_elementwise(node, Op::Pointwise(function), &[&activation])
    }

    /// A constant, or one for each channel, divided by the network's data.
    pub(super) fn divide_constant(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 1)?;
        let values = self.constant_by_channel(node, 0, &activation)?;
        let inverse = x().then(Unary::Reciprocal);
        let function = inverse.with(Binary::Mul, &Function::per_channel(&values));
        self.emit_elementwise(node, Op::Pointwise(function), &[&activation])
    }

    /// Sum or product of two of the network's values, of which one may have one value for each channel of the
    /// other; a division multiplies by the reciprocal.
    pub(super) fn two_values(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (left, mut right) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let op = match node.op() {
            "Add" | "Sum" => Op::Add,
            _ => Op::Multiply,
        };
        if node.op() == "Div" {
            right.value = self.reciprocal(node, &right)?;
        }
        let (left_shape, right_shape) = (left.view.shape(), right.view.shape());
        if left_shape == right_shape {
            if left.view != right.view {
                return Err(NodeProblem::Layout { shape: right_shape });
            }
            return self.emit_elementwise(node, op, &[&left, &right]);
        }
        if is_by_channel(&right.view, &left.view) {
            return self.emit_elementwise(node, op, &[&left, &right]);
        }
        if is_by_channel(&left.view, &right.view) {
            return self.emit_elementwise(node, op, &[&right, &left]);
        }
        Err(NodeProblem::Shapes { left: left_shape, right: right_shape })
    }

    fn reciprocal(&mut self, node: &OnnxNode<'a>, of: &Activation) -> NodeResult<usize> {
        let op = Op::Pointwise(x().then(Unary::Reciprocal));
        let (name, shape) = (node.name(), self.graph.shape(of.value).to_vec());
        let tensor = format!("{}.reciprocal", node.output()?);
        self.add_node(&format!("{name}.reciprocal"), &tensor, op, vec![of.value], shape)
    }

    /// Channels of several of the network's values, one behind the other.
    pub(super) fn join_channels(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let mut parts = Vec::with_capacity(node.proto.input.len());
        for index in 0..node.proto.input.len() {
            parts.push(self.operand(node, index)?);
        }
        let first = parts.first().ok_or(NodeProblem::MissingInput { index: 0 })?.clone();
        let axis = resolve_axis(node.int("axis", 1), first.view.rank())?;
        let shape = first.view.shape();
        let vectors = self.graph.shape(first.value).len() == 1;
        let order = first.view.image_order().filter(|_| !vectors);
        let by_channel = match order {
            Some(order) => axis.checked_sub(1).map(|i| order[i]) == Some(Axis::C),
            None => axis + 1 == shape.len(),
        };
        if !by_channel {
            let what = format!(
                "Concat along axis {axis} of {shape:?}, which is not that of the channels,"
            );
            return Err(NodeProblem::unsupported(what));
        }
        let mut sizes = [0, first.view.sizes[1], first.view.sizes[2]];
        for part in &parts {
            let view = &part.view;
            let alike = match order {
                Some(order) => {
                    view.image_order() == Some(order) || view.elements() == view.size(Axis::C)
                }
                None => {
                    self.graph.shape(part.value).len() == 1
                        && view.rank() == shape.len()
                        && view.flat_order().is_some_and(in_graph_order)
                }
            };
            if !alike || view.sizes[1..] != sizes[1..] {
                return Err(NodeProblem::Shapes { left: shape, right: view.shape() });
            }
            sizes[0] += self.graph.shape(part.value)[0];
        }
        let channels = sizes[0];
        let op = Op::Concat { scale: vec![1.0; channels], shift: vec![0.0; channels] };
        let values = parts.iter().map(|part| part.value).collect();
        match order {
            Some(order) => self.emit(node, op, values, View::image(sizes, order), sizes.to_vec()),
            None => {
                self.emit(node, op, values, View::vector(channels, shape.len()), vec![channels])
            }
        }
    }

    /// Whether the node joins several values of the network.
    pub(super) fn joins_values(&mut self, node: &OnnxNode<'a>) -> NodeResult<bool> {
        let mut values = 0;
        for index in 0..node.proto.input.len() {
            let moves = matches!(self.held(node, index)?, Held::Activation(_));
            values += usize::from(moves && self.zero_channels(node, index)?.is_none());
        }
        Ok(values > 1)
    }
}

/// Whether a tensor seen as `small` has one value for each channel of one seen as `map`, and where it is
/// broadcast, no other axis.
fn is_by_channel(small: &View, map: &View) -> bool {
    let Some(lead) = map.rank().checked_sub(small.rank()) else { return false };
    let channels = map.size(Axis::C);
    small.elements() == channels
        && (0..small.rank()).all(|dim| match small.axes(dim) {
            [] => true,
            [Axis::C] => map.axes(lead + dim) == [Axis::C],
            _ => false,
        })
}
