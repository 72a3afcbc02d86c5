//! Activation functions other than bounds, and what they are multiplied or joined with.
//!
//! Formulas are those of the ONNX operator specification.

use super::{Activation, Held, Importer, NodeResult, Outcome};
use crate::graph::{Binary, Function, Op, Unary};
use crate::import::error::NodeProblem;
use crate::import::node::{OnnxNode, resolve_axis};
use crate::import::operators::{parts, x};
use crate::import::view::{Axis, View, in_graph_order};

impl<'a> Importer<'a> {
    /// An activation function.
    pub(super) fn pointwise(
        &mut self,
        node: &OnnxNode<'a>,
        function: Function,
    ) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        self.emit_elementwise(node, Op::Pointwise(function), &[&activation])
    }

    /// `x` above 0, and `slope[c] * x` below.
    pub(in crate::import) fn prelu(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let slopes = self.constant_by_channel(node, 1, &activation)?;
        let (above, below) = parts();
        let below = below.with(Binary::Mul, &Function::per_channel(&slopes));
        let function = above.with(Binary::Add, &below);
        self.emit_elementwise(node, Op::Pointwise(function), &[&activation])
    }

    /// A power with a constant exponent.
    pub(in crate::import) fn power(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
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
