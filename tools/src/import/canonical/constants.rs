//! Constants as plain tensors inside the model: integers, or f32.
//!
//! Lengths are checked before anything is allocated. Only filling up a sparse tensor takes more than the
//! file has; all of them together are bounded.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto,
    ValueInfoProto, attribute_proto::AttributeType,
};

use super::super::budget::Budget;
use super::super::error::{NodeProblem, TensorProblem};
use super::super::external::ModelFolder;
use super::super::operators;
use super::super::tensor::{self, Data, Tensor, element_count};
use super::reads;

/// Elements that all sparse tensors of a model may have together.
const MAX_SPARSE_ELEMENTS: usize = 1 << 26;

type Refused = HashMap<usize, NodeProblem>;

/// What all constants are made from.
struct Unifier<'f> {
    folder: &'f ModelFolder,
    sparse: Budget,
}

/// Makes plain tensors of all constants, and floats of all declared types of floats. A constant that
/// cannot be read is the fault of the first node that reads it; `graph` is in the order of the file.
pub(super) fn unify(
    graph: &mut GraphProto,
    functions: &mut [FunctionProto],
    folder: &ModelFolder,
    refused: &mut Refused,
) {
    let mut unifier = Unifier { folder, sparse: Budget::new(MAX_SPARSE_ELEMENTS) };
    unify_types(graph);
    let mut bad: HashMap<String, NodeProblem> = HashMap::new();
    for proto in &mut graph.initializer {
        if let Err(problem) = unifier.tensor(proto) {
            bad.insert(proto.name.clone(), problem.into());
        }
    }
    for sparse in graph.sparse_initializer.drain(..) {
        let name = sparse.values.as_ref().map(|values| values.name.clone()).unwrap_or_default();
        match unifier.filled(sparse) {
            Ok(proto) => graph.initializer.push(TensorProto { name, ..proto }),
            Err(problem) => {
                graph.initializer.push(TensorProto { name: name.clone(), ..Default::default() });
                bad.insert(name, problem);
            }
        }
    }
    for (index, node) in graph.node.iter_mut().enumerate() {
        let read = reads(node).find(|name| bad.contains_key(*name)).map(str::to_string);
        if let Some(problem) = read.and_then(|name| bad.get(&name)) {
            refused.entry(index).or_insert_with(|| problem.clone());
        }
        if let Err(problem) = unifier.node(node) {
            refused.entry(index).or_insert(problem);
        }
    }
    for node in functions.iter_mut().flat_map(|function| &mut function.node) {
        // Only tract knows functions, and refuses what is wrong with them.
        let _ = unifier.node(node);
    }
    let known: Vec<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    let known: std::collections::HashSet<&str> = known.iter().map(String::as_str).collect();
    graph.input.retain(|info| !known.contains(info.name.as_str()));
}

/// Declared types: floats for all floats of the input, none for what is computed.
fn unify_types(graph: &mut GraphProto) {
    graph.value_info.clear();
    graph.output.iter_mut().for_each(|output| output.r#type = None);
    for info in &mut graph.input {
        if let Some(element) = element_of(info)
            && is_other_float(*element)
        {
            *element = DataType::Float as i32;
        }
    }
}

fn element_of(info: &mut ValueInfoProto) -> Option<&mut i32> {
    match info.r#type.as_mut()?.value.as_mut()? {
        Value::TensorType(tensor) => Some(&mut tensor.elem_type),
    }
}

/// Floats that become f32.
fn is_other_float(element: i32) -> bool {
    let others = [DataType::Float16, DataType::Bfloat16, DataType::Double];
    others.iter().any(|&other| other as i32 == element)
}

impl Unifier<'_> {
    fn tensor(&self, proto: &mut TensorProto) -> Result<(), TensorProblem> {
        tensor::inline(proto, self.folder)?;
        if is_other_float(proto.data_type) {
            let Tensor { shape, data } = Tensor::read(proto)?;
            *proto = plain(std::mem::take(&mut proto.name), &shape, data);
        }
        Ok(())
    }

    fn node(&mut self, node: &mut NodeProto) -> Result<(), NodeProblem> {
        if node.op_type == "Cast" {
            node.attribute.iter_mut().for_each(cast_to_float);
        }
        for attribute in &mut node.attribute {
            for proto in attribute.t.iter_mut().chain(&mut attribute.tensors) {
                self.tensor(proto)?;
            }
            if let Some(sparse) = attribute.sparse_tensor.take() {
                let value = self.filled(sparse)?;
                *attribute = AttributeProto {
                    name: "value".to_string(),
                    r#type: AttributeType::Tensor as i32,
                    t: Some(value),
                    ..Default::default()
                };
            }
            for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                unify_types(inner);
                for proto in &mut inner.initializer {
                    self.tensor(proto)?;
                }
                for node in &mut inner.node {
                    self.node(node)?;
                }
            }
        }
        Ok(())
    }

    /// A sparse tensor with its zeros.
    fn filled(&mut self, sparse: SparseTensorProto) -> Result<TensorProto, NodeProblem> {
        let damaged = |what| NodeProblem::Constant(what);
        let (Some(mut values), Some(mut indices)) = (sparse.values, sparse.indices) else {
            return Err(damaged("a sparse tensor without values or indices"));
        };
        self.tensor(&mut values)?;
        self.tensor(&mut indices)?;
        let shape: Option<Vec<usize>> =
            sparse.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.ok_or(damaged("a sparse tensor with a negative dimension"))?;
        let len = element_count(&shape);
        self.sparse.charge(len)?;
        let positions = positions(&Tensor::read(&indices)?, &shape)?;
        let given = Tensor::read(&values)?;
        if given.len() != positions.len() {
            return Err(damaged("a sparse tensor with more or fewer values than indices"));
        }
        if !positions.is_sorted_by(|a, b| a < b) || positions.last() >= len.as_ref() {
            return Err(damaged(
                "a sparse tensor whose indices do not ascend within its dimensions",
            ));
        }
        let len = len.unwrap_or(0);
        let data = match given.data {
            Data::Float(values) => Data::Float(scattered(len, &positions, &values)),
            Data::Int(values) => Data::Int(scattered(len, &positions, &values)),
        };
        Ok(plain(values.name, &shape, data))
    }
}

/// Positions in a tensor of `shape`, which are given as such or axis by axis.
fn positions(indices: &Tensor, shape: &[usize]) -> Result<Vec<usize>, NodeProblem> {
    let damaged = NodeProblem::Constant("a sparse tensor whose indices are out of range");
    let values = indices.as_ints().ok_or(damaged.clone())?;
    let values: Option<Vec<usize>> = values.iter().map(|&i| usize::try_from(i).ok()).collect();
    let values = values.ok_or(damaged.clone())?;
    if indices.shape.len() < 2 {
        return Ok(values);
    }
    if shape.is_empty() || values.len() % shape.len() != 0 {
        return Err(damaged);
    }
    let position = |index: &[usize]| {
        let mut axes = index.iter().zip(shape);
        let inside = axes.clone().all(|(i, size)| i < size);
        inside
            .then(|| axes.try_fold(0usize, |at, (&i, &size)| at.checked_mul(size)?.checked_add(i)))
    };
    let found: Option<Vec<usize>> =
        values.chunks_exact(shape.len()).map(|index| position(index).flatten()).collect();
    found.ok_or(damaged)
}

fn scattered<T: Copy + Default>(len: usize, positions: &[usize], values: &[T]) -> Vec<T> {
    let mut all = vec![T::default(); len];
    for (&position, &value) in positions.iter().zip(values) {
        all[position] = value;
    }
    all
}

/// A tensor of f32 or i64.
fn plain(name: String, shape: &[usize], data: Data) -> TensorProto {
    let (data_type, raw_data) = match data {
        Data::Float(v) => (DataType::Float, values::bytes::of_f32(&v)),
        Data::Int(v) => (DataType::Int64, v.into_iter().flat_map(i64::to_le_bytes).collect()),
    };
    let dims = shape.iter().map(|&d| d as i64).collect();
    TensorProto { name, dims, data_type: data_type as i32, raw_data, ..Default::default() }
}

/// A cast to any float is one to f32; before operator set 6 types were words.
fn cast_to_float(attribute: &mut AttributeProto) {
    if attribute.name != "to" {
        return;
    }
    if i32::try_from(attribute.i).is_ok_and(is_other_float) {
        attribute.i = DataType::Float as i64;
    }
    if [&b"FLOAT16"[..], b"BFLOAT16", b"DOUBLE"].contains(&attribute.s.as_slice()) {
        attribute.s = b"FLOAT".to_vec();
    }
}

/// Refuses nodes that read a constant with a NaN or an infinity in it, but for infinities that are bounds.
pub(super) fn check_finite(graph: &GraphProto, origins: &[usize], refused: &mut Refused) {
    let mut bad: HashMap<&str, (usize, f32)> = HashMap::new();
    for proto in &graph.initializer {
        bad.extend(first_bad(proto).map(|found| (proto.name.as_str(), found)));
    }
    for (node, &origin) in graph.node.iter().zip(origins) {
        if node.op_type == "Constant"
            && let Some(output) = node.output.first()
        {
            let found = node.attribute.iter().find_map(bad_attribute);
            bad.extend(found.map(|found| (output.as_str(), found)));
        }
        let takes_infinity = operators::of(node).is_some_and(|operator| operator.takes_infinity);
        let found = reads(node).find_map(|name| Some((name, *bad.get(name)?)));
        if let Some((tensor, (index, value))) = found
            && !(takes_infinity && value.is_infinite())
        {
            let tensor = tensor.to_string();
            let problem = NodeProblem::NonFinite { tensor, index, value };
            refused.entry(origin).or_insert(problem);
        }
    }
}

fn bad_attribute(attribute: &AttributeProto) -> Option<(usize, f32)> {
    match attribute.name.as_str() {
        "value" => first_bad(attribute.t.as_ref()?),
        "value_float" => first_of(std::iter::once(attribute.f)),
        "value_floats" => first_of(attribute.floats.iter().copied()),
        _ => None,
    }
}

fn first_bad(proto: &TensorProto) -> Option<(usize, f32)> {
    if proto.data_type != DataType::Float as i32 {
        return None;
    }
    let raw = values::bytes::to_f32(&proto.raw_data);
    let raw = if values::all_finite(&raw) { None } else { first_of(raw.iter().copied()) };
    raw.or_else(|| first_of(proto.float_data.iter().copied()))
}

/// The first value that is no number; failing that, the first infinity.
fn first_of(values: impl Iterator<Item = f32> + Clone) -> Option<(usize, f32)> {
    let mut positions = values.enumerate().filter(|(_, value)| !value.is_finite());
    let first = positions.clone().next()?;
    Some(positions.find(|(_, value)| value.is_nan()).unwrap_or(first))
}
