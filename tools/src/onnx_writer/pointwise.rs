//! Functions of one variable, sums and products, and concatenations, as nodes of their elementary operators.

use super::{Writer, int, node_proto};
use crate::graph::{Node, Term};

impl Writer<'_> {
    /// A node for each term; the last one has the name and the output of `node`.
    pub(super) fn pointwise(&mut self, node: &Node, terms: &[Term]) {
        let x = self.tensor(node.inputs[0]);
        let rank = self.graph.shape(node.output).len();
        let mut stack: Vec<String> = Vec::new();
        for (index, term) in terms.iter().enumerate() {
            let part = format!("{}.{index}", node.name);
            let (op, inputs) = match term {
                Term::X => {
                    stack.push(x.clone());
                    continue;
                }
                Term::Constant(value) => {
                    stack.push(self.floats(part, &vec![1; rank], &[*value]));
                    continue;
                }
                Term::PerChannel(values) => {
                    let mut dims = vec![1; rank];
                    dims[0] = values.len();
                    stack.push(self.floats(part, &dims, values));
                    continue;
                }
                Term::Unary(function) => (function.name(), 1),
                Term::Binary(operation) => (operation.name(), 2),
            };
            let inputs = stack.split_off(stack.len().saturating_sub(inputs));
            let (name, output) = if index + 1 == terms.len() {
                (node.name.clone(), self.graph.values[node.output].name.clone())
            } else {
                (part.clone(), self.fresh(format!("{part}.value")))
            };
            self.push(node_proto(op, &name, inputs, &output), Vec::new());
            stack.push(output);
        }
    }

    /// A sum or product; a vector beside a map is one value for each channel.
    pub(super) fn two_values(&mut self, op: &str, node: &Node) {
        let mut inputs: Vec<String> = node.inputs.iter().map(|&value| self.tensor(value)).collect();
        let ranks: Vec<usize> = node.inputs.iter().map(|&v| self.graph.shape(v).len()).collect();
        if let (&[map, vector], Some(last)) = (ranks.as_slice(), inputs.last_mut())
            && vector < map
        {
            let axes = self.integers(format!("{}.axes", node.name), &[2, 3]);
            let output = self.fresh(format!("{}.channels", node.name));
            let unsqueeze = node_proto("Unsqueeze", &output, vec![last.clone(), axes], &output);
            *last = output;
            self.push(unsqueeze, Vec::new());
        }
        let output = self.graph.values[node.output].name.clone();
        self.push(node_proto(op, &node.name, inputs, &output), Vec::new());
    }

    /// A Concat, and what its channels are multiplied and shifted by.
    pub(super) fn concat(&mut self, node: &Node, scale: &[f32], shift: &[f32]) {
        let inputs = node.inputs.iter().map(|&value| self.tensor(value)).collect();
        let output = self.graph.values[node.output].name.clone();
        let plain = scale.iter().all(|&s| s == 1.0) && shift.iter().all(|&s| s == 0.0);
        if plain {
            let concat = node_proto("Concat", &node.name, inputs, &output);
            self.push(concat, vec![int("axis", 1)]);
            return;
        }
        let joined = self.fresh(format!("{output}.joined"));
        let concat = node_proto("Concat", &format!("{}.joined", node.name), inputs, &joined);
        self.push(concat, vec![int("axis", 1)]);
        self.affine_of(node, joined, scale, shift);
    }
}
