//! What rten does not read in the spelling of older operator sets, or reads wrongly, in the newest
//! spelling. Written from the ONNX specification, apart from fixnet's importer.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use crate::common::onnx::ints;

/// `pads` has the padding of windows that the file leaves to be computed, by the node's output.
pub fn rewrite(proto: &mut ModelProto, pads: &HashMap<String, [i64; 4]>) {
    let opset = proto.opset_import.first().map_or(0, |set| set.version);
    let Some(graph) = &mut proto.graph else { return };
    let mut nodes = std::mem::take(&mut graph.node);
    let mut pads = pads.clone();
    let apart = |node| counting_own_padding(graph, node, &mut pads);
    nodes = nodes.into_iter().flat_map(apart).collect();
    for node in &mut nodes {
        if let Some(pads) = pads.get(&node.output[0]) {
            // rten takes SAME_LOWER for SAME_UPPER, and rounds up twice with `ceil_mode`.
            node.attribute
                .retain(|a| !matches!(a.name.as_str(), "auto_pad" | "ceil_mode" | "pads"));
            node.attribute.push(ints("pads", pads));
        }
        match node.op_type.as_str() {
            "Pad" if opset < 11 => attributes_to_inputs(graph, node, &["pads"]),
            "Slice" if opset < 10 => attributes_to_inputs(graph, node, &["starts", "ends", "axes"]),
            // It does nothing in inference.
            "Dropout" => {
                node.op_type = "Identity".into();
                node.attribute.clear();
                node.input.truncate(1);
            }
            "Conv" => write_defaults(node, &["strides", "dilations"], &["pads"]),
            "MaxPool" | "AveragePool" => write_defaults(node, &["strides"], &[]),
            _ => {}
        }
    }
    graph.node = nodes;
}

/// An average that counts its padding does not count what `ceil_mode` adds behind it; rten counts both.
/// So its own padding becomes a node, and what is left is not counted.
fn counting_own_padding(
    graph: &mut GraphProto,
    mut node: NodeProto,
    implicit: &mut HashMap<String, [i64; 4]>,
) -> Vec<NodeProto> {
    let is = |name: &str| node.attribute.iter().any(|a| a.name == name && a.i == 1);
    // SAME gives whole windows, and `ceil_mode` nothing to add.
    let same = |a: &AttributeProto| a.name == "auto_pad" && a.s.starts_with(b"SAME");
    if node.op_type != "AveragePool"
        || !is("ceil_mode")
        || !is("count_include_pad")
        || node.attribute.iter().any(same)
    {
        return vec![node];
    }
    let pads = node.attribute.iter().find(|a| a.name == "pads").map(|a| a.ints.clone());
    let Some(&[top, left, bottom, right]) = pads.as_deref() else {
        node.attribute.retain(|a| a.name != "count_include_pad");
        return vec![node];
    };
    let padded = format!("{}.padded", node.output[0]);
    let mut pad = NodeProto {
        op_type: "Pad".into(),
        input: vec![std::mem::replace(&mut node.input[0], padded.clone())],
        output: vec![padded],
        attribute: vec![ints("pads", &[0, 0, top, left, 0, 0, bottom, right])],
        ..Default::default()
    };
    attributes_to_inputs(graph, &mut pad, &["pads"]);
    node.attribute.retain(|a| !matches!(a.name.as_str(), "count_include_pad" | "pads"));
    if let Some(all) = implicit.get_mut(&node.output[0]) {
        *all = std::array::from_fn(|side| all[side] - [top, left, bottom, right][side]);
    }
    vec![pad, node]
}

/// Lists that were attributes as the inputs that they are now.
fn attributes_to_inputs(graph: &mut GraphProto, node: &mut NodeProto, names: &[&str]) {
    for name in names {
        let Some(at) = node.attribute.iter().position(|a| a.name == *name) else { break };
        let values = node.attribute.remove(at).ints;
        let tensor = TensorProto {
            name: format!("{}.{name}", node.output[0]),
            data_type: DataType::Int64 as i32,
            dims: vec![values.len() as i64],
            int64_data: values,
            ..Default::default()
        };
        node.input.push(tensor.name.clone());
        graph.initializer.push(tensor);
    }
    node.attribute.retain(|a: &AttributeProto| a.name != "value");
}

/// What is 1 or 0 on both axes where it is left out.
fn write_defaults(node: &mut NodeProto, ones: &[&str], zeros: &[&str]) {
    let ones = ones.iter().map(|name| ints(name, &[1, 1]));
    for default in ones.chain(zeros.iter().map(|name| ints(name, &[0; 4]))) {
        if !node.attribute.iter().any(|a| a.name == default.name) {
            node.attribute.push(default);
        }
    }
}
