//! Explicit zero padding into the window that reads it.

use super::Folder;
use crate::graph::{Graph, Node, Op, Value, ValueId, Window};

impl Folder {
    /// Moves a `Pad` before the node at `index` into that node's own padding; true if there was one. The
    /// `Pad` itself dies once nothing reads it.
    pub(super) fn absorb_padding(&mut self, index: usize) -> bool {
        let node = &self.graph.nodes[index];
        let Some(&input) = node.inputs.first() else {
            return false;
        };
        let Some(producer) = self.graph.producer(input) else {
            return false;
        };
        let Node { op: Op::Pad { pads }, inputs, name, .. } = &self.graph.nodes[producer] else {
            return false;
        };
        let source = inputs[0];
        let Some(op) = padded(&self.graph, &node.op, *pads, source) else {
            return false;
        };
        let absorbed = (name.clone(), node.name.clone());
        let node = &mut self.graph.nodes[index];
        (node.op, node.inputs) = (op, vec![source]);
        self.absorbed.push(absorbed);
        true
    }
}

impl Folder {
    /// Moves a `Pad` whose only reader is the activation function at `index` behind it, where a window may
    /// take it over: zeros that the function leaves as they are. Returns where the function is then.
    pub(super) fn pad_behind_clip(&mut self, index: usize) -> Option<usize> {
        let Op::Clip { min, max } = self.graph.nodes[index].op else { return None };
        let producer = self.sole_producer(index)?;
        let keeps_zero = min <= 0.0 && max >= 0.0;
        if !keeps_zero || !matches!(self.graph.nodes[producer].op, Op::Pad { .. }) {
            return None;
        }
        let [source, between] = [producer, index].map(|node| self.graph.nodes[node].inputs[0]);
        let output = self.graph.nodes[index].output;
        let mut name = format!("{}.unpadded", self.graph.values[output].name);
        while self.graph.values.iter().any(|value| value.name == name) {
            name.push('_');
        }
        let shape = self.graph.shape(source).to_vec();
        self.graph.values[between] = Value { name, shape };
        self.graph.nodes.swap(producer, index);
        let (clip, pad) = (producer, index);
        let nodes = &mut self.graph.nodes;
        (nodes[clip].inputs, nodes[clip].output) = (vec![source], between);
        (nodes[pad].inputs, nodes[pad].output) = (vec![between], output);
        Some(clip)
    }
}

/// `op` with zero padding of its input moved into its window, where that is exact.
fn padded(graph: &Graph, op: &Op, pads: [usize; 4], source: ValueId) -> Option<Op> {
    match op {
        Op::Conv(conv) => {
            let mut conv = conv.clone();
            conv.pads = sum(conv.pads, pads);
            Some(Op::Conv(conv))
        }
        Op::Pad { pads: own } => Some(Op::Pad { pads: sum(*own, pads) }),
        // The zeros were part of the divisor; padding that was not must not join them.
        Op::AveragePool { window, count_include_pad }
            if *count_include_pad || window.pads == [0; 4] =>
        {
            let window = wider(window, pads)?;
            Some(Op::AveragePool { window, count_include_pad: true })
        }
        // A zero never exceeds the maximum of a window that holds at least one value >= 0.
        Op::MaxPool(window) if is_non_negative(graph, source) => {
            Some(Op::MaxPool(wider(window, pads)?))
        }
        _ => None,
    }
}

fn sum(a: [usize; 4], b: [usize; 4]) -> [usize; 4] {
    [0, 1, 2, 3].map(|side| a[side] + b[side])
}

/// `None` if a window could lie in the padding altogether.
fn wider(window: &Window, pads: [usize; 4]) -> Option<Window> {
    let pads = sum(window.pads, pads);
    let inside = (0..4).all(|side| pads[side] < window.kernel[side % 2]);
    inside.then_some(Window { pads, ..*window })
}

/// Whether `value` can be shown to hold nothing below 0.
fn is_non_negative(graph: &Graph, value: ValueId) -> bool {
    let Some(producer) = graph.producer(value) else {
        return false;
    };
    let node = &graph.nodes[producer];
    match node.op {
        Op::Clip { min, .. } => min >= 0.0,
        Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Subsample { .. } => node.inputs.iter().all(|&input| is_non_negative(graph, input)),
        _ => false,
    }
}
