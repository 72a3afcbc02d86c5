//! ONNX models changed as models, so that what comes out is one again.

use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use crate::choices::Random;

/// Operators that the importer knows, and some that it does not.
const OPERATORS: [&str; 44] = [
    "Conv",
    "BatchNormalization",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Clip",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sum",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceMean",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Gemm",
    "MatMul",
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "Identity",
    "Dropout",
    "Constant",
    "ConstantOfShape",
    "Shape",
    "Gather",
    "Slice",
    "Concat",
    "Pad",
    "Cast",
    "Split",
    "Expand",
    "Range",
    "Where",
    "Resize",
    "ArgMax",
    "TopK",
    "QuantizeLinear",
];

/// Names of attributes that operators read.
const ATTRIBUTES: [&str; 22] = [
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "axis",
    "axes",
    "perm",
    "epsilon",
    "alpha",
    "beta",
    "transA",
    "transB",
    "keepdims",
    "min",
    "max",
    "broadcast",
    "spatial",
    "value",
];

const PADDINGS: [&[u8]; 4] = [b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"NOTSET"];

/// A model changed in a few places; `None` if the bytes are none.
pub fn mutate(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok()?;
    let random = &mut Random::new(seed.into());
    for _ in 0..=random.below(3) {
        if random.below(12) == 0 {
            let set = model.opset_import.first_mut()?;
            set.version =
                random.pick(&[1, 6, 7, 8, 9, 10, 11, 12, 13, 17, 18, 21, 22, -1, 1 << 40]);
            continue;
        }
        change(model.graph.as_mut()?, random);
    }
    Some(model.encode_to_vec())
}

fn change(graph: &mut GraphProto, random: &mut Random) {
    let names: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().chain(&node.output))
        .filter(|name| !name.is_empty())
        .cloned()
        .collect();
    if random.below(8) == 0 {
        return change_ends(graph, random);
    }
    if random.below(4) == 0 && !graph.initializer.is_empty() {
        let at = random.below(graph.initializer.len());
        return change_tensor(&mut graph.initializer[at], random);
    }
    if graph.node.is_empty() || names.is_empty() {
        return;
    }
    let at = random.below(graph.node.len());
    match random.below(10) {
        0 => drop(graph.node.remove(at)),
        1 => insert(graph, at, random),
        2 => {
            let other = random.below(graph.node.len());
            graph.node.swap(at, other);
        }
        3 => graph.node[at].op_type = random.pick(&OPERATORS).to_owned(),
        4 | 5 => rewire(&mut graph.node[at], &names, random),
        _ => change_attribute(&mut graph.node[at], random),
    }
}

/// A node between another and what it reads.
fn insert(graph: &mut GraphProto, at: usize, random: &mut Random) {
    let fresh = format!("fuzz {}", random.next());
    let reader = &mut graph.node[at];
    let Some(input) = reader.input.first_mut() else { return };
    let mut node = NodeProto {
        input: vec![std::mem::replace(input, fresh.clone())],
        output: vec![fresh],
        op_type: random.pick(&OPERATORS).to_owned(),
        ..NodeProto::default()
    };
    for _ in 0..random.below(3) {
        change_attribute(&mut node, random);
    }
    graph.node.insert(at, node);
}

fn rewire(node: &mut NodeProto, names: &[String], random: &mut Random) {
    let name = names[random.below(names.len())].clone();
    match random.below(6) {
        0 => node.input.push(name),
        1 => drop(node.input.pop()),
        2 => node.output.push(name),
        _ if node.input.is_empty() => node.input.push(name),
        _ => {
            let at = random.below(node.input.len());
            node.input[at] = if random.below(8) == 0 { String::new() } else { name };
        }
    }
}

fn number(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => -(random.below(4) as i64),
        1 => 1 << random.below(64),
        2 => -(1 << random.below(63)),
        3 => i64::from(random.next()),
        _ => random.below(8) as i64,
    }
}

fn change_attribute(node: &mut NodeProto, random: &mut Random) {
    if node.attribute.is_empty() || random.below(3) == 0 {
        let name = random.pick(&ATTRIBUTES).to_owned();
        let ints = (0..random.below(5)).map(|_| number(random)).collect();
        // 2 is INT and 7 INTS; a float is 1, a string 3.
        let r#type = random.pick(&[1, 2, 2, 3, 7, 7, 7]);
        let s = random.pick(&PADDINGS).to_vec();
        let (i, f) = (number(random), random.pick(&[0.0, 1.0, -1.0, 1e-5, f32::NAN, f32::MAX]));
        node.attribute.push(AttributeProto { name, ints, i, f, s, r#type, ..Default::default() });
        return;
    }
    let at = random.below(node.attribute.len());
    let attribute = &mut node.attribute[at];
    match random.below(6) {
        0 => drop(node.attribute.remove(at)),
        1 => attribute.i = number(random),
        2 => attribute.f = f32::from_bits(random.next()),
        3 => attribute.s = random.pick(&PADDINGS).to_vec(),
        4 if random.below(2) == 0 => attribute.ints.push(number(random)),
        _ if attribute.ints.is_empty() => match attribute.t.as_mut() {
            Some(tensor) => change_tensor(tensor, random),
            None => attribute.i = number(random),
        },
        _ => {
            let at = random.below(attribute.ints.len());
            attribute.ints[at] = number(random);
        }
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Random) {
    match random.below(8) {
        0 => tensor.data_type = random.below(24) as i32,
        1 => tensor.dims.push(number(random)),
        2 => drop(tensor.dims.pop()),
        3 if !tensor.float_data.is_empty() => {
            let at = random.below(tensor.float_data.len());
            tensor.float_data[at] = f32::from_bits(random.next());
        }
        4 if !tensor.int64_data.is_empty() => {
            let at = random.below(tensor.int64_data.len());
            tensor.int64_data[at] = number(random);
        }
        5 if tensor.raw_data.len() > 4 => {
            let at = random.below(tensor.raw_data.len() - 3);
            let any = random.next();
            let value = random.pick(&[any, 0, 0x7FC0_0000, 0x7F80_0000, 0x7F7F_FFFF, 1]);
            tensor.raw_data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        6 => {
            let len = random.below(tensor.raw_data.len() + 1);
            tensor.raw_data.truncate(len);
        }
        _ if !tensor.dims.is_empty() => {
            let at = random.below(tensor.dims.len());
            let (old, any) = (tensor.dims[at], number(random));
            tensor.dims[at] = random.pick(&[any, old.wrapping_add(1), old.wrapping_sub(1), 1]);
        }
        _ => {}
    }
}

/// The shape of the input, or which tensors are input and output.
fn change_ends(graph: &mut GraphProto, random: &mut Random) {
    use tract_onnx::pb::{tensor_shape_proto::dimension::Value, type_proto};
    if random.below(4) == 0 {
        let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone()).collect();
        if let (Some(output), false) = (graph.output.first_mut(), names.is_empty()) {
            output.name = names[random.below(names.len())].clone();
        }
        return;
    }
    let Some(input) = graph.input.first_mut() else { return };
    let Some(r#type) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) else { return };
    let type_proto::Value::TensorType(tensor) = r#type;
    if random.below(8) == 0 {
        tensor.elem_type = random.below(17) as i32;
    }
    let Some(shape) = tensor.shape.as_mut() else { return };
    if shape.dim.is_empty() {
        return;
    }
    let at = random.below(shape.dim.len());
    match random.below(5) {
        0 => drop(shape.dim.remove(at)),
        1 => shape.dim[at].value = Some(Value::DimParam("N".into())),
        _ => shape.dim[at].value = Some(Value::DimValue(number(random))),
    }
}
