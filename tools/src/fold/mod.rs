//! Folding: the float graph with everything merged that float arithmetic allows to merge.
//!
//! What may not be broken: the folded graph computes the same function, up to float rounding, for
//! every input. A batch norm goes into a layer only if that layer's output has no other reader;
//! otherwise it becomes a per-channel affine step. One *before* a convolution goes into it only where
//! zero padding stays zero (`ahead.rs`).
//!
//! Names: the value that a merged group writes keeps the name of the group's last tensor, the node
//! keeps the name of the layer that absorbed the others.

mod ahead;
mod concat;
mod merge;
mod padding;
mod pointwise;
mod redundant;

use thiserror::Error;

use crate::graph::{Graph, Node, Op, ValueId};

/// A network that cannot be folded.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FoldError {
    #[error(
        "node {node:?}: folding gives {value} in channel {channel}; its batch-norm statistics are \
         degenerate, train or export the model again"
    )]
    NonFinite { node: String, channel: usize, value: f32 },
}

/// Names of a node that was absorbed and of the node that absorbed it.
pub type Absorbed = (String, String);

/// Folds `graph`; running it twice changes nothing more.
pub fn fold(graph: &Graph) -> Result<Graph, FoldError> {
    fold_with_report(graph).map(|(graph, _)| graph)
}

/// Folds `graph` and tells which nodes went where.
pub fn fold_with_report(graph: &Graph) -> Result<(Graph, Vec<Absorbed>), FoldError> {
    let mut folder = Folder { graph: graph.clone(), absorbed: Vec::new() };
    folder.flatten_concatenations();
    // A node is rewritten after everything it reads, so one pass in order sees all chains.
    let mut index = 0;
    while index < folder.graph.nodes.len() {
        index = folder.visit(index)?;
    }
    folder.graph.remove_dead_nodes();
    Ok((folder.graph, folder.absorbed))
}

struct Folder {
    graph: Graph,
    absorbed: Vec<Absorbed>,
}

impl Folder {
    /// Rewrites the node at `index` and returns the index of the next one.
    fn visit(&mut self, index: usize) -> Result<usize, FoldError> {
        while self.absorb_padding(index) {}
        while self.take_affine(index) {}
        if let Some(moved) = self.pad_behind_clip(index) {
            return Ok(moved);
        }
        self.normalize(index)?;
        let before = self.graph.nodes.len();
        if self.meet(index) {
            // Nodes before this one may be gone; it is looked at again.
            return Ok(index.saturating_sub(before - self.graph.nodes.len()));
        }
        let gone =
            self.merge_into_producer(index)? || self.compose(index) || self.remove_redundant(index);
        Ok(index + usize::from(!gone))
    }

    /// A batch norm as the affine step that it is.
    fn normalize(&mut self, index: usize) -> Result<(), FoldError> {
        let node = &mut self.graph.nodes[index];
        if let Op::BatchNorm(norm) = &node.op {
            let (scale, shift) = merge::affine_of(norm);
            check_finite(&node.name, &scale)?;
            check_finite(&node.name, &shift)?;
            node.op = Op::Affine { scale, shift };
        }
        Ok(())
    }

    /// The node that writes what the node at `index` reads, if nothing else reads it.
    fn sole_producer(&self, index: usize) -> Option<usize> {
        let input = *self.graph.nodes[index].inputs.first()?;
        if self.readers(input) != 1 {
            return None;
        }
        self.graph.producer(input)
    }

    /// Nodes that read `value`; an output of the network counts as read once more.
    fn readers(&self, value: ValueId) -> usize {
        self.graph.consumers(value).count() + usize::from(self.graph.is_output(value))
    }

    /// Removes the node at `index`, whose work its producer now does, and gives the producer its
    /// output.
    fn absorb(&mut self, index: usize, producer: usize) {
        let Node { name, output, .. } = self.graph.nodes.remove(index);
        let into = &mut self.graph.nodes[producer];
        into.output = output;
        self.absorbed.push((name, into.name.clone()));
    }
}

fn check_finite(node: &str, values: &[f32]) -> Result<(), FoldError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(channel) => {
            Err(FoldError::NonFinite { node: node.to_string(), channel, value: values[channel] })
        }
    }
}
