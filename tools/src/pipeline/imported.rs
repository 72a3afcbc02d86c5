//! A network as a float graph, as the file has it and folded.

use std::sync::Arc;

use super::{Lowered, LoweredOutput, Original, PipelineError};
use crate::fold;
use crate::graph::{Graph, InputLayout};
use crate::lower;

/// A float graph that computes, node by node, what its file computes.
#[derive(Debug)]
pub struct Imported {
    pub original: Original,
    pub graph: Graph,
}

/// A float graph with everything merged that float arithmetic allows to merge.
#[derive(Debug)]
pub struct Folded {
    pub original: Original,
    /// In NCHW terms, whatever the file's layout is.
    pub graph: Graph,
}

impl Imported {
    /// Merges batch norms, padding and what does nothing.
    ///
    /// # Errors
    /// [`PipelineError`] naming a node whose statistics are degenerate.
    pub fn fold(self) -> Result<Folded, PipelineError> {
        let Self { original, graph } = self;
        let folded = fold::fold(&graph);
        let mut graph = folded.map_err(|error| PipelineError::network(&original.path, error))?;
        graph.input_layout = InputLayout::Nchw;
        Ok(Folded { original, graph })
    }
}

impl Folded {
    /// Makes layers of the nodes, and verifies that they compute what the file computes.
    ///
    /// # Errors
    /// [`PipelineError`] naming the node that has no int8 form, or that gives no numbers.
    pub fn lower(self) -> Result<Arc<Lowered>, PipelineError> {
        let Self { original, graph } = self;
        let lowered = lower::lower(&graph);
        let network = lowered.map_err(|error| PipelineError::network(&original.path, error))?;
        let outputs = LoweredOutput::of(&original, &graph.outputs);
        Lowered::new(original, outputs, graph, network, (None, None), None)
    }
}
