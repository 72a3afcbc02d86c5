//! Constant folding: operators whose inputs are all constants are computed at import.
//!
//! Exporters spell shapes, paddings and strides as chains of small integer operators, and store
//! half-precision weights as an initializer and a Cast. Results are bounded by the caller's budget
//! before they are allocated.

use tract_onnx::pb::tensor_proto::DataType;

use super::arrange::{self, normalized_slice};
use super::broadcast::{broadcast_shape, zip};
use super::budget::Budget;
use super::error::NodeProblem;
use super::node::{OnnxNode, resolve_axis};
use super::operators;
use super::tensor::{Data, Tensor, element_count};

type Folded = Result<Tensor, NodeProblem>;

/// Computes `node` on constant `inputs` (`None` for one left out).
pub(super) fn evaluate(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    match operators::of(node.proto).and_then(|operator| operator.on_constants) {
        Some(compute) => compute(node, inputs, budget),
        None => Err(NodeProblem::unsupported(format!("{} of constants", node.op()))),
    }
}

/// The value of a `Constant` node.
pub(super) fn constant(node: &OnnxNode, _: &[Option<&Tensor>], _: &mut Budget) -> Folded {
    let Some(attribute) = node.proto.attribute.first() else {
        return Err(NodeProblem::Constant("Constant without a value"));
    };
    match (attribute.name.as_str(), &attribute.t) {
        ("value", Some(tensor)) => Ok(Tensor::read(tensor)?),
        ("value_int", _) => Ok(Tensor::int(attribute.i)),
        ("value_ints", _) => Ok(Tensor::ints(attribute.ints.clone())),
        ("value_float", _) => Ok(Tensor::float(attribute.f)),
        ("value_floats", _) => Ok(Tensor::floats(attribute.floats.clone())),
        _ => Err(NodeProblem::unsupported("a Constant of strings")),
    }
}

/// The part of a `Shape` node's input shape that it asks for (`start` and `end`, operator set 15).
pub(super) fn shape_of(node: &OnnxNode, shape: &[usize]) -> Tensor {
    let rank = shape.len() as i64;
    let clamp = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int("start", 0)), clamp(node.int("end", rank)));
    let dims = shape.get(start..end).unwrap_or(&[]);
    Tensor::ints(dims.iter().map(|&d| d as i64).collect())
}

/// The shape of a constant.
pub(super) fn shape(node: &OnnxNode, inputs: &[Option<&Tensor>], _: &mut Budget) -> Folded {
    Ok(shape_of(node, &operand(inputs, 0)?.shape))
}

/// The number of elements of a constant.
pub(super) fn size(_: &OnnxNode, inputs: &[Option<&Tensor>], _: &mut Budget) -> Folded {
    Ok(Tensor::int(operand(inputs, 0)?.len() as i64))
}

/// The first input, whose copy is taken from the budget.
fn copied<'t>(
    inputs: &[Option<&'t Tensor>],
    budget: &mut Budget,
) -> Result<&'t Tensor, NodeProblem> {
    let first = operand(inputs, 0)?;
    budget.charge(Some(first.len()))?;
    Ok(first)
}

/// A constant that stays as it is.
pub(super) fn identity(_: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    copied(inputs, budget).cloned()
}

/// `Gather`.
pub(super) fn gather(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let first = copied(inputs, budget)?;
    arrange::gather(first, operand(inputs, 1)?, node.int("axis", 0), budget)
}

/// `Transpose`.
pub(super) fn transpose(
    node: &OnnxNode,
    inputs: &[Option<&Tensor>],
    budget: &mut Budget,
) -> Folded {
    arrange::transpose(node, copied(inputs, budget)?)
}

fn operand<'t>(inputs: &[Option<&'t Tensor>], index: usize) -> Result<&'t Tensor, NodeProblem> {
    inputs.get(index).copied().flatten().ok_or(NodeProblem::MissingInput { index })
}

/// `ConstantOfShape`.
pub(super) fn constant_of_shape(
    node: &OnnxNode,
    inputs: &[Option<&Tensor>],
    budget: &mut Budget,
) -> Folded {
    let shape = dimensions(operand(inputs, 0)?.integers()?)?;
    budget.charge_shape(&shape)?;
    let len = shape.iter().product();
    let data = match node.attribute("value").and_then(|a| a.t.as_ref()) {
        None => Data::Float(vec![0.0; len]),
        Some(proto) => match scalar_value(proto)? {
            Data::Float(v) => Data::Float(vec![v.first().copied().unwrap_or(0.0); len]),
            Data::Int(v) => Data::Int(vec![v.first().copied().unwrap_or(0); len]),
        },
    };
    Ok(Tensor { shape, data })
}

/// A one-element tensor attribute.
fn scalar_value(proto: &tract_onnx::pb::TensorProto) -> Result<Data, NodeProblem> {
    let tensor = Tensor::read(proto)?;
    if tensor.len() != 1 {
        return Err(NodeProblem::Constant("ConstantOfShape needs a value of one element"));
    }
    Ok(tensor.data)
}

fn dimensions(values: &[i64]) -> Result<Vec<usize>, NodeProblem> {
    let dims: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    dims.ok_or(NodeProblem::Constant("a shape with a negative dimension"))
}

/// `Concat`.
pub(super) fn concat(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let parts: Vec<&Tensor> = inputs.iter().copied().flatten().collect();
    let first = parts.first().ok_or(NodeProblem::MissingInput { index: 0 })?;
    let axis = resolve_axis(node.int("axis", 0), first.shape.len())?;
    budget.charge(parts.iter().try_fold(0usize, |n, part| n.checked_add(part.len())))?;
    arrange::concat(&parts, axis)
}

/// `Range`.
pub(super) fn range(_: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let scalar = |index| -> Result<i64, NodeProblem> {
        let values = operand(inputs, index)?.integers()?;
        values.first().copied().ok_or(NodeProblem::Constant("Range needs three scalars"))
    };
    let (start, limit, delta) = (scalar(0)?, scalar(1)?, scalar(2)?);
    if delta == 0 {
        return Err(NodeProblem::Constant("Range with a step of 0"));
    }
    let span = i128::from(limit) - i128::from(start);
    let len = (span * i128::from(delta.signum()) + i128::from(delta.unsigned_abs()) - 1)
        .div_euclid(i128::from(delta.unsigned_abs()))
        .max(0);
    let len = usize::try_from(len).ok();
    budget.charge(len)?;
    let values = (0..len.unwrap_or(0) as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta)));
    Ok(Tensor::ints(values.collect()))
}

/// `Where`.
pub(super) fn select(_: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let (condition, yes, no) = (operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?);
    // Where(c, y, n) as two broadcast steps: positions first, then the choice.
    let shape = broadcast_shape(&condition.shape, &broadcast_shape(&yes.shape, &no.shape)?)?;
    budget.charge_shape(&shape)?;
    let full = |tensor: &Tensor| -> Folded { arrange::expand(tensor, &shape) };
    let (condition, yes, no) = (full(condition)?, full(yes)?, full(no)?);
    let chosen = condition.integers()?;
    let data = match (&yes.data, &no.data) {
        (Data::Int(y), Data::Int(n)) => Data::Int(choose(chosen, y, n)),
        (Data::Float(y), Data::Float(n)) => Data::Float(choose(chosen, y, n)),
        _ => return Err(NodeProblem::Constant("Where mixes integers and floats")),
    };
    Ok(Tensor { shape, data })
}

fn choose<T: Copy>(condition: &[i64], yes: &[T], no: &[T]) -> Vec<T> {
    let both = yes.iter().zip(no);
    condition.iter().zip(both).map(|(&c, (&y, &n))| if c != 0 { y } else { n }).collect()
}

/// `Expand`.
pub(super) fn expand(_: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let (tensor, shape) = (copied(inputs, budget)?, operand(inputs, 1)?);
    let shape = broadcast_shape(&tensor.shape, &dimensions(shape.integers()?)?)?;
    budget.charge_shape(&shape)?;
    arrange::expand(tensor, &shape)
}

/// Operations on two constants.
pub(super) fn binary(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let (left, right) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let shape = broadcast_shape(&left.shape, &right.shape)?;
    budget.charge_shape(&shape)?;
    let data = match (&left.data, &right.data) {
        (Data::Int(a), Data::Int(b)) => {
            let op = integer_operator(node.op());
            let values = zip((a, &left.shape), (b, &right.shape), &shape, op);
            let values: Option<Vec<i64>> = values.into_iter().collect();
            Data::Int(values.ok_or(NodeProblem::Constant("integer overflow or division by 0"))?)
        }
        (Data::Float(a), Data::Float(b)) => {
            let op = float_operator(node.op())?;
            Data::Float(zip((a, &left.shape), (b, &right.shape), &shape, op))
        }
        _ => return Err(NodeProblem::Constant("integers and floats in one operator")),
    };
    Ok(Tensor { shape, data })
}

fn integer_operator(op: &str) -> fn(i64, i64) -> Option<i64> {
    match op {
        "Add" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        "Div" => i64::checked_div,
        "Min" => |a, b| Some(a.min(b)),
        "Max" => |a, b| Some(a.max(b)),
        _ => |a, b| Some((a == b).into()),
    }
}

fn float_operator(op: &str) -> Result<fn(f32, f32) -> f32, NodeProblem> {
    Ok(match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Min" => f32::min,
        "Max" => f32::max,
        _ => return Err(NodeProblem::unsupported("comparing constant floats")),
    })
}

/// Functions of one constant.
pub(super) fn unary(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let (op, tensor) = (node.op(), copied(inputs, budget)?);
    let data = match (&tensor.data, op) {
        (Data::Int(v), "Neg") => Data::Int(v.iter().map(|v| v.wrapping_neg()).collect()),
        (Data::Float(v), "Neg") => Data::Float(v.iter().map(|v| -v).collect()),
        (Data::Float(v), "Sqrt") => Data::Float(v.iter().map(|v| v.sqrt()).collect()),
        (Data::Float(v), "Reciprocal") => Data::Float(v.iter().map(|v| v.recip()).collect()),
        (Data::Float(v), "Floor") => Data::Float(v.iter().map(|v| v.floor()).collect()),
        _ => {
            return Err(NodeProblem::unsupported(format!("{op} of constant integers")));
        }
    };
    Ok(Tensor { shape: tensor.shape.clone(), data })
}

/// `Cast`.
pub(super) fn cast(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    use DataType::*;
    let tensor = copied(inputs, budget)?;
    let target = i32::try_from(node.int("to", 0)).ok().and_then(|v| DataType::try_from(v).ok());
    let data = match (target, &tensor.data) {
        (Some(Float | Double | Float16 | Bfloat16), _) => Data::Float(tensor.to_floats()),
        (Some(Bool), Data::Int(v)) => Data::Int(v.iter().map(|&v| (v != 0).into()).collect()),
        (Some(Int8 | Uint8 | Int16 | Uint16 | Int32 | Uint32 | Int64 | Uint64), data) => match data
        {
            Data::Int(v) => Data::Int(v.clone()),
            Data::Float(v) => Data::Int(v.iter().map(|&v| v as i64).collect()),
        },
        _ => {
            return Err(NodeProblem::unsupported("Cast of a constant to this element type"));
        }
    };
    Ok(Tensor { shape: tensor.shape.clone(), data })
}

/// `CastLike`.
pub(super) fn cast_like(_: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let (tensor, like) = (copied(inputs, budget)?, operand(inputs, 1)?);
    let data = match (&like.data, &tensor.data) {
        (Data::Float(_), _) => Data::Float(tensor.to_floats()),
        (Data::Int(_), Data::Int(v)) => Data::Int(v.clone()),
        (Data::Int(_), Data::Float(v)) => Data::Int(v.iter().map(|&v| v as i64).collect()),
    };
    Ok(Tensor { shape: tensor.shape.clone(), data })
}

/// `Slice`.
pub(super) fn slice(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let data = copied(inputs, budget)?;
    let list = |index: usize, name: &str| -> Result<Option<Vec<i64>>, NodeProblem> {
        match inputs.get(index).copied().flatten() {
            Some(tensor) => Ok(Some(tensor.integers()?.to_vec())),
            None => Ok(node.ints(name).map(<[i64]>::to_vec)),
        }
    };
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let (axes, steps) = (list(3, "axes")?, list(4, "steps")?);
    let ranges = normalized_slice(&data.shape, starts, ends, axes, steps)?;
    arrange::slice(data, &ranges, budget)
}

/// Other dimensions for the same elements.
pub(super) fn reshape(node: &OnnxNode, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Folded {
    let tensor = copied(inputs, budget)?;
    let target = inputs.get(1).copied().flatten().map(Tensor::integers).transpose()?;
    let shape = arrange::new_shape(node, &tensor.shape, target)?;
    if element_count(&shape) != Some(tensor.len()) {
        return Err(NodeProblem::Shapes { left: tensor.shape.clone(), right: shape });
    }
    Ok(Tensor { shape, data: tensor.data.clone() })
}
