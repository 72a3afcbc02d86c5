//! Small ONNX files, node by node.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::noise;

/// A model in the making; its input is `x`.
pub struct Model {
    pub proto: ModelProto,
}

impl Model {
    /// A model of one float input; a negative dimension is symbolic.
    pub fn new(opset: i64, input: &[i64]) -> Self {
        let graph = GraphProto {
            name: "test".into(),
            input: vec![info("x", input)],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        let proto =
            ModelProto { ir_version: 7, opset_import, graph: Some(graph), ..Default::default() };
        Self { proto }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.get_or_insert_default()
    }

    /// Random weights named `name`.
    pub fn weights(mut self, name: &str, dims: &[i64]) -> Self {
        let len = dims.iter().product::<i64>() as usize;
        let values = noise(len as u64, len).iter().map(|v| v * 0.3).collect();
        self.graph().initializer.push(floats(name, dims, values));
        self
    }

    pub fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.tensor(TensorProto {
            name: name.into(),
            data_type: DataType::Int64 as i32,
            dims: vec![values.len() as i64],
            int64_data: values.to_vec(),
            ..Default::default()
        })
    }

    /// A node named like its output.
    pub fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[AttributeProto],
    ) -> Self {
        self.graph().node.push(NodeProto {
            op_type: op.into(),
            name: output.into(),
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: vec![output.into()],
            attribute: attributes.to_vec(),
            ..Default::default()
        });
        self
    }

    /// Global average pool and flatten of `input`: the network's end.
    pub fn pooled(self, input: &str) -> Self {
        self.node("GlobalAveragePool", &[input], "pooled", &[])
            .node("Flatten", &["pooled"], "y", &[])
            .output("y")
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph().output.push(ValueInfoProto { name: name.into(), ..info(name, &[]) });
        self.graph().output.iter_mut().for_each(|output| output.r#type = None);
        self
    }

    pub fn save(&self, folder: &Path) -> PathBuf {
        let path = folder.join("test.onnx");
        std::fs::write(&path, self.proto.encode_to_vec()).expect("a writable folder");
        path
    }
}

pub fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| {
        let value = if size < 0 { Value::DimParam("N".into()) } else { Value::DimValue(size) };
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

pub fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: DataType::Float as i32,
        dims: dims.to_vec(),
        float_data: values,
        ..Default::default()
    }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: 1, ..Default::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { name: name.into(), t: Some(t), r#type: 4, ..Default::default() }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), r#type: 3, ..Default::default() }
}
