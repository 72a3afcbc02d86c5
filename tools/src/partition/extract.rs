//! A part of an ONNX graph as a model of its own.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, type_proto,
};

use crate::graph::InputLayout;
use crate::import::reads;

/// A tensor at which a part begins or ends, in the layout of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub tensor: String,
    pub shape: Vec<usize>,
}

/// The nodes that `to` depends on, up to `from`, with the constants that they need.
pub(super) fn extract(proto: &ModelProto, from: &End, to: &str) -> ModelProto {
    let empty = GraphProto::default();
    let graph = proto.graph.as_ref().unwrap_or(&empty);
    let mut wanted = HashSet::from([to]);
    let mut nodes = Vec::new();
    for node in graph.node.iter().rev() {
        let writes = |name: &String| *name != from.tensor && wanted.contains(name.as_str());
        if node.output.iter().any(writes) {
            wanted.extend(reads(node));
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    let constants = graph.initializer.iter().filter(|t| wanted.contains(t.name.as_str()));
    let part = GraphProto {
        name: graph.name.clone(),
        node: nodes,
        initializer: constants.cloned().collect(),
        input: vec![value_info(&from.tensor, Some(&from.shape))],
        output: vec![value_info(to, None)],
        ..Default::default()
    };
    ModelProto {
        ir_version: proto.ir_version,
        opset_import: proto.opset_import.clone(),
        functions: proto.functions.clone(),
        producer_name: "fixnet".to_string(),
        graph: Some(part),
        ..Default::default()
    }
}

/// Makes the part's input take its elements in HWC order.
pub(super) fn take_hwc(proto: &mut ModelProto, from: &End, layout: InputLayout) {
    let (Some(graph), &[1, c, h, w]) = (&mut proto.graph, from.shape.as_slice()) else { return };
    if layout == InputLayout::Nhwc {
        return;
    }
    let name = fresh(graph, &format!("{}.hwc", from.tensor));
    graph.input = vec![value_info(&name, Some(&[1, h, w, c]))];
    graph.node.insert(0, transpose(&name, &from.tensor, [0, 3, 1, 2]));
}

/// Makes the part's output give its elements in HWC order; `layout` is that of a feature map.
pub(super) fn give_hwc(proto: &mut ModelProto, to: &str, layout: Option<InputLayout>) {
    let (Some(graph), Some(InputLayout::Nchw)) = (&mut proto.graph, layout) else { return };
    let name = fresh(graph, &format!("{to}.hwc"));
    graph.output = vec![value_info(&name, None)];
    graph.node.push(transpose(to, &name, [0, 2, 3, 1]));
}

/// End of the names of nodes that are not in the file.
const MADE: &str = ".hwc-transpose";

/// Whether a node of a part only turns its ends around, and is not in the file that it is cut from.
#[must_use]
pub fn is_made(node: &NodeProto) -> bool {
    node.op_type == "Transpose" && node.name.ends_with(MADE)
}

fn transpose(from: &str, to: &str, order: [i64; 4]) -> NodeProto {
    let perm = AttributeProto {
        name: "perm".to_string(),
        r#type: AttributeType::Ints as i32,
        ints: order.to_vec(),
        ..Default::default()
    };
    NodeProto {
        op_type: "Transpose".to_string(),
        name: format!("{to}{MADE}"),
        input: vec![from.to_string()],
        output: vec![to.to_string()],
        attribute: vec![perm],
        ..Default::default()
    }
}

/// `name`, or one close to it that no tensor of the graph has.
fn fresh(graph: &GraphProto, name: &str) -> String {
    let taken: HashSet<&str> = graph
        .node
        .iter()
        .flat_map(|node| &node.output)
        .chain(graph.initializer.iter().map(|t| &t.name))
        .map(String::as_str)
        .collect();
    let mut name = name.to_string();
    while taken.contains(name.as_str()) {
        name.push('_');
    }
    name
}

fn value_info(name: &str, shape: Option<&[usize]>) -> ValueInfoProto {
    let dimension = |&size: &usize| Dimension {
        value: Some(dimension::Value::DimValue(size as i64)),
        ..Default::default()
    };
    let shape = shape.map(|shape| TensorShapeProto { dim: shape.iter().map(dimension).collect() });
    let typed = shape.map(|shape| TypeProto {
        value: Some(type_proto::Value::TensorType(type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(shape),
        })),
        ..Default::default()
    });
    ValueInfoProto { name: name.to_string(), r#type: typed, ..Default::default() }
}
