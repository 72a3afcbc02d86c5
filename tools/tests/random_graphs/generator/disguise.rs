//! The same network as other programs write it: in half precision, or with its nodes in any order.

use std::collections::BTreeSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value::TensorType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::dice::Dice;
use super::features::{Feature, is_waiting};

/// `plain` as a file may have it. What it is made of is rounded to what such a file can hold, so that both
/// are the same network.
pub fn disguise(seed: u64, plain: &mut ModelProto, features: &mut BTreeSet<Feature>) -> ModelProto {
    let mut dice = Dice::new(seed ^ 0x6469_7367_7569_7365);
    let mut may = |feature: Feature, possible: bool| {
        let rolled = dice.chance(5) && possible && !is_waiting(feature);
        if rolled {
            features.insert(feature);
        }
        rolled
    };
    // Zeros of a shape alone are of 32 bits.
    let (defaults, casts) = plain.graph.as_ref().map_or((false, false), |graph| {
        let any = |op: &str| graph.node.iter().any(|n| n.op_type == op);
        let bare = |n: &NodeProto| n.op_type == "ConstantOfShape" && n.attribute.is_empty();
        (graph.node.iter().any(bare), any("Cast"))
    });
    let (halves, unsorted) =
        (may(Feature::HalfPrecision, !defaults && !casts), may(Feature::UnsortedNodes, true));
    let mut file = plain.clone();
    if let (true, Some(plain), Some(graph)) = (halves, &mut plain.graph, &mut file.graph) {
        tensors(plain).for_each(round);
        *graph = plain.clone();
        tensors(graph).for_each(|tensor| to_half(tensor, &mut dice));
        graph.input.iter_mut().chain(&mut graph.output).for_each(to_half_type);
    }
    if let (true, Some(graph)) = (unsorted, &mut file.graph) {
        for last in (1..graph.node.len()).rev() {
            graph.node.swap(last, dice.range(0, last));
        }
    }
    file
}

/// All constants.
fn tensors(graph: &mut GraphProto) -> impl Iterator<Item = &mut TensorProto> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let values = attributes.filter_map(|attribute| attribute.t.as_mut());
    let all = graph.initializer.iter_mut().chain(values);
    all.filter(|tensor| tensor.data_type == DataType::Float as i32)
}

fn values(tensor: &TensorProto) -> Vec<half::f16> {
    let raw = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    raw.chain(tensor.float_data.iter().copied()).map(half::f16::from_f32).collect()
}

fn round(tensor: &mut TensorProto) {
    tensor.float_data = values(tensor).into_iter().map(f32::from).collect();
    tensor.raw_data.clear();
}

fn to_half(tensor: &mut TensorProto, dice: &mut Dice) {
    let values = values(tensor);
    (tensor.float_data, tensor.raw_data) = Default::default();
    tensor.data_type = DataType::Float16 as i32;
    match dice.chance(50) {
        true => tensor.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        false => tensor.int32_data = values.iter().map(|v| i32::from(v.to_bits())).collect(),
    }
}

fn to_half_type(info: &mut ValueInfoProto) {
    let value = info.r#type.as_mut().and_then(|t| t.value.as_mut());
    if let Some(TensorType(tensor)) = value
        && tensor.elem_type == DataType::Float as i32
    {
        tensor.elem_type = DataType::Float16 as i32;
    }
}
