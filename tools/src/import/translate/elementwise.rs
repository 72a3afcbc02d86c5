//! Operators that treat each element, or each channel, by itself.

use super::{Activation, Held, Importer, NodeResult, Outcome, finite};
use crate::graph::{BatchNorm, Op};
use crate::import::error::NodeProblem;
use crate::import::node::OnnxNode;
use crate::import::tensor::Tensor;
use crate::import::view::{Axis, View, in_graph_order};

impl<'a> Importer<'a> {
    /// Input `index` for an elementwise operator; what the file holds as `[1, N]` becomes a vector.
    pub(super) fn operand(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Activation> {
        let mut activation = self.activation(node, index)?;
        let flat = activation.view.flat_order().is_some_and(in_graph_order);
        if flat && activation.view.rank() == 2 {
            let tensor = node.input(index)?;
            activation.value = self.as_vector(&activation, tensor)?;
        }
        Ok(activation)
    }

    pub(super) fn emit_elementwise(
        &mut self,
        node: &OnnxNode<'a>,
        op: Op,
        operands: &[&Activation],
    ) -> NodeResult<Outcome> {
        let first = operands[0];
        let shape = self.graph.shape(first.value).to_vec();
        let inputs = operands.iter().map(|a| a.value).collect();
        self.emit(node, op, inputs, first.view.clone(), shape)
    }

    /// Number of values that a per-channel parameter has: those of a vector, or the channels.
    fn channels(&self, activation: &Activation) -> usize {
        self.graph.shape(activation.value)[0]
    }

    pub(in crate::import) fn batch_norm(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let image = activation.view.is_nchw();
        let vector = self.graph.shape(activation.value).len() == 1 && activation.view.rank() == 2;
        if !image && !vector {
            return Err(NodeProblem::Layout { shape: activation.view.shape() });
        }
        let channels = self.channels(&activation);
        let norm = BatchNorm {
            gamma: self.channel_weights(node, 1, channels, "length of the scale")?,
            beta: self.channel_weights(node, 2, channels, "length of the bias")?,
            mean: self.channel_weights(node, 3, channels, "length of the mean")?,
            variance: self.channel_weights(node, 4, channels, "length of the variance")?,
            epsilon: node.float("epsilon", 1e-5),
        };
        let spread = |variance: f32| f64::from(variance) + f64::from(norm.epsilon);
        let bad = norm.variance.iter().position(|&v| !(spread(v) > 0.0 && spread(v).is_finite()));
        if let Some(index) = bad {
            let value = spread(norm.variance[index]) as f32;
            let tensor = node.input(4)?.to_string();
            return Err(NodeProblem::Variance { tensor, index, value });
        }
        self.emit_elementwise(node, Op::BatchNorm(norm), &[&activation])
    }

    pub(in crate::import) fn clip(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let (min, max) = if node.op() == "Relu" {
            (0.0, f32::INFINITY)
        } else if node.opset < 11 {
            (node.float("min", f32::NEG_INFINITY), node.float("max", f32::INFINITY))
        } else {
            (
                self.scalar(node, 1)?.unwrap_or(f32::NEG_INFINITY),
                self.scalar(node, 2)?.unwrap_or(f32::INFINITY),
            )
        };
        self.emit_clip(node, &activation, min, max)
    }

    /// `Min` or `Max` of the input and a constant scalar.
    pub(in crate::import) fn min_max(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (data, bound) = self.data_and_constant(node)?;
        let activation = self.operand(node, data)?;
        let bound = self.scalar(node, bound)?.unwrap_or(f32::NAN);
        match node.op() {
            "Min" => self.emit_clip(node, &activation, f32::NEG_INFINITY, bound),
            _ => self.emit_clip(node, &activation, bound, f32::INFINITY),
        }
    }

    fn emit_clip(
        &mut self,
        node: &OnnxNode<'a>,
        activation: &Activation,
        min: f32,
        max: f32,
    ) -> NodeResult<Outcome> {
        if !(min <= max && min < f32::INFINITY && max > f32::NEG_INFINITY) {
            let reason = format!("is {min}, the upper bound {max}");
            return Err(NodeProblem::Attribute { name: "min", reason });
        }
        self.emit_elementwise(node, Op::Clip { min, max }, &[activation])
    }

    /// A constant input of one element; `None` if it is left out.
    fn scalar(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Option<f32>> {
        let Some(tensor) = self.optional_constant(node, index)? else {
            return Ok(None);
        };
        match tensor.to_floats().as_slice() {
            [value] => Ok(Some(*value)),
            _ => Err(NodeProblem::Rank {
                what: "a bound",
                expected: "0",
                found: tensor.shape.clone(),
            }),
        }
    }

    /// Which of two inputs is the network's data, and which the constant.
    fn data_and_constant(&mut self, node: &OnnxNode<'a>) -> NodeResult<(usize, usize)> {
        if node.proto.input.len() != 2 {
            return Err(NodeProblem::unsupported("a number of inputs other than two"));
        }
        let unknown = |index: usize| NodeProblem::UnknownTensor {
            tensor: node.input(index).unwrap_or_default().to_string(),
        };
        match (self.held(node, 0)?, self.held(node, 1)?) {
            (Held::Constant(_), _) => Ok((1, 0)),
            (_, Held::Constant(_)) => Ok((0, 1)),
            (Held::Unknown, _) => Err(unknown(0)),
            (_, Held::Unknown) => Err(unknown(1)),
            _ => Err(NodeProblem::unsupported(format!("{} of two feature maps", node.op()))),
        }
    }

    pub(in crate::import) fn arithmetic(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        // What is subtracted was negated in the canonical form.
        let takes_two = node.op() != "Sub" && node.proto.input.len() == 2;
        let both_data = takes_two
            && matches!(self.held(node, 0)?, Held::Activation(_))
            && matches!(self.held(node, 1)?, Held::Activation(_));
        if both_data { self.two_values(node) } else { self.channel_arithmetic(node) }
    }

    /// A constant input, one value for each channel of `activation`.
    pub(super) fn constant_by_channel(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
        activation: &Activation,
    ) -> NodeResult<Vec<f32>> {
        let tensor = self.constant(node, index)?;
        let is_vector = self.graph.shape(activation.value).len() == 1;
        finite(node.input(index)?, &tensor)?;
        per_channel(&activation.view, &tensor, is_vector)
    }

    /// The four operations between the input and a constant: `scale * x + shift` for each channel.
    fn channel_arithmetic(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (data, constant) = self.data_and_constant(node)?;
        if (node.op(), data) == ("Div", 1) {
            return self.divide_constant(node);
        }
        let activation = self.operand(node, data)?;
        let values = self.constant_by_channel(node, constant, &activation)?;
        let (ones, zeros) = (vec![1.0; values.len()], vec![0.0; values.len()]);
        let negated = || values.iter().map(|v| -v).collect();
        let (scale, shift) = match (node.op(), data) {
            ("Add" | "Sum", _) => (ones, values),
            ("Sub", 0) => (ones, negated()),
            ("Sub", _) => (vec![-1.0; values.len()], values),
            ("Mul", _) => (values, zeros),
            ("Div", 0) => (reciprocals(&values, node.input(constant)?)?, zeros),
            _ => return Err(NodeProblem::unsupported(node.op())),
        };
        self.emit_affine(node, data, &activation, scale, shift)
    }

    pub(in crate::import) fn negate(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.operand(node, 0)?;
        let channels = match self.graph.shape(activation.value) {
            [elements] => *elements,
            _ => activation.view.size(Axis::C),
        };
        self.emit_affine(node, 0, &activation, vec![-1.0; channels], vec![0.0; channels])
    }

    /// Adds an affine step, or joins it to one of which this node is the only reader.
    fn emit_affine(
        &mut self,
        node: &OnnxNode<'a>,
        data: usize,
        activation: &Activation,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> NodeResult<Outcome> {
        if let Some(joined) = self.joinable(node, data, activation)
            && let Op::Affine { scale: before, shift: offset } = &self.graph.nodes[joined].op
        {
            let shift = shift.iter().zip(&scale).zip(offset).map(|((t, s), o)| s * o + t).collect();
            let scale = scale.iter().zip(before).map(|(s, b)| s * b).collect();
            let shape = self.graph.shape(activation.value).to_vec();
            let op = Op::Affine { scale, shift };
            return self.join(node, joined, op, activation.view.clone(), shape);
        }
        self.emit_elementwise(node, Op::Affine { scale, shift }, &[activation])
    }
}

fn reciprocals(values: &[f32], tensor: &str) -> NodeResult<Vec<f32>> {
    let inverse: Vec<f32> = values.iter().map(|v| v.recip()).collect();
    match inverse.iter().position(|v| !v.is_finite()) {
        None => Ok(inverse),
        Some(index) => Err(NodeProblem::NonFinite {
            tensor: format!("1 / {tensor}"),
            index,
            value: inverse[index],
        }),
    }
}

/// The values of a constant that is broadcast to a tensor of `view`, one for each channel (for each
/// element of a vector) in the graph's order.
fn per_channel(view: &View, tensor: &Tensor, is_vector: bool) -> NodeResult<Vec<f32>> {
    let channels = if is_vector { view.elements() } else { view.size(Axis::C) };
    let values = tensor.to_floats();
    let shape = view.shape();
    let mismatch = || NodeProblem::Shapes { left: shape.clone(), right: tensor.shape.clone() };
    let lead = shape.len().checked_sub(tensor.shape.len()).ok_or_else(mismatch)?;
    let wide: Vec<usize> = (0..tensor.shape.len()).filter(|&i| tensor.shape[i] != 1).collect();
    let dim = match wide.as_slice() {
        [] => return Ok(vec![values[0]; channels]),
        [i] if shape[lead + i] == tensor.shape[*i] => lead + i,
        [_] => return Err(mismatch()),
        _ => return Err(varies()),
    };
    let axes = view.axes(dim);
    if axes == [Axis::C] && channels == values.len() {
        return Ok(values);
    }
    if !is_vector || values.len() != channels {
        return Err(varies());
    }
    let mut ordered = vec![0.0; channels];
    for (value, position) in values.into_iter().zip(view.chw_positions(axes)) {
        ordered[position] = value;
    }
    Ok(ordered)
}

fn varies() -> NodeProblem {
    NodeProblem::unsupported("a constant that varies over rows or columns")
}
