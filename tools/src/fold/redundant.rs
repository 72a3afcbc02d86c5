//! Nodes that do nothing.

use super::Folder;
use crate::graph::Op;

impl Folder {
    /// Removes the node at `index` if its output equals its input; true if it is gone.
    pub(super) fn remove_redundant(&mut self, index: usize) -> bool {
        if !self.is_redundant(index) {
            return false;
        }
        if let Some(producer) = self.sole_producer(index) {
            self.absorb(index, producer);
            return true;
        }
        let node = self.graph.nodes.remove(index);
        let input = node.inputs[0];
        for reader in &mut self.graph.nodes {
            reader.inputs.iter_mut().filter(|id| **id == node.output).for_each(|id| *id = input);
        }
        let outputs = self.graph.outputs.iter_mut();
        outputs.filter(|o| o.value == node.output).for_each(|output| output.value = input);
        true
    }

    fn is_redundant(&self, index: usize) -> bool {
        let node = &self.graph.nodes[index];
        match &node.op {
            Op::Pad { pads } => *pads == [0; 4],
            Op::Subsample { strides, channels_before, channels_after } => {
                *strides == [1, 1] && channels_before + channels_after == 0
            }
            Op::Affine { scale, shift } => {
                scale.iter().all(|&s| s == 1.0) && shift.iter().all(|&s| s == 0.0)
            }
            Op::Clip { min, max } => *min == f32::NEG_INFINITY && *max == f32::INFINITY,
            Op::MaxPool(window) | Op::AveragePool { window, .. } => {
                window.kernel == [1, 1] && window.strides == [1, 1] && window.pads == [0; 4]
            }
            Op::Flatten => self.graph.shape(node.inputs[0]).len() == 1,
            _ => false,
        }
    }
}
