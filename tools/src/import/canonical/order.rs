//! Nodes in an order in which they can run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use tract_onnx::pb::{GraphProto, NodeProto};

/// Everything that a node reads, inside the graphs of its attributes, too.
pub(crate) fn reads(node: &NodeProto) -> impl Iterator<Item = &str> {
    let inner = node.attribute.iter().filter_map(|a| a.g.as_ref()).flat_map(|g| &g.node);
    let own = node.input.iter().map(String::as_str);
    let nested: Vec<&str> = inner.flat_map(|node| reads(node).collect::<Vec<_>>()).collect();
    own.chain(nested).filter(|name| !name.is_empty())
}

/// Puts every node behind those that write what it reads, and else keeps the order of the file; nodes on
/// a cycle come last. Returns where each node was.
pub(super) fn sort(graph: &mut GraphProto) -> Vec<usize> {
    let order = running_order(&graph.node);
    let mut nodes: Vec<Option<NodeProto>> = graph.node.drain(..).map(Some).collect();
    graph.node = order.iter().filter_map(|&index| nodes[index].take()).collect();
    order
}

fn running_order(nodes: &[NodeProto]) -> Vec<usize> {
    let mut writers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            writers.entry(name).or_insert(index);
        }
    }
    let mut waiting_for = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for writer in reads(node).filter_map(|name| writers.get(name)) {
            readers[*writer].push(index);
            waiting_for[index] += 1;
        }
    }
    let ready = (0..nodes.len()).filter(|&index| waiting_for[index] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waiting_for[reader] -= 1;
            if waiting_for[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    order.extend((0..nodes.len()).filter(|&index| waiting_for[index] > 0));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(nodes: &[(&[&str], &str)]) -> Vec<usize> {
        let node = |(inputs, output): &(&[&str], &str)| NodeProto {
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![output.to_string()],
            ..Default::default()
        };
        running_order(&nodes.iter().map(node).collect::<Vec<_>>())
    }

    #[test]
    fn a_sorted_file_stays_as_it_is() {
        assert_eq!(order(&[(&["x"], "a"), (&["x"], "b"), (&["b", "a"], "c")]), [0, 1, 2]);
    }

    #[test]
    fn writers_come_first_and_cycles_last() {
        let nodes: [(&[&str], &str); 5] =
            [(&["b"], "c"), (&["e"], "d"), (&["d"], "e"), (&["x"], "a"), (&["a", "w"], "b")];
        assert_eq!(order(&nodes), [3, 4, 0, 1, 2]);
        assert_eq!(order(&[(&["a"], "a")]), [0]);
    }
}
