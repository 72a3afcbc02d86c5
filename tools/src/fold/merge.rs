//! Per-channel scales and shifts into the layer before them, and clamps into clamps.

use super::{FoldError, Folder, check_finite};
use crate::graph::{BatchNorm, Op};

/// `scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean * scale`, computed in f64.
pub(super) fn affine_of(norm: &BatchNorm) -> (Vec<f32>, Vec<f32>) {
    let channel = |c: usize| {
        let deviation = (f64::from(norm.variance[c]) + f64::from(norm.epsilon)).sqrt();
        let scale = f64::from(norm.gamma[c]) / deviation;
        let shift = f64::from(norm.beta[c]) - f64::from(norm.mean[c]) * scale;
        (scale as f32, shift as f32)
    };
    (0..norm.gamma.len()).map(channel).unzip()
}

impl Folder {
    /// Merges the node at `index` into the node before it; true if it is gone.
    pub(super) fn merge_into_producer(&mut self, index: usize) -> Result<bool, FoldError> {
        let Some(producer) = self.sole_producer(index) else {
            return Ok(false);
        };
        let merged = match (&self.graph.nodes[producer].op, &self.graph.nodes[index].op) {
            (before, Op::Affine { scale, shift }) => scaled(before, scale, shift),
            (Op::Clip { min, max }, Op::Clip { min: lower, max: upper }) => {
                Some(Op::Clip { min: min.clamp(*lower, *upper), max: max.clamp(*lower, *upper) })
            }
            _ => None,
        };
        let Some(op) = merged else { return Ok(false) };
        check_op(&self.graph.nodes[producer].name, &op)?;
        self.graph.nodes[producer].op = op;
        self.absorb(index, producer);
        Ok(true)
    }
}

/// `before` with its output scaled and shifted for each channel, if it can do that itself.
fn scaled(before: &Op, scale: &[f32], shift: &[f32]) -> Option<Op> {
    match before {
        Op::Conv(conv) => {
            let mut conv = conv.clone();
            let row = conv.weight.len() / conv.out_channels.max(1);
            scale_rows(&mut conv.weight, row, scale);
            conv.bias = Some(shifted(conv.bias.as_deref(), scale, shift));
            Some(Op::Conv(conv))
        }
        Op::Gemm { weight, bias, outputs, inputs } => {
            let mut weight = weight.clone();
            scale_rows(&mut weight, *inputs, scale);
            let bias = Some(shifted(bias.as_deref(), scale, shift));
            Some(Op::Gemm { weight, bias, outputs: *outputs, inputs: *inputs })
        }
        Op::Concat { scale: first, shift: offset } => {
            let scale_product = first.iter().zip(scale).map(|(&a, &b)| product(a, b)).collect();
            Some(Op::Concat { scale: scale_product, shift: shifted(Some(offset), scale, shift) })
        }
        Op::Affine { scale: first, shift: offset } => {
            let scale_product = first.iter().zip(scale).map(|(&a, &b)| product(a, b)).collect();
            Some(Op::Affine { scale: scale_product, shift: shifted(Some(offset), scale, shift) })
        }
        _ => None,
    }
}

fn product(a: f32, b: f32) -> f32 {
    (f64::from(a) * f64::from(b)) as f32
}

fn scale_rows(weight: &mut [f32], row: usize, scale: &[f32]) {
    for (row, &factor) in weight.chunks_exact_mut(row.max(1)).zip(scale) {
        row.iter_mut().for_each(|w| *w = product(*w, factor));
    }
}

/// `bias * scale + shift`, in f64.
fn shifted(bias: Option<&[f32]>, scale: &[f32], shift: &[f32]) -> Vec<f32> {
    let channel = |(c, (&scale, &shift)): (usize, (&f32, &f32))| {
        let bias = bias.map_or(0.0, |bias| f64::from(bias[c]));
        (bias * f64::from(scale) + f64::from(shift)) as f32
    };
    scale.iter().zip(shift).enumerate().map(channel).collect()
}

/// Folding can overflow f32; the first channel of the layer where it did is named.
fn check_op(name: &str, op: &Op) -> Result<(), FoldError> {
    let (weight, bias) = match op {
        Op::Conv(conv) => (&conv.weight, conv.bias.as_deref()),
        Op::Gemm { weight, bias, .. } => (weight, bias.as_deref()),
        Op::Affine { scale, shift } | Op::Concat { scale, shift } => {
            (scale, Some(shift.as_slice()))
        }
        _ => return Ok(()),
    };
    let bias = bias.unwrap_or(&[]);
    check_finite(name, bias)?;
    match weight.iter().position(|w| !w.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let channel = at * bias.len().max(1) / weight.len();
            Err(FoldError::NonFinite { node: name.to_string(), channel, value: weight[at] })
        }
    }
}
