//! How data flows through an ONNX graph: which nodes work on the image, and the cuts, tensors that
//! alone connect all nodes before them with all nodes behind them.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use crate::import::reads;

/// A place where a network can be cut in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// The tensor that crosses it.
    pub tensor: String,
    /// Nodes of [`Flow::live`] before it.
    pub position: usize,
}

/// The nodes between the image and the scores.
#[derive(Debug)]
pub(super) struct Flow {
    /// Indices of the nodes that depend on the input and that the output depends on, in the order
    /// of the file.
    pub live: Vec<usize>,
    /// From the input to the output.
    pub cuts: Vec<Cut>,
    /// Positions of the additions of two tensors that both depend on the image.
    pub residuals: Vec<usize>,
}

impl Flow {
    /// The flow from `input` to `output`, if there is one.
    pub fn new(graph: &GraphProto, input: &str, output: &str) -> Option<Self> {
        let moving = moving_tensors(graph, input);
        let needed = needed_nodes(graph, output);
        let depends =
            |node: &NodeProto| node.output.iter().any(|name| moving.contains(name.as_str()));
        let indices = 0..graph.node.len();
        let live: Vec<usize> =
            indices.filter(|i| needed.contains(i) && depends(&graph.node[*i])).collect();
        let residual = |node: &NodeProto| {
            let sum = matches!(node.op_type.as_str(), "Add" | "Sum");
            sum && reads(node).filter(|name| moving.contains(name)).count() > 1
        };
        let positions = live.iter().enumerate();
        let residuals = positions.filter(|&(_, &i)| residual(&graph.node[i])).map(|(at, _)| at);
        let residuals = residuals.collect();
        let cuts = cuts(graph, &live, input, output);
        let whole = cuts.last().is_some_and(|cut| cut.tensor == output) && !live.is_empty();
        whole.then_some(Self { live, cuts, residuals })
    }
}

/// The input and all tensors that depend on it.
fn moving_tensors<'g>(graph: &'g GraphProto, input: &'g str) -> HashSet<&'g str> {
    let mut moving = HashSet::from([input]);
    for node in &graph.node {
        if reads(node).any(|name| moving.contains(name)) {
            moving.extend(node.output.iter().map(String::as_str).filter(|name| !name.is_empty()));
        }
    }
    moving
}

/// Indices of the nodes that `output` depends on.
fn needed_nodes(graph: &GraphProto, output: &str) -> HashSet<usize> {
    let mut wanted = HashSet::from([output]);
    let mut needed = HashSet::new();
    for (index, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| wanted.contains(name.as_str())) {
            needed.insert(index);
            wanted.extend(reads(node));
        }
    }
    needed
}

/// Tensors that are alone alive between one node and the next: in any order in which the nodes can
/// run, these are the same.
fn cuts(graph: &GraphProto, live: &[usize], input: &str, output: &str) -> Vec<Cut> {
    let mut last_reads: HashMap<&str, usize> = HashMap::from([(output, usize::MAX)]);
    for (position, &index) in live.iter().enumerate() {
        for name in reads(&graph.node[index]) {
            let last = last_reads.entry(name).or_insert(0);
            *last = position.max(*last);
        }
    }
    let mut alive: Vec<&str> = vec![input];
    let mut cuts = vec![Cut { tensor: input.to_string(), position: 0 }];
    for (position, &index) in live.iter().enumerate() {
        alive.extend(graph.node[index].output.iter().map(String::as_str));
        alive.retain(|name| last_reads.get(name).is_some_and(|&last| last > position));
        if let [tensor] = alive[..] {
            cuts.push(Cut { tensor: tensor.to_string(), position: position + 1 });
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.to_string(),
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: vec![output.to_string()],
            ..Default::default()
        }
    }

    #[test]
    fn a_block_with_a_shortcut_has_no_cut_inside() {
        let nodes = vec![
            node("Conv", &["x", "w"], "a"),
            node("Conv", &["a", "w"], "b"),
            node("Constant", &[], "c"),
            node("Relu", &["b"], "d"),
            node("Add", &["d", "a"], "e"),
            node("Relu", &["unused"], "f"),
            node("Add", &["e", "c"], "y"),
        ];
        let graph = GraphProto { node: nodes, ..Default::default() };
        let flow = Flow::new(&graph, "x", "y").expect("a flow");
        assert_eq!(flow.live, [0, 1, 3, 4, 6]);
        let cuts: Vec<_> = flow.cuts.iter().map(|c| (c.tensor.as_str(), c.position)).collect();
        assert_eq!(cuts, [("x", 0), ("a", 1), ("e", 4), ("y", 5)]);
        assert_eq!(flow.residuals, [3]);
        assert!(Flow::new(&graph, "x", "absent").is_none());
    }
}
