//! The model's input: which one it is, its shape, and whether it is NCHW or NHWC.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto, type_proto};

use super::error::Problem;
use super::operators;
use super::tensor::element_count;
use super::view::{NCHW, NHWC, View};
use super::{ImportOptions, MAX_CHANNELS, MAX_VALUE_ELEMENTS, name_list};
use crate::graph::InputLayout;

/// The network's input, every dimension known.
pub(super) struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    pub layout: InputLayout,
    pub view: View,
}

pub(super) fn find(graph: &GraphProto, options: &ImportOptions) -> Result<Input, Problem> {
    let info = single_input(graph)?;
    let dims = declared_dims(info)?;
    let shape = resolve_shape(info, &dims, options)?;
    if element_count(&shape).is_none_or(|n| n > MAX_VALUE_ELEMENTS) {
        let limit = "2^26 elements";
        return Err(Problem::TooLarge { name: info.name.clone(), shape, limit });
    }
    let (layout, view) = match *shape {
        [_, len] => (InputLayout::Nchw, View::vector(len, 2)),
        [_, a, b, c] if is_nhwc(graph, &info.name, &shape) => {
            (InputLayout::Nhwc, View::image([c, a, b], NHWC))
        }
        [_, a, b, c] => (InputLayout::Nchw, View::image([a, b, c], NCHW)),
        _ => {
            return Err(Problem::InputRank { input: info.name.clone(), rank: shape.len() });
        }
    };
    if view.sizes[0] > MAX_CHANNELS {
        let limit = "2^20 channels";
        return Err(Problem::TooLarge { name: info.name.clone(), shape, limit });
    }
    Ok(Input { name: info.name.clone(), shape, layout, view })
}

/// The one graph input that is no initializer (files before IR version 4 list those as inputs too).
fn single_input(graph: &GraphProto) -> Result<&ValueInfoProto, Problem> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> =
        graph.input.iter().filter(|i| !weights.contains(i.name.as_str())).collect();
    match inputs.as_slice() {
        [input] => Ok(input),
        inputs => Err(Problem::InputCount {
            count: inputs.len(),
            names: name_list(inputs.iter().map(|i| i.name.as_str())),
        }),
    }
}

fn declared_dims(info: &ValueInfoProto) -> Result<Vec<Dimension>, Problem> {
    let tensor = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        None => return Ok(Vec::new()),
    };
    match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double) => {}
        other => {
            let element_type = other.map_or("UNKNOWN", |t| t.as_str_name());
            return Err(Problem::InputType { input: info.name.clone(), element_type });
        }
    }
    Ok(tensor.shape.as_ref().map(|s| s.dim.clone()).unwrap_or_default())
}

/// A dimension's size, if the file fixes it.
fn fixed(dim: &Dimension) -> Option<usize> {
    match dim.value {
        Some(Value::DimValue(size)) => usize::try_from(size).ok().filter(|&size| size > 0),
        _ => None,
    }
}

fn describe(dim: &Dimension) -> String {
    match &dim.value {
        Some(Value::DimValue(size)) => size.to_string(),
        Some(Value::DimParam(name)) if !name.is_empty() => format!("{name:?}"),
        _ => "?".to_string(),
    }
}

fn describe_all(dims: &[Dimension]) -> String {
    format!("[{}]", dims.iter().map(describe).collect::<Vec<_>>().join(", "))
}

fn resolve_shape(
    info: &ValueInfoProto,
    dims: &[Dimension],
    options: &ImportOptions,
) -> Result<Vec<usize>, Problem> {
    if let Some(given) = &options.input_shape {
        return given_shape(info, dims, given);
    }
    if dims.is_empty() {
        return Err(Problem::InputRank { input: info.name.clone(), rank: 0 });
    }
    let mut shape = Vec::with_capacity(dims.len());
    for (index, dim) in dims.iter().enumerate() {
        let size = fixed(dim).or((index == 0).then_some(1));
        shape.push(size.ok_or_else(|| Problem::UnknownDimension {
            input: info.name.clone(),
            index,
            dimension: describe(dim),
            shape: describe_all(dims),
        })?);
    }
    if shape[0] != 1 {
        return Err(Problem::Batch { input: info.name.clone(), batch: shape[0] });
    }
    Ok(shape)
}

/// The shape of `--input-shape`, which may leave out the batch and may set it to 1.
fn given_shape(
    info: &ValueInfoProto,
    dims: &[Dimension],
    given: &[usize],
) -> Result<Vec<usize>, Problem> {
    let rank = if dims.is_empty() { given.len() } else { dims.len() };
    let mut shape = given.to_vec();
    if shape.len() + 1 == rank {
        shape.insert(0, 1);
    }
    let agrees = |(i, size): (usize, &usize)| {
        i == 0 || dims.get(i).and_then(fixed).is_none_or(|fixed| fixed == *size)
    };
    let fits = shape.len() == rank
        && shape.first() == Some(&1)
        && !shape.contains(&0)
        && shape.iter().enumerate().all(agrees);
    if fits {
        return Ok(shape);
    }
    Err(Problem::InputShape {
        input: info.name.clone(),
        given: given.to_vec(),
        shape: describe_all(dims),
    })
}

/// Whether the network turns its input from NHWC to NCHW before it first computes on it.
/// A last dimension of 1 under a larger second one is a grey image in NHWC: such a file may use a
/// Reshape instead of the Transpose.
fn is_nhwc(graph: &GraphProto, input: &str, shape: &[usize]) -> bool {
    if shape[3] == 1 && shape[1] > 1 {
        return true;
    }
    let mut followed: HashSet<&str> = HashSet::from([input]);
    for node in &graph.node {
        let reads =
            |node: &NodeProto| node.input.iter().any(|name| followed.contains(name.as_str()));
        if !reads(node) {
            continue;
        }
        if node.op_type == "Transpose" {
            return node.attribute.iter().any(|a| a.name == "perm" && a.ints == [0, 3, 1, 2]);
        }
        if operators::of(node).is_some_and(|operator| operator.keeps_layout) {
            followed.extend(node.output.iter().map(String::as_str));
        }
    }
    false
}
