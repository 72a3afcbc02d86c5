//! Crops that tract's rewriting loses.
//!
//! tract 0.23.9 moves a stride from a convolution of one pixel, or from a slice in steps, up through what
//! stands before it: past a crop it then begins behind the first pixel, and where it ends in another
//! convolution (`fuse_downsample_into_conv`), that beginning is forgotten.

use std::vec;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Slice, StridedSlice};
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::downsample::Downsample;

/// Whether a stride may meet a crop behind a convolution on its way up, so that the network is only right as
/// it is.
pub(super) fn meets_stride(network: &TypedModel) -> TractResult<bool> {
    let mut behind = vec![Place::default(); network.nodes.len()];
    for id in network.eval_order()? {
        let node = &network.nodes[id];
        let inputs = node.inputs.iter().map(|input| behind[input.node]);
        let mut place = inputs.fold(Place::default(), Place::or);
        place.crop |= place.conv && crops(network, node)?;
        if place.crop && strides(node) {
            return Ok(true);
        }
        place.conv |= node.op_is::<Conv>();
        behind[id] = place;
    }
    Ok(false)
}

/// What stands before a node.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    conv: bool,
    /// A crop that stands behind a convolution.
    crop: bool,
}

impl Place {
    fn or(self, other: Self) -> Self {
        Self { conv: self.conv || other.conv, crop: self.crop || other.crop }
    }
}

/// Whether a node may leave out the first rows or columns of what it reads.
fn crops(network: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    if let Some(slice) = node.op_as::<Slice>() {
        return Ok(slice.start != 0.into());
    }
    if !node.op_is::<StridedSlice>() {
        return Ok(false);
    }
    let facts = network.node_input_facts(node.id)?;
    let Some(begin) = facts.get(1).and_then(|fact| fact.konst.as_ref()) else { return Ok(true) };
    let begin = begin.cast_to::<i64>()?;
    Ok(begin.view().as_slice::<i64>()?.iter().any(|&begin| begin != 0))
}

fn strides(node: &TypedNode) -> bool {
    let conv = node.op_as::<Conv>().and_then(|conv| conv.pool_spec.strides.as_ref());
    let taken = node.op_is::<StridedSlice>() || node.op_is::<Downsample>();
    taken || conv.is_some_and(|strides| strides.iter().any(|&by| by > 1))
}
