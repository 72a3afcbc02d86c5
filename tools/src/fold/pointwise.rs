//! Elementwise operators of one value become one function of it: one table of the int8 network.
//!
//! What may not be broken: the bounds that an activation function has by itself ([`Op::Clip`]) stay where a
//! layer can apply them for nothing, which is in whatever comes before.

use super::Folder;
use crate::graph::{Binary, Function, Op, Term, ValueId};

impl Folder {
    /// Makes the node at `index` part of the one before it, if both are functions; true if it is gone.
    pub(super) fn compose(&mut self, index: usize) -> bool {
        let Some(producer) = self.sole_producer(index) else { return false };
        if self.graph.nodes[index].inputs.len() != 1 {
            return false;
        }
        let (before, after) = (&self.graph.nodes[producer].op, &self.graph.nodes[index].op);
        let (Some(inner), Some(outer)) = (function(before), function(after)) else { return false };
        let joins = match (before, after) {
            (Op::Pointwise(_), Op::Pointwise(_)) => true,
            // A table for each channel only where there is one already.
            (Op::Pointwise(_), _) => inner.is_per_channel() || !outer.is_per_channel(),
            // Bounds are free in what comes before them.
            (Op::Affine { .. }, Op::Pointwise(_)) => {
                outer.is_per_channel() || !inner.is_per_channel()
            }
            _ => false,
        };
        if !joins {
            return false;
        }
        let Some(both) = outer.of(&inner) else { return false };
        self.graph.nodes[producer].op = Op::Pointwise(both);
        self.absorb(index, producer);
        true
    }

    /// Makes the node at `index`, a sum or product of two functions of one value, a function of that value;
    /// true if it became one.
    pub(super) fn meet(&mut self, index: usize) -> bool {
        let node = &self.graph.nodes[index];
        let operation = match node.op {
            Op::Add => Binary::Add,
            Op::Multiply => Binary::Mul,
            _ => return false,
        };
        let [left, right] = *node.inputs.as_slice() else { return false };
        let shape = self.graph.shape(node.output).to_vec();
        let same_shape = |value: ValueId| *self.graph.shape(value) == shape;
        if !same_shape(left) || !same_shape(right) {
            return false;
        }
        let (lefts, rights) = (self.functions_behind(left), self.functions_behind(right));
        let meeting = lefts.iter().find_map(|(root, left)| {
            let (_, right) = rights.iter().find(|(other, _)| other == root)?;
            Some((*root, left.clone().with(operation, right)))
        });
        let Some((root, both)) = meeting.filter(|(_, both)| both.is_short()) else { return false };
        // The sum of a value and itself, or its bounds, is one of convolutions as well.
        let is_curved = operation == Binary::Mul
            || both.terms().iter().any(|term| matches!(term, Term::Unary(_)));
        if !is_curved {
            return false;
        }
        let name = self.graph.nodes[index].name.clone();
        self.graph.nodes[index].op = Op::Pointwise(both);
        self.graph.nodes[index].inputs = vec![root];
        self.remove_unread(&[left, right], &name);
        true
    }

    /// The values that `value` is a function of, from itself back, with the functions.
    fn functions_behind(&self, mut value: ValueId) -> Vec<(ValueId, Function)> {
        let mut found = vec![(value, Function::identity())];
        while let Some(producer) = self.graph.producer(value) {
            let node = &self.graph.nodes[producer];
            let (Some(inner), &[input]) = (function(&node.op), node.inputs.as_slice()) else {
                break;
            };
            let outer = &found[found.len() - 1].1;
            let Some(both) = outer.of(&inner) else { break };
            found.push((input, both));
            value = input;
        }
        found
    }

    /// Removes the nodes that write `values`, and those before them, as far as nobody reads them any more.
    fn remove_unread(&mut self, values: &[ValueId], into: &str) {
        let mut values = values.to_vec();
        while let Some(value) = values.pop() {
            if self.readers(value) != 0 || value == self.graph.input {
                continue;
            }
            let Some(producer) = self.graph.producer(value) else { continue };
            let gone = self.graph.nodes.remove(producer);
            self.absorbed.push((gone.name, into.to_string()));
            values.extend(gone.inputs);
        }
    }
}

/// What an operator of one value computes for each element.
fn function(op: &Op) -> Option<Function> {
    let x = Function::identity();
    match op {
        Op::Pointwise(function) => Some(function.clone()),
        Op::Affine { scale, shift } => Some(
            x.with(Binary::Mul, &Function::per_channel(scale))
                .with(Binary::Add, &Function::per_channel(shift)),
        ),
        Op::Clip { min, max } => {
            let mut bounded = x;
            if *min != f32::NEG_INFINITY {
                bounded = bounded.with(Binary::Max, &Function::constant(*min));
            }
            if *max != f32::INFINITY {
                bounded = bounded.with(Binary::Min, &Function::constant(*max));
            }
            Some(bounded)
        }
        _ => None,
    }
}
