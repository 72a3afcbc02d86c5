//! Padding that depends on the stride (`SAME_UPPER`, `SAME_LOWER`) as numbers.
//!
//! tract moves a stride from a convolution of one pixel into the one before it, whose padding must not
//! change with it.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, PaddingSpec, PoolSpec, SumPool};

/// Gives all windows over tensors of a fixed shape their padding in numbers.
pub(super) fn fix(network: &mut TypedModel) -> TractResult<()> {
    for id in 0..network.nodes.len() {
        let Some(shape) = input_shape(network, id)? else { continue };
        if let Some(window) = window(&mut network.nodes[id])
            && matches!(window.padding, PaddingSpec::SameUpper | PaddingSpec::SameLower)
        {
            let image = window.data_format.shape(shape)?;
            let sides = window.computed_padding(image.hw_dims());
            let (before, after) = sides.into_iter().map(|s| (s.pad_before, s.pad_after)).unzip();
            window.padding = PaddingSpec::Explicit(before, after);
        }
    }
    Ok(())
}

/// Shape of the first input of the node `id`, if it is fixed.
fn input_shape(network: &TypedModel, id: usize) -> TractResult<Option<TVec<usize>>> {
    let facts = network.node_input_facts(id)?;
    Ok(facts.first().and_then(|fact| fact.shape.as_concrete().map(TVec::from)))
}

fn window(node: &mut TypedNode) -> Option<&mut PoolSpec> {
    if node.op_is::<Conv>() {
        return node.op_as_mut::<Conv>().map(|op| &mut op.pool_spec);
    }
    if node.op_is::<MaxPool>() {
        return node.op_as_mut::<MaxPool>().map(|op| &mut op.pool_spec);
    }
    node.op_as_mut::<SumPool>().map(|op| &mut op.pool_spec)
}
