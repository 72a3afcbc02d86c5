//! Concatenations of concatenations.

use super::Folder;
use crate::graph::Op;

impl Folder {
    /// Gives each concatenation the inputs of those that it reads, so that none is computed only to be
    /// copied again.
    pub(super) fn flatten_concatenations(&mut self) {
        for index in 0..self.graph.nodes.len() {
            if !matches!(self.graph.nodes[index].op, Op::Concat { .. }) {
                continue;
            }
            let mut inputs = Vec::new();
            for &input in &self.graph.nodes[index].inputs {
                let before = self.graph.producer(input).map(|producer| &self.graph.nodes[producer]);
                match before {
                    Some(before) if is_plain(&before.op) => {
                        inputs.extend_from_slice(&before.inputs)
                    }
                    _ => inputs.push(input),
                }
            }
            self.graph.nodes[index].inputs = inputs;
        }
        self.graph.remove_dead_nodes();
    }
}

/// Whether a concatenation leaves values as they are.
fn is_plain(op: &Op) -> bool {
    match op {
        Op::Concat { scale, shift } => {
            scale.iter().all(|&s| s == 1.0) && shift.iter().all(|&s| s == 0.0)
        }
        _ => false,
    }
}
