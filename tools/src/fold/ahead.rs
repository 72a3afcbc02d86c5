//! Affine steps into the convolutions behind them.
//!
//! What may not be broken: padding is zero behind an affine step, and would not be before it. So a shift goes into
//! windows without padding only; scales alone keep zeros as they are.

use super::Folder;
use crate::graph::Op;

impl Folder {
    /// Gives the convolution at `index` the affine step that it reads, if all other readers of that step can take
    /// it as well: only then is it gone. True if it was taken.
    pub(super) fn take_affine(&mut self, index: usize) -> bool {
        let Some(&value) = self.graph.nodes[index].inputs.first() else { return false };
        let Some(step) = self.graph.producer(value) else { return false };
        let node = &self.graph.nodes[step];
        let Op::Affine { scale, shift } = &node.op else { return false };
        let takes = |reader: usize| behind(&self.graph.nodes[reader].op, scale, shift);
        let shared =
            self.graph.is_output(value) || self.graph.consumers(value).any(|n| takes(n).is_none());
        let Some(op) = takes(index).filter(|_| !shared) else { return false };
        let (source, name) = (node.inputs[0], node.name.clone());
        let convolution = &mut self.graph.nodes[index];
        (convolution.op, convolution.inputs[0]) = (op, source);
        self.absorbed.push((name, convolution.name.clone()));
        true
    }
}

/// `op` without the affine step before it; `None` if that would be another function, or beyond f32.
fn behind(op: &Op, scale: &[f32], shift: &[f32]) -> Option<Op> {
    let Op::Conv(conv) = op else { return None };
    let shifts = shift.iter().any(|&shift| shift != 0.0);
    if shifts && conv.pads != [0; 4] {
        return None;
    }
    let mut conv = conv.clone();
    let taps = (conv.kernel[0] * conv.kernel[1]).max(1);
    let group_outputs = (conv.out_channels / conv.groups.max(1)).max(1);
    let mut sums = Vec::with_capacity(conv.out_channels);
    let rows = conv.weight.chunks_exact_mut((conv.group_channels * taps).max(1));
    for (output, row) in rows.enumerate() {
        let first = output / group_outputs * conv.group_channels;
        let mut sum = 0.0;
        for (channel, weights) in (first..).zip(row.chunks_exact_mut(taps)) {
            let (scale, shift) = (*scale.get(channel)?, *shift.get(channel)?);
            for weight in weights {
                sum += f64::from(*weight) * f64::from(shift);
                *weight = (f64::from(*weight) * f64::from(scale)) as f32;
            }
        }
        sums.push(sum);
    }
    if shifts {
        let own = |output: usize| conv.bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
        let bias = sums.iter().enumerate().map(|(output, sum)| (own(output) + sum) as f32);
        conv.bias = Some(bias.collect());
    }
    let mut values = conv.weight.iter().chain(conv.bias.iter().flatten());
    values.all(|value| value.is_finite()).then_some(Op::Conv(conv))
}
