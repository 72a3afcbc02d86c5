//! Which layer each node of tract's plan computes, so that both backends print one table.
//!
//! A node of the ONNX file belongs to the first layer whose output tensor its own output reaches
//! without passing the output of another layer; tract names what it makes of a node `NODE.suffix`.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use crate::lower::Network;

/// Layers by the names of the ONNX nodes and of their outputs.
#[derive(Debug, Clone, Default)]
pub struct Attribution(HashMap<String, usize>);

impl Attribution {
    /// The layers of `network`, which was made from `graph`.
    #[must_use]
    pub fn new(graph: Option<&GraphProto>, network: &Network) -> Self {
        let outputs = network.layers.iter().enumerate();
        let outputs = outputs.map(|(index, l)| (network.tensors[l.output].name.as_str(), index));
        let outputs: HashMap<&str, usize> = outputs.collect();
        let start = network.tensors[network.input].name.as_str();
        // Nodes stand in an order in which they can run, so readers come later.
        let mut readers: HashMap<&str, usize> = HashMap::new();
        let mut layers = HashMap::new();
        for node in graph.into_iter().flat_map(|graph| graph.node.iter().rev()) {
            // What makes the network's input, a float head, belongs to no layer.
            if node.output.iter().any(|name| name == start) {
                continue;
            }
            let own = node.output.iter().filter_map(|name| outputs.get(name.as_str())).min();
            let reached = node.output.iter().filter_map(|name| readers.get(name.as_str())).min();
            let Some(&layer) = own.or(reached) else { continue };
            for name in [&node.name].into_iter().chain(&node.output).filter(|n| !n.is_empty()) {
                layers.insert(name.clone(), layer);
            }
            note_reads(&mut readers, node, layer);
        }
        Self(layers)
    }

    /// The layer that the node `name` of tract's plan belongs to.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<usize> {
        let ends = name.rmatch_indices('.').map(|(at, _)| at);
        let mut prefixes =
            std::iter::once(name.len()).chain(ends).filter_map(|end| name.get(..end));
        prefixes.find_map(|prefix| self.0.get(prefix).copied())
    }
}

fn note_reads<'g>(readers: &mut HashMap<&'g str, usize>, node: &'g NodeProto, layer: usize) {
    for input in node.input.iter().filter(|name| !name.is_empty()) {
        let first = readers.entry(input).or_insert(layer);
        *first = layer.min(*first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_nodes_belong_to_the_longest_name_that_they_extend() {
        let names = [("a", 0), ("a.b", 1), ("c/Conv", 2)];
        let map = Attribution(names.iter().map(|&(n, l)| (n.to_string(), l)).collect());
        let found = ["a", "a.x.y", "a.b.im2col", "c/Conv.pad", "c", "ab"].map(|n| map.layer(n));
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(2), None, None]);
    }
}
