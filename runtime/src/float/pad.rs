//! Constant padding, copied row by row.
//!
//! tract pads every map before a convolution with an iterator over single values, which takes a third of
//! a ResNet's time where tract is built without optimisation, as in this project's `dev` profile.

use core::ops::Range;
use std::boxed::Box;
use std::vec;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{EvalContext, StaticName};
use tract_onnx::tract_core::ops::array::{Pad, PadMode};
use tract_onnx::tract_core::ops::{EvalOp, Op, TypedOp};
use tract_onnx::tract_hir::internal::{args_1, as_op, bail, op_as_typed_op, op_out_of_plan};

/// Replaces the constant paddings of float tensors. For a plan that is not rewritten any more: the new
/// operator tells tract nothing but its shape.
pub(super) fn by_rows(network: &mut TypedModel) -> TractResult<()> {
    for id in 0..network.nodes.len() {
        let mut facts = network.node_input_facts(id)?.into_iter();
        let floats = facts.all(|fact| fact.datum_type == f32::datum_type());
        drop(facts);
        let node = &mut network.nodes[id];
        if let Some(pad) = node.op_as::<Pad>().filter(|_| floats).cloned()
            && let PadMode::Constant(value) = &pad.mode
        {
            let value = value.cast_to_scalar::<f32>()?.to_bits();
            node.op = Box::new(PadRows { pad, value });
        }
    }
    Ok(())
}

/// [`Pad`] of `f32` with a constant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PadRows {
    pad: Pad,
    /// The constant's bits.
    value: u32,
}

impl Op for PadRows {
    fn name(&self) -> StaticName {
        self.pad.name()
    }

    op_as_typed_op!();
}

impl EvalOp for PadRows {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        if input.rank() != self.pad.pads.len() {
            bail!("{} pads for a tensor of rank {}", self.pad.pads.len(), input.rank());
        }
        let axes: TVec<Axis> = input.shape().iter().zip(&self.pad.pads).map(Axis::new).collect();
        let shape: TVec<usize> = axes.iter().map(|axis| axis.padded).collect();
        let mut output = Tensor::zero::<f32>(&shape)?;
        let mut padded = output.view_mut();
        let padded = padded.as_slice_mut::<f32>()?;
        let value = f32::from_bits(self.value);
        if self.value != 0 {
            padded.fill(value);
        }
        if copy(input.view().as_slice::<f32>()?, padded, &axes).is_none() {
            bail!("a tensor of shape {:?} does not fit into {shape:?}", input.shape());
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for PadRows {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.pad.output_facts(inputs)
    }
}

/// One axis of a tensor: where its values lie in the padded one.
struct Axis {
    values: Range<usize>,
    padded: usize,
}

impl Axis {
    fn new((&len, &(before, after)): (&usize, &(usize, usize))) -> Self {
        Self { values: before..before + len, padded: before + len + after }
    }
}

/// Copies a tensor into the padded one, outer axes first; none where it does not fit.
fn copy(from: &[f32], to: &mut [f32], axes: &[Axis]) -> Option<()> {
    let [axis, inner @ ..] = axes else {
        to.copy_from_slice(from);
        return Some(());
    };
    if from.is_empty() {
        return Some(());
    }
    let block = to.len() / axis.padded;
    let to = to.get_mut(axis.values.start * block..axis.values.end * block)?;
    if inner.is_empty() {
        to.copy_from_slice(from);
        return Some(());
    }
    let blocks = to.chunks_exact_mut(block).zip(from.chunks_exact(from.len() / axis.values.len()));
    for (to, from) in blocks {
        copy(from, to, inner)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_as_tract_does() {
        let none: (&[usize], &[(usize, usize)]) = (&[], &[]);
        let shapes = [
            none,
            (&[5], &[(2, 1)]),
            (&[1, 3, 4, 5], &[(0, 0), (0, 0), (3, 2), (1, 0)]),
            (&[2, 3, 4], &[(1, 0), (0, 2), (0, 0)]),
            (&[2, 0, 3], &[(1, 1), (2, 0), (0, 1)]),
            (&[1, 1, 1, 1, 2], &[(0, 0), (4, 0), (0, 1), (2, 2), (0, 0)]),
        ];
        for (shape, pads) in shapes {
            for value in [0.0f32, -0.0, -1.5] {
                let values: vec::Vec<f32> =
                    (1u8..).map(f32::from).take(shape.iter().product()).collect();
                let input = Tensor::from_shape(shape, &values).unwrap().into_tvalue();
                let mode = PadMode::Constant(tensor0(value).into());
                let pad = Pad { pads: pads.to_vec(), mode };
                let context = EvalContext::out_of_plan();
                let want = pad.eval(&context, tvec!(input.clone())).unwrap();
                let by_rows = PadRows { pad, value: value.to_bits() };
                assert_eq!(
                    by_rows.eval(&context, tvec!(input)).unwrap(),
                    want,
                    "{shape:?} {value}"
                );
            }
        }
        let pad = Pad { pads: vec![(1, 1)], ..Pad::default() };
        let input = Tensor::zero::<f32>(&[2, 2]).unwrap().into_tvalue();
        let error = PadRows { pad, value: 0 }.eval(&EvalContext::out_of_plan(), tvec!(input));
        assert!(error.unwrap_err().to_string().contains("1 pads for a tensor of rank 2"));
    }
}
