//! How many dimensions a tensor has, as far as that follows from operators alone.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, type_proto::Value};

use super::super::node::OnnxNode;

/// Numbers of dimensions by tensor.
pub(super) type Ranks = HashMap<String, usize>;

/// The ranks of the inputs and constants.
pub(super) fn of_ends(graph: &GraphProto) -> Ranks {
    let mut ranks: Ranks =
        graph.initializer.iter().map(|t| (t.name.clone(), t.dims.len())).collect();
    for info in &graph.input {
        if let Some(Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
            && let Some(shape) = &tensor.shape
        {
            ranks.insert(info.name.clone(), shape.dim.len());
        }
    }
    ranks
}

/// Notes the ranks of what `node` writes.
pub(super) fn note(ranks: &mut Ranks, proto: &NodeProto, opset: i64) {
    let node = OnnxNode { proto, opset };
    if let (Some(rank), Some(output)) = (rank(ranks, &node), proto.output.first()) {
        ranks.insert(output.clone(), rank);
    }
}

fn rank(ranks: &Ranks, node: &OnnxNode<'_>) -> Option<usize> {
    let of = |index: usize| ranks.get(node.optional_input(index)?).copied();
    let axes = || node.ints("axes").map(<[i64]>::len);
    match node.op() {
        "Constant" => Some(node.attribute("value")?.t.as_ref()?.dims.len()),
        "Flatten" | "Gemm" => Some(2),
        "Shape" => Some(1),
        "Reshape" => Some(node.ints("shape")?.len()),
        "Unsqueeze" => Some(of(0)? + axes()?),
        "Squeeze" => of(0)?.checked_sub(axes()?),
        op if op.starts_with("Reduce") && node.int("keepdims", 1) == 0 => {
            of(0)?.checked_sub(axes()?)
        }
        "MatMul" => Some(of(0)?.max(of(1)?)),
        "Gather" | "Loop" | "If" | "Scan" | "Expand" | "ConstantOfShape" | "OneHot" | "Size" => {
            None
        }
        _ => of(0),
    }
}
