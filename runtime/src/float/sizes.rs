//! Sizes of a float network, bounded before tract allocates anything of them.
//!
//! tract computes what is constant while it loads a network, and a file of a few bytes can name a
//! constant, or a chain of operators, of any size. So the shapes that each node gives are inferred
//! first, node by node, and a node is only let do its work if they are within the bound.

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact};

/// Most elements of a tensor: weights, inputs and everything between.
pub(super) const MAX_ELEMENTS: usize = 1 << 28;

/// The product, if it is within the bound.
pub(super) fn bounded(shape: impl IntoIterator<Item = usize>) -> Option<usize> {
    let product = shape.into_iter().try_fold(1usize, |product, size| product.checked_mul(size));
    product.filter(|&elements| elements <= MAX_ELEMENTS)
}

/// Refuses tensors in the file that are larger than the bound.
pub(super) fn check_file(model: &ModelProto) -> TractResult<()> {
    let Some(graph) = &model.graph else { return Ok(()) };
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    let values = attributes.flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
    for tensor in graph.initializer.iter().chain(values) {
        let sizes = tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX));
        if bounded(sizes).is_none() {
            bail!("tensor {:?} of shape {:?} is too large", tensor.name, tensor.dims);
        }
    }
    Ok(())
}

/// Infers the shapes of a network, and refuses one that holds a tensor larger than the bound.
pub(super) fn check_inferred(network: &mut InferenceModel) -> TractResult<()> {
    for node in network.eval_order()? {
        for (slot, fact) in infer(network, node)?.into_iter().enumerate() {
            let outlet = OutletId::new(node, slot);
            if let Ok(fact) = fact.unify(network.outlet_fact(outlet)?) {
                network.set_outlet_fact(outlet, fact)?;
            }
        }
    }
    Ok(())
}

/// What a node gives, from what is known of its inputs, with the values that are constant. Nothing if it
/// cannot be inferred: that is reported, with its cause, where tract analyses the whole network.
fn infer(network: &InferenceModel, node: usize) -> TractResult<TVec<InferenceFact>> {
    let name = &network.node(node).name;
    let mut op = network.node(node).op.clone();
    let (inputs, outputs) = network.node_facts(node)?;
    let observed = op.observe_outlets(network, network.node(node))?;
    let observed = observed.iter().map(|&outlet| network.outlet_fact(outlet));
    let observed = observed.collect::<TractResult<TVec<_>>>()?;
    let shapes = op.infer_facts(inputs.clone(), outputs.clone(), observed.clone());
    let Ok((_, shapes, _)) = shapes else { return Ok(TVec::new()) };
    shapes.iter().try_for_each(|fact| check_fact(name, fact))?;
    let values = op.infer(inputs, outputs, observed);
    Ok(values.map(|(_, values, _)| values).unwrap_or_default())
}

fn check_fact(node: &str, fact: &InferenceFact) -> TractResult<()> {
    let Some(shape) = fact.shape.concretize() else { return Ok(()) };
    check_shape(node, &shape)
}

/// The same for a network whose shapes are all known.
pub(super) fn check_typed(network: &TypedModel) -> TractResult<()> {
    for node in &network.nodes {
        for output in &node.outputs {
            check_shape(&node.name, &output.fact.shape)?;
        }
    }
    Ok(())
}

fn check_shape(node: &str, shape: &[TDim]) -> TractResult<()> {
    // A size that is no number is a symbol, which the input's shape replaces.
    let sizes = shape.iter().filter_map(|size| size.to_i64().ok());
    let sizes = sizes.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    if bounded(sizes).is_none() {
        bail!("node {node}: its output of shape {shape:?} is too large");
    }
    Ok(())
}
