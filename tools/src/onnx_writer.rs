//! [`Graph`] to ONNX: for the float reference of a folded graph, and for models made here.
//!
//! Each value of the graph becomes a tensor of the same name in NCHW order, whatever the layout of
//! the file that the graph came from; only the input keeps its layout. Importing the result gives
//! the graph back.

mod pointwise;

use std::collections::HashSet;

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::graph::{Conv, Graph, InputLayout, Node, Op, ValueId, Window};

/// The operator set that the written nodes follow.
const OPSET: i64 = 13;
/// IR version 7 is the one of operator set 13.
const IR_VERSION: i64 = 7;

/// `graph` as an ONNX model.
pub fn to_onnx(graph: &Graph) -> ModelProto {
    let mut writer = Writer::new(graph);
    for node in &graph.nodes {
        writer.node(node);
    }
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "fixnet".to_string(),
        graph: Some(writer.proto),
        ..Default::default()
    }
}

/// `graph` as the bytes of an ONNX file.
pub fn to_bytes(graph: &Graph) -> Vec<u8> {
    to_onnx(graph).encode_to_vec()
}

struct Writer<'g> {
    graph: &'g Graph,
    proto: GraphProto,
    tensor_names: HashSet<String>,
    /// Name of the input in NCHW order.
    input: String,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph) -> Self {
        let input = graph.values[graph.input].name.clone();
        let mut writer = Self {
            graph,
            proto: GraphProto { name: "fixnet".to_string(), ..Default::default() },
            tensor_names: graph.values.iter().map(|value| value.name.clone()).collect(),
            input: input.clone(),
        };
        writer.proto.input = vec![writer.value_info(graph.input, graph.input_layout)];
        let outputs = graph.outputs.iter();
        let outputs = outputs.map(|output| writer.value_info(output.value, InputLayout::Nchw));
        writer.proto.output = outputs.collect();
        if graph.input_layout == InputLayout::Nhwc {
            writer.input = writer.fresh(format!("{input}.nchw"));
            let transpose = node_proto("Transpose", &writer.input, vec![input], &writer.input);
            writer.push(transpose, vec![ints("perm", &[0, 3, 1, 2])]);
        }
        writer
    }

    fn value_info(&self, value: ValueId, layout: InputLayout) -> ValueInfoProto {
        let mut shape = self.graph.shape(value).to_vec();
        if layout == InputLayout::Nhwc {
            shape.rotate_left(1);
        }
        shape.insert(0, 1);
        let dimension = |&size: &usize| Dimension {
            value: Some(dimension::Value::DimValue(size as i64)),
            ..Default::default()
        };
        let tensor = type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: shape.iter().map(dimension).collect() }),
        };
        ValueInfoProto {
            name: self.graph.values[value].name.clone(),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(tensor)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// `name`, or one close to it that no tensor has yet.
    fn fresh(&mut self, mut name: String) -> String {
        while !self.tensor_names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn tensor(&self, value: ValueId) -> String {
        if value == self.graph.input { &self.input } else { &self.graph.values[value].name }.clone()
    }

    fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        let bytes = values::bytes::of_f32(values);
        self.initializer(name, DataType::Float, dims, bytes)
    }

    fn integers(&mut self, name: String, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, DataType::Int64, &[values.len()], bytes)
    }

    fn initializer(
        &mut self,
        name: String,
        element: DataType,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> String {
        let name = self.fresh(name);
        self.proto.initializer.push(TensorProto {
            name: name.clone(),
            data_type: element as i32,
            dims: dims.iter().map(|&d| d as i64).collect(),
            raw_data,
            ..Default::default()
        });
        name
    }

    fn push(&mut self, mut node: NodeProto, attributes: Vec<AttributeProto>) {
        node.attribute = attributes;
        self.proto.node.push(node);
    }

    fn node(&mut self, node: &Node) {
        let mut inputs: Vec<String> = node.inputs.iter().map(|&value| self.tensor(value)).collect();
        let (op, attributes) = match &node.op {
            Op::Affine { scale, shift } => {
                let input = self.tensor(node.inputs[0]);
                return self.affine_of(node, input, scale, shift);
            }
            Op::Concat { scale, shift } => return self.concat(node, scale, shift),
            Op::Pointwise(function) => return self.pointwise(node, function.terms()),
            Op::Add => return self.two_values("Add", node),
            Op::Multiply => return self.two_values("Mul", node),
            Op::Subsample { strides, channels_before, channels_after } => {
                return self.subsample(node, *strides, [*channels_before, *channels_after]);
            }
            Op::Conv(conv) => ("Conv", self.conv(node, conv, &mut inputs)),
            Op::Gemm { weight, bias, outputs, inputs: columns } => {
                let name = format!("{}.weight", node.name);
                inputs.push(self.floats(name, &[*outputs, *columns], weight));
                self.bias(node, bias.as_deref(), &mut inputs);
                ("Gemm", vec![int("transB", 1)])
            }
            Op::BatchNorm(norm) => {
                let parameters = [
                    ("weight", &norm.gamma),
                    ("bias", &norm.beta),
                    ("running_mean", &norm.mean),
                    ("running_var", &norm.variance),
                ];
                for (suffix, values) in parameters {
                    let name = format!("{}.{suffix}", node.name);
                    inputs.push(self.floats(name, &[values.len()], values));
                }
                ("BatchNormalization", vec![float("epsilon", norm.epsilon)])
            }
            Op::Clip { min, max } => (self.clip(node, *min, *max, &mut inputs), Vec::new()),
            Op::MaxPool(window) => ("MaxPool", window_attributes(window)),
            Op::AveragePool { window, count_include_pad } => {
                let mut attributes = window_attributes(window);
                attributes.push(int("count_include_pad", (*count_include_pad).into()));
                ("AveragePool", attributes)
            }
            Op::GlobalAveragePool => ("GlobalAveragePool", Vec::new()),
            Op::Flatten => ("Flatten", vec![int("axis", 1)]),
            Op::Pad { pads: [top, left, bottom, right] } => {
                let pads = [0, 0, *top, *left, 0, 0, *bottom, *right].map(|p| p as i64);
                inputs.push(self.integers(format!("{}.pads", node.name), &pads));
                ("Pad", Vec::new())
            }
            Op::Softmax => ("Softmax", vec![int("axis", 1)]),
        };
        let proto = node_proto(op, &node.name, inputs, &self.graph.values[node.output].name);
        self.push(proto, attributes);
    }

    fn conv(&mut self, node: &Node, conv: &Conv, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
        let [rows, columns] = conv.kernel;
        let dims = [conv.out_channels, conv.group_channels, rows, columns];
        inputs.push(self.floats(format!("{}.weight", node.name), &dims, &conv.weight));
        self.bias(node, conv.bias.as_deref(), inputs);
        vec![
            sizes("kernel_shape", &conv.kernel),
            sizes("strides", &conv.strides),
            sizes("pads", &conv.pads),
            sizes("dilations", &conv.dilations),
            int("group", conv.groups as i64),
        ]
    }

    fn bias(&mut self, node: &Node, bias: Option<&[f32]>, inputs: &mut Vec<String>) {
        if let Some(bias) = bias {
            inputs.push(self.floats(format!("{}.bias", node.name), &[bias.len()], bias));
        }
    }

    fn clip(&mut self, node: &Node, min: f32, max: f32, inputs: &mut Vec<String>) -> &'static str {
        if min == 0.0 && max == f32::INFINITY {
            return "Relu";
        }
        inputs.push(match min {
            f32::NEG_INFINITY => String::new(),
            min => self.floats(format!("{}.min", node.name), &[], &[min]),
        });
        if max != f32::INFINITY {
            inputs.push(self.floats(format!("{}.max", node.name), &[], &[max]));
        }
        "Clip"
    }

    /// A Mul, an Add, or both.
    fn affine_of(&mut self, node: &Node, mut input: String, scale: &[f32], shift: &[f32]) {
        let rank = self.graph.shape(node.output).len();
        let mut dims = vec![1; rank];
        dims[0] = scale.len();
        let output = self.graph.values[node.output].name.clone();
        let adds = shift.iter().any(|&s| s != 0.0);
        if !adds || scale.iter().any(|&s| s != 1.0) {
            let factor = self.floats(format!("{}.scale", node.name), &dims, scale);
            let (name, product) = if adds {
                (format!("{}.scaled", node.name), self.fresh(format!("{output}.scaled")))
            } else {
                (node.name.clone(), output.clone())
            };
            self.push(node_proto("Mul", &name, vec![input, factor], &product), Vec::new());
            input = product;
        }
        if adds {
            let offset = self.floats(format!("{}.shift", node.name), &dims, shift);
            self.push(node_proto("Add", &node.name, vec![input, offset], &output), Vec::new());
        }
    }

    /// A Slice, a Pad, or both.
    fn subsample(&mut self, node: &Node, strides: [usize; 2], [before, after]: [usize; 2]) {
        let output = self.graph.values[node.output].name.clone();
        let mut input = self.tensor(node.inputs[0]);
        let pads_channels = before + after > 0;
        if !pads_channels || strides != [1, 1] {
            let steps = strides.map(|s| s as i64);
            let lists =
                [("starts", [0, 0]), ("ends", [i64::MAX; 2]), ("axes", [2, 3]), ("steps", steps)];
            let mut inputs = vec![input];
            for (suffix, values) in lists {
                inputs.push(self.integers(format!("{}.{suffix}", node.name), &values));
            }
            let (name, sliced) = if pads_channels {
                (format!("{}.sliced", node.name), self.fresh(format!("{output}.sliced")))
            } else {
                (node.name.clone(), output.clone())
            };
            self.push(node_proto("Slice", &name, inputs, &sliced), Vec::new());
            input = sliced;
        }
        if pads_channels {
            let pads = [0, before, 0, 0, 0, after, 0, 0].map(|p| p as i64);
            let pads = self.integers(format!("{}.pads", node.name), &pads);
            self.push(node_proto("Pad", &node.name, vec![input, pads], &output), Vec::new());
        }
    }
}

fn node_proto(op: &str, name: &str, input: Vec<String>, output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_string(),
        name: name.to_string(),
        input,
        output: vec![output.to_string()],
        ..Default::default()
    }
}

fn window_attributes(window: &Window) -> Vec<AttributeProto> {
    vec![
        sizes("kernel_shape", &window.kernel),
        sizes("strides", &window.strides),
        sizes("pads", &window.pads),
    ]
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: kind as i32, ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn sizes(name: &str, values: &[usize]) -> AttributeProto {
    ints(name, &values.iter().map(|&v| v as i64).collect::<Vec<_>>())
}
