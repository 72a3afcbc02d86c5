//! Fully connected layers.

use super::{Activation, Importer, NodeResult, Outcome};
use crate::graph::Op;
use crate::import::error::NodeProblem;
use crate::import::node::OnnxNode;
use crate::import::view::{View, in_graph_order};

/// A matrix as the file holds it.
struct Matrix {
    values: Vec<f32>,
    /// Outputs and inputs of the layer.
    outputs: usize,
    inputs: usize,
    /// Rows are outputs; otherwise rows are inputs.
    outputs_first: bool,
}

impl Matrix {
    /// Rows of one weight for each input, in the order that `positions` gives to the inputs.
    fn into_rows(self, positions: Option<&[usize]>, factor: f32) -> Vec<f32> {
        if self.outputs_first && positions.is_none() && factor == 1.0 {
            return self.values;
        }
        let mut rows = vec![0.0; self.values.len()];
        for input in 0..self.inputs {
            let column = positions.map_or(input, |positions| positions[input]);
            for output in 0..self.outputs {
                let source = if self.outputs_first {
                    output * self.inputs + input
                } else {
                    input * self.outputs + output
                };
                rows[output * self.inputs + column] = factor * self.values[source];
            }
        }
        rows
    }
}

impl<'a> Importer<'a> {
    pub(in crate::import) fn gemm(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.activation(node, 0)?;
        if node.int("transA", 0) != 0 {
            return Err(NodeProblem::unsupported("Gemm with a transposed input"));
        }
        let matrix = self.matrix(node, node.int("transB", 0) != 0)?;
        let outputs = matrix.outputs;
        let bias = match node.optional_input(2) {
            None => None,
            Some(_) => Some(self.gemm_bias(node, outputs)?),
        };
        self.emit_gemm(node, &activation, matrix, bias)
    }

    pub(in crate::import) fn matmul(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.activation(node, 0)?;
        let matrix = self.matrix(node, false)?;
        self.emit_gemm(node, &activation, matrix, None)
    }

    fn matrix(&mut self, node: &OnnxNode<'a>, outputs_first: bool) -> NodeResult<Matrix> {
        let shape = self.constant(node, 1)?.shape.clone();
        let [rows, columns] = *shape else {
            let what = "the weights";
            return Err(NodeProblem::Rank { what, expected: "2", found: shape });
        };
        if rows == 0 || columns == 0 {
            return Err(NodeProblem::Constant("empty weights"));
        }
        let (outputs, inputs) = if outputs_first { (rows, columns) } else { (columns, rows) };
        let values = self.weights(node, 1)?;
        Ok(Matrix { values, outputs, inputs, outputs_first })
    }

    fn gemm_bias(&mut self, node: &OnnxNode<'a>, outputs: usize) -> NodeResult<Vec<f32>> {
        let beta = node.float("beta", 1.0);
        let mut bias = self.weights(node, 2)?;
        if let [value] = *bias.as_slice() {
            bias = vec![value; outputs];
        }
        if bias.len() != outputs {
            let what = "length of the bias";
            return Err(NodeProblem::Mismatch { what, expected: outputs, found: bias.len() });
        }
        Ok(bias.into_iter().map(|v| v * beta).collect())
    }

    fn emit_gemm(
        &mut self,
        node: &OnnxNode<'a>,
        activation: &Activation,
        matrix: Matrix,
        bias: Option<Vec<f32>>,
    ) -> NodeResult<Outcome> {
        let view = &activation.view;
        let order = view.flat_order().filter(|_| view.rank() >= 2);
        let order = order.ok_or_else(|| NodeProblem::Rank {
            what: "the input",
            expected: "2 ([1, N])",
            found: view.shape(),
        })?;
        let (inputs, outputs) = (matrix.inputs, matrix.outputs);
        if inputs != view.elements() {
            let (what, expected) = ("inputs of the layer", view.elements());
            return Err(NodeProblem::Mismatch { what, expected, found: inputs });
        }
        let positions = (!in_graph_order(order)).then(|| view.chw_positions(order));
        let factor = if node.op() == "Gemm" { node.float("alpha", 1.0) } else { 1.0 };
        let weight = matrix.into_rows(positions.as_deref(), factor);
        let vector = self.as_vector(activation, node.input(0)?)?;
        let op = Op::Gemm { weight, bias, outputs, inputs };
        self.emit(node, op, vec![vector], View::vector(outputs, view.rank()), vec![outputs])
    }
}
