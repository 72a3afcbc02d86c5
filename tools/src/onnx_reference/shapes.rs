//! Operators that move, cut and join, and what makes constants.

use super::{Call, Computed, Unknown, axis_of, indices, strides};
use crate::import::{Data, MAX_VALUE_ELEMENTS, Tensor};

/// The value of a node; none if its operator is not one of these.
pub(super) fn compute(call: &Call<'_>) -> Option<Computed> {
    Some(match call.op() {
        "Constant" => constant(call),
        "Shape" => shape(call),
        "Size" => size(call),
        "ConstantOfShape" => constant_of_shape(call),
        "Expand" => expand(call),
        // Nothing happens in inference.
        "Identity" | "Dropout" => call.input(0).cloned(),
        "CastLike" => cast_like(call),
        "Cast" => cast(call),
        "Reshape" => reshape(call),
        "Flatten" => flatten(call),
        "Squeeze" | "Unsqueeze" => singles(call),
        "Transpose" => transpose(call),
        "Concat" => concat(call),
        "Slice" => slice(call),
        "Gather" => gather(call),
        "Pad" => pad(call),
        "DepthToSpace" => depth_to_space(call),
        "Resize" => resize(call),
        _ => return None,
    })
}

/// The elements of `tensor` at these places; none is 0.
fn pick(tensor: &Tensor, shape: Vec<usize>, places: impl Iterator<Item = Option<usize>>) -> Tensor {
    let data = match &tensor.data {
        Data::Float(v) => Data::Float(places.map(|at| at.map_or(0.0, |at| v[at])).collect()),
        Data::Int(v) => Data::Int(places.map(|at| at.map_or(0, |at| v[at])).collect()),
    };
    Tensor { shape, data }
}

fn with_shape(tensor: &Tensor, shape: Vec<usize>) -> Computed {
    let same = shape.iter().product::<usize>() == tensor.len();
    if same { Ok(Tensor { shape, data: tensor.data.clone() }) } else { Err(Unknown) }
}

fn constant(call: &Call<'_>) -> Computed {
    let attribute = call.node.attribute.first().ok_or(Unknown)?;
    match (attribute.name.as_str(), &attribute.t) {
        ("value", Some(proto)) => Tensor::read(proto).map_err(|_| Unknown),
        ("value_int", _) => Ok(Tensor::int(attribute.i)),
        ("value_ints", _) => Ok(Tensor::ints(attribute.ints.clone())),
        ("value_float", _) => Ok(Tensor::float(attribute.f)),
        ("value_floats", _) => Ok(Tensor::floats(attribute.floats.clone())),
        _ => Err(Unknown),
    }
}

fn shape(call: &Call<'_>) -> Computed {
    let shape = &call.input(0)?.shape;
    let rank = shape.len() as i64;
    let end = |name: &str, default: i64| {
        let end = call.int(name, default);
        (if end < 0 { end + rank } else { end }).clamp(0, rank) as usize
    };
    let dims = shape.get(end("start", 0)..end("end", rank)).unwrap_or_default();
    Ok(Tensor::ints(dims.iter().map(|&size| size as i64).collect()))
}

fn size(call: &Call<'_>) -> Computed {
    Ok(Tensor::int(call.input(0)?.shape.iter().product::<usize>() as i64))
}

fn sizes(tensor: &Tensor) -> Result<Vec<usize>, Unknown> {
    let sizes = tensor.as_ints().ok_or(Unknown)?;
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|&size| usize::try_from(size))
        .collect::<Result<_, _>>()
        .map_err(|_| Unknown)?;
    // The import refused larger ones.
    let elements = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if elements.is_some_and(|elements| elements <= MAX_VALUE_ELEMENTS) {
        Ok(sizes)
    } else {
        Err(Unknown)
    }
}

/// One value everywhere; 0 where none is said.
fn constant_of_shape(call: &Call<'_>) -> Computed {
    let shape = sizes(call.input(0)?)?;
    let value = match call.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(proto) => Tensor::read(proto).map_err(|_| Unknown)?,
        None => Tensor::float(0.0),
    };
    if value.len() != 1 {
        return Err(Unknown);
    }
    let len = shape.iter().product();
    Ok(pick(&value, shape, std::iter::repeat_n(Some(0), len)))
}

/// Repeats along axes of one element.
fn expand(call: &Call<'_>) -> Computed {
    let (tensor, wanted) = (call.input(0)?, sizes(call.input(1)?)?);
    let rank = tensor.shape.len().max(wanted.len());
    let widened = |shape: &[usize]| [&vec![1; rank - shape.len()], shape].concat();
    let (own, wanted) = (widened(&tensor.shape), widened(&wanted));
    let shape: Vec<usize> =
        own.iter().zip(&wanted).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
    if own.iter().zip(&wanted).any(|(&a, &b)| a != b && a != 1 && b != 1) {
        return Err(Unknown);
    }
    let steps = strides(&own);
    let places = indices(&shape).map(|index| {
        Some((0..rank).map(|axis| if own[axis] == 1 { 0 } else { index[axis] * steps[axis] }).sum())
    });
    Ok(pick(tensor, shape.clone(), places))
}

fn cast_like(call: &Call<'_>) -> Computed {
    let (tensor, like) = (call.input(0)?, call.input(1)?);
    match (&tensor.data, &like.data) {
        (_, Data::Float(_)) => {
            Ok(Tensor { shape: tensor.shape.clone(), data: Data::Float(tensor.to_floats()) })
        }
        (Data::Int(_), Data::Int(_)) => Ok(tensor.clone()),
        _ => Err(Unknown),
    }
}

/// To a float of any width, and from integers to wide ones that hold them; other types are not known.
fn cast(call: &Call<'_>) -> Computed {
    use tract_onnx::pb::tensor_proto::DataType::{Bfloat16, Double, Float, Float16, Int32, Int64};
    let tensor = call.input(0)?;
    let to = call.int("to", 0);
    if [Float, Float16, Bfloat16, Double].iter().any(|&kind| to == i64::from(kind as i32)) {
        return Ok(Tensor { shape: tensor.shape.clone(), data: Data::Float(tensor.to_floats()) });
    }
    let integers = tensor.as_ints().ok_or(Unknown)?;
    let narrow = integers.iter().all(|&value| i32::try_from(value).is_ok());
    let wide_enough = to == i64::from(Int64 as i32) || (narrow && to == i64::from(Int32 as i32));
    if wide_enough { Ok(tensor.clone()) } else { Err(Unknown) }
}

fn reshape(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let wanted = call.ints(1, "shape")?.ok_or(Unknown)?;
    let copy = call.int("allowzero", 0) == 0;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            -1 => 1,
            0 if copy => *tensor.shape.get(axis).ok_or(Unknown)?,
            size => usize::try_from(size).map_err(|_| Unknown)?,
        });
    }
    if let Some(open) = wanted.iter().position(|&size| size == -1) {
        shape[open] = tensor.len() / shape.iter().product::<usize>().max(1);
    }
    with_shape(tensor, shape)
}

fn flatten(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let rank = tensor.shape.len();
    let axis = match call.int("axis", 1) {
        axis if axis == rank as i64 => rank,
        axis => axis_of(axis, rank)?,
    };
    let (front, back) = tensor.shape.split_at(axis);
    with_shape(tensor, vec![front.iter().product(), back.iter().product()])
}

/// Takes dimensions of 1 away, or puts them in.
fn singles(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let axes = call.ints(1, "axes")?;
    let mut shape = tensor.shape.clone();
    if call.op() == "Squeeze" {
        let rank = shape.len();
        let axes = match axes {
            Some(axes) => {
                axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?
            }
            None => (0..rank).filter(|&axis| shape[axis] == 1).collect(),
        };
        let kept = (0..rank).filter(|axis| !axes.contains(axis));
        return with_shape(tensor, kept.map(|axis| tensor.shape[axis]).collect());
    }
    let axes = axes.ok_or(Unknown)?;
    let rank = shape.len() + axes.len();
    let mut axes =
        axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    for axis in axes {
        if axis > shape.len() {
            return Err(Unknown);
        }
        shape.insert(axis, 1);
    }
    with_shape(tensor, shape)
}

fn transpose(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let rank = tensor.shape.len();
    let order = match call.attribute("perm") {
        Some(attribute) => {
            attribute.ints.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank {
        return Err(Unknown);
    }
    let own = strides(&tensor.shape);
    let shape: Vec<usize> = order.iter().map(|&axis| tensor.shape[axis]).collect();
    let places = indices(&shape)
        .map(|index| Some(index.iter().zip(&order).map(|(i, &axis)| i * own[axis]).sum()));
    Ok(pick(tensor, shape.clone(), places))
}

fn concat(call: &Call<'_>) -> Computed {
    let first = call.input(0)?;
    let axis =
        axis_of(call.attribute("axis").map_or(1, |attribute| attribute.i), first.shape.len())?;
    let outer: usize = first.shape[..axis].iter().product();
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    let mut parts = Vec::with_capacity(call.inputs.len());
    for index in 0..call.inputs.len() {
        let part = call.input(index)?;
        let fits = part.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis || part.shape[i] == shape[i])
            && part.as_ints().is_some() == first.as_ints().is_some();
        if !fits {
            return Err(Unknown);
        }
        shape[axis] += part.shape[axis];
        parts.push(part);
    }
    let (mut reals, mut integers) = (Vec::new(), Vec::new());
    for run in 0..outer {
        for part in &parts {
            let len: usize = part.shape[axis..].iter().product();
            match &part.data {
                Data::Float(values) => reals.extend(&values[run * len..][..len]),
                Data::Int(values) => integers.extend(&values[run * len..][..len]),
            }
        }
    }
    let data = if first.as_ints().is_some() { Data::Int(integers) } else { Data::Float(reals) };
    Ok(Tensor { shape, data })
}

fn slice(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let rank = tensor.shape.len();
    let starts = call.ints(1, "starts")?.ok_or(Unknown)?;
    let ends = call.ints(2, "ends")?.ok_or(Unknown)?;
    let axes = call.ints(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.ints(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(Unknown);
    }
    let (mut first, mut every) = (vec![0; rank], vec![1; rank]);
    let mut shape = tensor.shape.clone();
    for (at, &axis) in axes.iter().enumerate() {
        let axis = axis_of(axis, rank)?;
        let (size, step) = (tensor.shape[axis] as i64, steps[at]);
        if size == 0 {
            return Err(Unknown);
        }
        // Backwards a range may end before the first element.
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let clamp = |end: i64, low: i64| {
            (if end < 0 { end.saturating_add(size) } else { end }).clamp(low, high)
        };
        let (start, end) = (clamp(starts[at], 0), clamp(ends[at], low));
        (first[axis], every[axis]) = (start, step);
        let span = if step > 0 { end - start } else { start - end };
        shape[axis] = (span.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
    }
    let own = strides(&tensor.shape);
    let places = indices(&shape).map(|index| {
        let along = |axis: usize| first[axis] + index[axis] as i64 * every[axis];
        Some((0..rank).map(|axis| along(axis) as usize * own[axis]).sum())
    });
    Ok(pick(tensor, shape.clone(), places))
}

/// Of constant indices along an axis.
fn gather(call: &Call<'_>) -> Computed {
    let (tensor, chosen) = (call.input(0)?, call.input(1)?);
    let axis = axis_of(call.int("axis", 0), tensor.shape.len())?;
    let size = tensor.shape[axis];
    let list = chosen.as_ints().ok_or(Unknown)?;
    let list = list.iter().map(|&index| axis_of(index, size)).collect::<Result<Vec<_>, _>>()?;
    let behind: usize = tensor.shape[axis + 1..].iter().product();
    let outer: usize = tensor.shape[..axis].iter().product();
    let shape = [&tensor.shape[..axis], &chosen.shape, &tensor.shape[axis + 1..]].concat();
    let places = (0..outer).flat_map(|run| {
        list.iter().flat_map(move |&index| {
            (0..behind).map(move |offset| Some((run * size + index) * behind + offset))
        })
    });
    Ok(pick(tensor, shape, places))
}

/// With a constant, the edge, or a reflection; negative pads crop.
fn pad(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let rank = tensor.shape.len();
    let value = match call.optional(2) {
        Some(value) => value.to_floats().first().copied().unwrap_or(0.0),
        None => call.float("value", 0.0) as f32,
    };
    let mode = call.text("mode");
    let pads = call.ints(1, if call.opset < 2 { "paddings" } else { "pads" })?.ok_or(Unknown)?;
    let axes = call.ints(3, "")?.unwrap_or_else(|| (0..rank as i64).collect());
    if pads.len() != 2 * axes.len() || !matches!(mode, b"" | b"constant" | b"edge" | b"reflect") {
        return Err(Unknown);
    }
    let (mut before, mut shape) = (vec![0; rank], tensor.shape.clone());
    for (at, &axis) in axes.iter().enumerate() {
        let axis = axis_of(axis, rank)?;
        before[axis] = pads[at];
        let size = tensor.shape[axis] as i64 + pads[at] + pads[at + axes.len()];
        shape[axis] = usize::try_from(size).map_err(|_| Unknown)?;
        let most = pads[at].max(pads[at + axes.len()]);
        if mode == b"reflect" && most >= tensor.shape[axis] as i64 {
            return Err(Unknown);
        }
    }
    let own = strides(&tensor.shape);
    let places = indices(&shape).map(|index| {
        (0..rank).try_fold(0, |place, axis| {
            let (at, last) = (index[axis] as i64 - before[axis], tensor.shape[axis] as i64 - 1);
            let at = match mode {
                b"edge" => at.clamp(0, last),
                b"reflect" => last - (last - at.abs()).abs(),
                _ => at,
            };
            let at = usize::try_from(at).ok()?;
            (at < tensor.shape[axis]).then_some(place + at * own[axis])
        })
    });
    if let Data::Float(values) = &tensor.data {
        let padded = places.map(|at| at.map_or(value, |at| values[at])).collect();
        return Ok(Tensor { shape: shape.clone(), data: Data::Float(padded) });
    }
    Err(Unknown)
}

fn depth_to_space(call: &Call<'_>) -> Computed {
    let tensor = call.input(0)?;
    let &[1, channels, height, width] = tensor.shape.as_slice() else { return Err(Unknown) };
    let block =
        usize::try_from(call.int("blocksize", 0)).ok().filter(|&block| block > 0).ok_or(Unknown)?;
    let depth = channels / (block * block);
    let shape = vec![1, depth, height * block, width * block];
    let by_column = call.text("mode") == b"CRD";
    let places = indices(&shape).map(|index| {
        let (c, inside) = (index[1], index[2] % block * block + index[3] % block);
        let channel = if by_column { c * block * block + inside } else { inside * depth + c };
        Some((channel * height + index[2] / block) * width + index[3] / block)
    });
    Ok(pick(tensor, shape.clone(), places))
}

/// Of an image, to the nearest pixel below or between two pixels, by factors of operator set 11 and later.
fn resize(call: &Call<'_>) -> Computed {
    let (values, shape) = call.floats(0)?;
    let &[1, channels, height, width] = shape else { return Err(Unknown) };
    let factors = match (call.optional(2), call.optional(3)) {
        (Some(factors), None) => factors.to_floats(),
        _ => return Err(Unknown),
    };
    let &[1.0, 1.0, vertical, horizontal] = factors.as_slice() else { return Err(Unknown) };
    let (is_linear, mode) =
        (call.text("mode") == b"linear", call.text("coordinate_transformation_mode"));
    let below = call.text("nearest_mode") == b"floor";
    let plain = ["antialias", "exclude_outside"].iter().all(|name| call.int(name, 0) == 0);
    let known =
        matches!(mode, b"" | b"half_pixel" | b"asymmetric") && (is_linear || below) && plain;
    if call.opset < 11 || !known || call.attribute("axes").is_some() {
        return Err(Unknown);
    }
    // Two pixels along an axis and the share of the second, for each pixel of the result.
    let places = |size: usize, factor: f32| -> Vec<(usize, usize, f64)> {
        let factor = f64::from(factor);
        let place = |at: usize| {
            let place = match mode {
                b"asymmetric" => at as f64 / factor,
                _ => (at as f64 + 0.5) / factor - 0.5,
            };
            let place = place.clamp(0.0, size as f64 - 1.0);
            let first = place.floor();
            let share = if is_linear { place - first } else { 0.0 };
            (first as usize, (first as usize + 1).min(size - 1), share)
        };
        (0..(size as f64 * factor).floor() as usize).map(place).collect()
    };
    let (rows, columns) = (places(height, vertical), places(width, horizontal));
    let mut result = Vec::with_capacity(channels * rows.len() * columns.len());
    for plane in values.chunks_exact((height * width).max(1)) {
        let value = |row: usize, column: usize| f64::from(plane[row * width + column]);
        for (&(top, bottom, down), &(left, right, across)) in
            rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)))
        {
            let along = |row| value(row, left) * (1.0 - across) + value(row, right) * across;
            result.push((along(top) * (1.0 - down) + along(bottom) * down) as f32);
        }
    }
    Ok(super::floats(vec![1, channels, rows.len(), columns.len()], result))
}
