//! Moving the elements of constants: slices, transposes, concatenations, and the shape rules that
//! constants and the network's own tensors share.

use super::broadcast::source_positions;
use super::budget::Budget;
use super::error::NodeProblem;
use super::node::{OnnxNode, resolve_axis};
use super::tensor::{Data, Tensor, element_count};

/// The part of one axis that a Slice keeps: `start`, `start + step`, and so on, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SliceRange {
    pub start: usize,
    pub step: i64,
    pub len: usize,
}

/// The ranges of all axes of a Slice, with negative and overlong bounds resolved.
pub(super) fn normalized_slice(
    shape: &[usize],
    starts: Option<Vec<i64>>,
    ends: Option<Vec<i64>>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
) -> Result<Vec<SliceRange>, NodeProblem> {
    let missing = NodeProblem::Constant("Slice needs starts and ends");
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(missing);
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(NodeProblem::Constant("Slice with lists of different lengths"));
    }
    let whole = |&len: &usize| SliceRange { start: 0, step: 1, len };
    let mut ranges: Vec<SliceRange> = shape.iter().map(whole).collect();
    for (i, &axis) in axes.iter().enumerate() {
        let axis = resolve_axis(axis, shape.len())?;
        ranges[axis] = slice_range(shape[axis], starts[i], ends[i], steps[i])?;
    }
    Ok(ranges)
}

fn slice_range(size: usize, start: i64, end: i64, step: i64) -> Result<SliceRange, NodeProblem> {
    if step == 0 {
        return Err(NodeProblem::Constant("Slice with a step of 0"));
    }
    let size = size as i64;
    let from_end = |i: i64| if i < 0 { i.saturating_add(size) } else { i };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let start = from_end(start).clamp(low.max(0), high.max(0));
    let end = from_end(end).clamp(low, high.max(low));
    let span = if step > 0 { end - start } else { start - end };
    let len = if span <= 0 || size == 0 { 0 } else { (span - 1) / step.saturating_abs() + 1 };
    Ok(SliceRange { start: start as usize, step, len: len as usize })
}

/// The elements of `tensor` at `positions`, in another shape.
fn pick(tensor: &Tensor, positions: &[usize], shape: Vec<usize>) -> Tensor {
    let data = match &tensor.data {
        Data::Float(v) => Data::Float(positions.iter().map(|&p| v[p]).collect()),
        Data::Int(v) => Data::Int(positions.iter().map(|&p| v[p]).collect()),
    };
    Tensor { shape, data }
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The elements at all sums of one offset an axis, the first axis outermost. `offsets` is read only
/// if there are elements at all: the axes of an empty tensor may claim any size.
fn pick_product(
    tensor: &Tensor,
    offsets: impl DoubleEndedIterator<Item = Vec<usize>>,
    shape: Vec<usize>,
) -> Tensor {
    if shape.contains(&0) {
        return pick(tensor, &[], shape);
    }
    let positions = offsets.rev().fold(vec![0], |inner, offsets| {
        offsets.iter().flat_map(|&o| inner.iter().map(move |&i| o + i)).collect()
    });
    pick(tensor, &positions, shape)
}

pub(super) fn slice(
    tensor: &Tensor,
    ranges: &[SliceRange],
    budget: &mut Budget,
) -> Result<Tensor, NodeProblem> {
    let shape: Vec<usize> = ranges.iter().map(|r| r.len).collect();
    budget.charge(element_count(&shape))?;
    let offsets = ranges.iter().zip(strides(&tensor.shape)).map(|(range, stride)| {
        let at = |i: usize| (range.start as i64 + i as i64 * range.step) as usize * stride;
        (0..range.len).map(at).collect()
    });
    Ok(pick_product(tensor, offsets, shape))
}

pub(super) fn gather(
    tensor: &Tensor,
    indices: &Tensor,
    axis: i64,
    budget: &mut Budget,
) -> Result<Tensor, NodeProblem> {
    let axis = resolve_axis(axis, tensor.shape.len())?;
    let chosen: Result<Vec<usize>, NodeProblem> =
        indices.integers()?.iter().map(|&i| resolve_axis(i, tensor.shape[axis])).collect();
    let chosen = chosen?;
    let mut shape = tensor.shape.clone();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    budget.charge(element_count(&shape))?;
    let strides = strides(&tensor.shape);
    let offsets = tensor.shape.iter().enumerate().map(|(i, &size)| {
        let along: Vec<usize> = if i == axis { chosen.clone() } else { (0..size).collect() };
        along.into_iter().map(|at| at * strides[i]).collect()
    });
    Ok(pick_product(tensor, offsets, shape))
}

/// `perm` of a Transpose, by default the reverse order.
pub(super) fn permutation(node: &OnnxNode, rank: usize) -> Result<Vec<usize>, NodeProblem> {
    match node.ints("perm") {
        None => Ok((0..rank).rev().collect()),
        Some(perm) => perm.iter().map(|&axis| resolve_axis(axis, rank)).collect(),
    }
}

pub(super) fn transpose(node: &OnnxNode, tensor: &Tensor) -> Result<Tensor, NodeProblem> {
    let rank = tensor.shape.len();
    let perm = permutation(node, rank)?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(NodeProblem::Constant("Transpose needs each axis once"));
    }
    let strides = strides(&tensor.shape);
    let offsets =
        perm.iter().map(|&axis| (0..tensor.shape[axis]).map(|i| i * strides[axis]).collect());
    let shape = perm.iter().map(|&axis| tensor.shape[axis]).collect();
    Ok(pick_product(tensor, offsets, shape))
}

pub(super) fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor, NodeProblem> {
    let mut shape = parts[0].shape.clone();
    shape[axis] = 0;
    for part in parts {
        let fits = part.shape.len() == shape.len()
            && shape.iter().zip(&part.shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            let (left, right) = (parts[0].shape.clone(), part.shape.clone());
            return Err(NodeProblem::Shapes { left, right });
        }
        shape[axis] += part.shape[axis];
    }
    let outer: usize = shape[..axis].iter().product();
    let data = if let Some(ints) = parts.iter().map(|p| p.as_ints()).collect::<Option<Vec<_>>>() {
        Data::Int(interleave(&ints, outer))
    } else {
        let floats: Vec<Vec<f32>> = parts.iter().map(|part| part.to_floats()).collect();
        Data::Float(interleave(&floats.iter().map(Vec::as_slice).collect::<Vec<_>>(), outer))
    };
    Ok(Tensor { shape, data })
}

/// Block `i` of each part in turn, for each of `outer` blocks.
fn interleave<T: Copy>(parts: &[&[T]], outer: usize) -> Vec<T> {
    let block = |part: &[T], i: usize| {
        let len = part.len() / outer.max(1);
        part[i * len..(i + 1) * len].to_vec()
    };
    (0..outer).flat_map(|i| parts.iter().flat_map(move |part| block(part, i))).collect()
}

/// `tensor` stretched to `shape`, which must be what it broadcasts to.
pub(super) fn expand(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, NodeProblem> {
    Ok(pick(tensor, &source_positions(&tensor.shape, shape), shape.to_vec()))
}

/// The output shape of Reshape, Flatten, Squeeze and Unsqueeze; `target` is their second input.
/// The caller checks that the number of elements stays the same.
pub(super) fn new_shape(
    node: &OnnxNode,
    shape: &[usize],
    target: Option<&[i64]>,
) -> Result<Vec<usize>, NodeProblem> {
    match node.op() {
        "Flatten" => flattened(node, shape),
        "Reshape" => {
            let target =
                target.or(node.ints("shape")).ok_or(NodeProblem::MissingInput { index: 1 })?;
            reshaped(shape, target, node.int("allowzero", 0) != 0)
        }
        "Squeeze" => squeezed_axes(node, shape, target).map(|axes| without(shape, &axes)),
        "Unsqueeze" => unsqueezed(node, shape, target),
        op => Err(NodeProblem::unsupported(format!("{op} of a constant"))),
    }
}

fn flattened(node: &OnnxNode, shape: &[usize]) -> Result<Vec<usize>, NodeProblem> {
    let axis = node.int("axis", 1);
    let axis =
        if axis == shape.len() as i64 { shape.len() } else { resolve_axis(axis, shape.len())? };
    let (outer, inner) = shape.split_at(axis);
    let size = |dims: &[usize]| element_count(dims).ok_or(NodeProblem::Constant("shape overflow"));
    Ok(vec![size(outer)?, size(inner)?])
}

fn reshaped(shape: &[usize], target: &[i64], allow_zero: bool) -> Result<Vec<usize>, NodeProblem> {
    let bad = || NodeProblem::Reshape { from: shape.to_vec(), to: target.to_vec() };
    let mut result = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (i, &dim) in target.iter().enumerate() {
        result.push(match dim {
            -1 if inferred.replace(i).is_none() => 1,
            0 if !allow_zero => *shape.get(i).ok_or_else(bad)?,
            dim => usize::try_from(dim).map_err(|_| bad())?,
        });
    }
    let total = element_count(shape).ok_or_else(bad)?;
    let known = element_count(&result).ok_or_else(bad)?;
    if let Some(i) = inferred {
        result[i] = total.checked_div(known).ok_or_else(bad)?;
    }
    if element_count(&result) != Some(total) {
        return Err(bad());
    }
    Ok(result)
}

/// The dimensions that a Squeeze takes away.
pub(super) fn squeezed_axes(
    node: &OnnxNode,
    shape: &[usize],
    target: Option<&[i64]>,
) -> Result<Vec<usize>, NodeProblem> {
    match target.or(node.ints("axes")) {
        Some(axes) => axes.iter().map(|&axis| resolve_axis(axis, shape.len())).collect(),
        None => Ok((0..shape.len()).filter(|&i| shape[i] == 1).collect()),
    }
}

fn without(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let kept = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i));
    kept.map(|(_, &size)| size).collect()
}

fn unsqueezed(
    node: &OnnxNode,
    shape: &[usize],
    target: Option<&[i64]>,
) -> Result<Vec<usize>, NodeProblem> {
    let axes = target.or(node.ints("axes")).ok_or(NodeProblem::MissingInput { index: 1 })?;
    let rank = shape.len() + axes.len();
    let axes: Result<Vec<usize>, NodeProblem> =
        axes.iter().map(|&axis| resolve_axis(axis, rank)).collect();
    let mut axes = axes?;
    axes.sort_unstable();
    let mut result = shape.to_vec();
    for axis in axes {
        if axis > result.len() {
            return Err(NodeProblem::Constant("Unsqueeze names an axis twice"));
        }
        result.insert(axis, 1);
    }
    Ok(result)
}
