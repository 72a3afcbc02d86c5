//! Operators with weights, windows, or statistics: of images `[N, C, H, W]` and of matrices.

use values::convolution::{Convolution, convolve};

use super::{Call, Computed, Unknown, axis_of, floats, strides};

/// The value of a node; none if its operator is not one of these.
pub(super) fn compute(call: &Call<'_>) -> Option<Computed> {
    Some(match call.op() {
        "Conv" => conv(call),
        "MaxPool" | "AveragePool" => pool(call),
        "GlobalAveragePool" => {
            reduce(call, &[2, 3], true, |v| v.iter().sum::<f64>() / v.len() as f64)
        }
        "GlobalMaxPool" => reduce(call, &[2, 3], true, largest),
        "BatchNormalization" => batch_norm(call),
        "InstanceNormalization" => instance_norm(call),
        "LayerNormalization" => layer_norm(call),
        "LRN" => local_response(call),
        "Gemm" => gemm(call),
        "MatMul" => matmul(call),
        "Softmax" | "LogSoftmax" => softmax(call),
        op if op.starts_with("Reduce") => reduction(call),
        _ => return None,
    })
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Batch of one, channels, height, width.
fn image(shape: &[usize]) -> Result<[usize; 3], Unknown> {
    match *shape {
        [1, channels, height, width] => Ok([channels, height, width]),
        _ => Err(Unknown),
    }
}

/// How a window moves over rows and columns.
struct Sweep {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Top, left, bottom, right.
    pads: [usize; 4],
    output: [usize; 2],
}

fn pair(call: &Call<'_>, name: &str) -> Result<Option<[usize; 2]>, Unknown> {
    let Some(attribute) = call.attribute(name) else { return Ok(None) };
    match attribute.ints.as_slice() {
        &[a, b] if a > 0 && b > 0 => Ok(Some([a as usize, b as usize])),
        _ => Err(Unknown),
    }
}

impl Sweep {
    fn read(call: &Call<'_>, kernel: [usize; 2], input: [usize; 2]) -> Result<Self, Unknown> {
        let strides = pair(call, "strides")?.unwrap_or([1, 1]);
        let dilations = pair(call, "dilations")?.unwrap_or([1, 1]);
        let extent = [0, 1].map(|axis| (kernel[axis] - 1) * dilations[axis] + 1);
        let given = call.attribute("pads").map(|attribute| attribute.ints.as_slice());
        let mut pads: [usize; 4] = match given {
            None => [0; 4],
            Some(&[a, b, c, d]) if [a, b, c, d].iter().all(|&pad| pad >= 0) => {
                [a, b, c, d].map(|pad| pad as usize)
            }
            _ => return Err(Unknown),
        };
        let mode = call.text("auto_pad");
        match mode {
            b"" | b"NOTSET" => {}
            b"VALID" => pads = [0; 4],
            b"SAME_UPPER" | b"SAME_LOWER" => {
                for axis in 0..2 {
                    let output = input[axis].div_ceil(strides[axis]);
                    let total =
                        ((output - 1) * strides[axis] + extent[axis]).saturating_sub(input[axis]);
                    let (less, more) = (total / 2, total - total / 2);
                    let upper = mode == b"SAME_UPPER";
                    (pads[axis], pads[axis + 2]) = if upper { (less, more) } else { (more, less) };
                }
            }
            _ => return Err(Unknown),
        }
        let round_up = call.int("ceil_mode", 0) != 0 && !mode.starts_with(b"SAME");
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = input[axis] + pads[axis] + pads[axis + 2];
            let span = padded.checked_sub(extent[axis]).ok_or(Unknown)?;
            output[axis] =
                if round_up { span.div_ceil(strides[axis]) } else { span / strides[axis] } + 1;
            // No window starts in the padding behind.
            if round_up && (output[axis] - 1) * strides[axis] >= input[axis] + pads[axis] {
                output[axis] -= 1;
            }
        }
        Ok(Self { kernel, strides, dilations, pads, output })
    }
}

fn conv(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let (weight, weights) = call.floats(1)?;
    let bias = match call.optional(2) {
        Some(_) => Some(call.floats(2)?.0),
        None => None,
    };
    let [channels, height, width] = image(shape)?;
    let &[out_channels, group_channels, rows, columns] = weights else { return Err(Unknown) };
    let groups = usize::try_from(call.int("group", 1)).map_err(|_| Unknown)?;
    if groups == 0 || groups * group_channels != channels || out_channels % groups != 0 {
        return Err(Unknown);
    }
    let sweep = Sweep::read(call, [rows, columns], [height, width])?;
    let conv = Convolution {
        weight,
        bias,
        out_channels,
        groups,
        group_channels,
        kernel: sweep.kernel,
        strides: sweep.strides,
        dilations: sweep.dilations,
        pads: [sweep.pads[0], sweep.pads[1]],
    };
    let [high, wide] = sweep.output;
    let values = convolve(&conv, input, [channels, height, width], [out_channels, high, wide]);
    Ok(floats(vec![1, out_channels, high, wide], values))
}

fn pool(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let [channels, height, width] = image(shape)?;
    let kernel = pair(call, "kernel_shape")?.ok_or(Unknown)?;
    let sweep = Sweep::read(call, kernel, [height, width])?;
    let is_max = call.op() == "MaxPool";
    if call.node.output.len() > 1 || call.int("storage_order", 0) != 0 {
        return Err(Unknown);
    }
    let count_pads = call.int("count_include_pad", 0) != 0;
    let [high, wide] = sweep.output;
    let mut values = Vec::with_capacity(channels * high * wide);
    for channel in 0..channels {
        let plane = &input[channel * height * width..][..height * width];
        for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
            let (mut sum, mut most, mut count) = (0.0, f64::NEG_INFINITY, 0);
            for (i, j) in (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j))) {
                let row = y * sweep.strides[0] + i * sweep.dilations[0];
                let column = x * sweep.strides[1] + j * sweep.dilations[1];
                let inside = row.checked_sub(sweep.pads[0]).zip(column.checked_sub(sweep.pads[1]));
                match inside.filter(|&(row, column)| row < height && column < width) {
                    Some((row, column)) => {
                        let value = f64::from(plane[row * width + column]);
                        (sum, most, count) = (sum + value, most.max(value), count + 1);
                    }
                    // What rounding up adds behind the padding does not count.
                    None => {
                        let rows = height + sweep.pads[0] + sweep.pads[2];
                        let columns = width + sweep.pads[1] + sweep.pads[3];
                        count += usize::from(count_pads && row < rows && column < columns);
                    }
                }
            }
            values.push(if is_max { most } else { sum / count as f64 } as f32);
        }
    }
    Ok(floats(vec![1, channels, high, wide], values))
}

/// Applies `scale[c] * x + shift[c]` along axis 1.
fn affine(values: &[f32], shape: &[usize], factors: &[(f64, f64)]) -> Computed {
    let area: usize = shape[2..].iter().product();
    let channel = |at: usize| factors[at / area.max(1) % shape[1]];
    let values = values.iter().enumerate().map(|(at, &value)| {
        let (scale, shift) = channel(at);
        (scale * f64::from(value) + shift) as f32
    });
    Ok(floats(shape.to_vec(), values.collect()))
}

fn batch_norm(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let by_batch = match call.opset {
        ..7 => call.int("is_test", 0) == 0,
        7..14 => call.node.output.iter().filter(|name| !name.is_empty()).count() > 1,
        _ => call.int("training_mode", 0) != 0,
    };
    let mut parameters = Vec::with_capacity(4);
    for index in 1..5 {
        parameters.push(call.floats(index)?.0);
    }
    let channels = shape.get(1).copied().ok_or(Unknown)?;
    if by_batch || parameters.iter().any(|values| values.len() != channels) {
        return Err(Unknown);
    }
    let epsilon = call.float("epsilon", 1e-5);
    let factor = |channel: usize| {
        let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|i| f64::from(parameters[i][channel]));
        let scale = gamma / (variance + epsilon).sqrt();
        (scale, beta - mean * scale)
    };
    let factors: Vec<_> = (0..channels).map(factor).collect();
    affine(input, shape, &factors)
}

fn instance_norm(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let [channels, height, width] = image(shape)?;
    let (gamma, beta) = (call.floats(1)?.0, call.floats(2)?.0);
    if gamma.len() != channels || beta.len() != channels {
        return Err(Unknown);
    }
    let epsilon = call.float("epsilon", 1e-5);
    let planes = input.chunks_exact((height * width).max(1));
    let factors = planes.zip(gamma.iter().zip(beta)).map(|(plane, (&gamma, &beta))| {
        let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
        let variance =
            plane.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / plane.len() as f64;
        let scale = f64::from(gamma) / (variance + epsilon).sqrt();
        (scale, f64::from(beta) - mean * scale)
    });
    affine(input, shape, &factors.collect::<Vec<_>>())
}

/// Statistics of all elements from an axis on.
fn layer_norm(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let axis = axis_of(call.int("axis", -1), shape.len())?;
    let count: usize = shape[axis..].iter().product();
    let scale = call.floats(1)?.0;
    let bias = match call.optional(2) {
        Some(_) => call.floats(2)?.0.to_vec(),
        None => vec![0.0; count],
    };
    if count == 0 || scale.len() != count || bias.len() != count {
        return Err(Unknown);
    }
    let epsilon = call.float("epsilon", 1e-5);
    let mut values = Vec::with_capacity(input.len());
    for run in input.chunks_exact(count) {
        let mean = run.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64;
        let variance =
            run.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count as f64;
        let spread = (variance + epsilon).sqrt();
        let factors =
            scale.iter().zip(&bias).map(|(&scale, &bias)| (f64::from(scale), f64::from(bias)));
        let normal = run.iter().map(|&v| (f64::from(v) - mean) / spread);
        values.extend(normal.zip(factors).map(|(v, (scale, bias))| (v * scale + bias) as f32));
    }
    Ok(floats(shape.to_vec(), values))
}

/// Divides by a power of the squares of neighbouring channels.
fn local_response(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let [channels, height, width] = image(shape)?;
    let size = usize::try_from(call.int("size", 0)).ok().filter(|&size| size > 0).ok_or(Unknown)?;
    let (alpha, beta, bias) =
        (call.float("alpha", 1e-4), call.float("beta", 0.75), call.float("bias", 1.0));
    let area = height * width;
    let value = |at: usize| {
        let (channel, pixel) = (at / area, at % area);
        let first = channel.saturating_sub((size - 1) / 2);
        let last = (channel + size / 2).min(channels - 1);
        let squares: f64 = (first..=last).map(|c| f64::from(input[c * area + pixel]).powi(2)).sum();
        (f64::from(input[at]) / (bias + alpha / size as f64 * squares).powf(beta)) as f32
    };
    Ok(floats(shape.to_vec(), (0..input.len()).map(value).collect()))
}

fn gemm(call: &Call<'_>) -> Computed {
    let ((a, a_shape), (b, b_shape)) = (call.floats(0)?, call.floats(1)?);
    let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a_shape, b_shape) else {
        return Err(Unknown);
    };
    let (turn_a, turn_b) = (call.int("transA", 0) != 0, call.int("transB", 0) != 0);
    let (rows, inner) = if turn_a { (a_columns, a_rows) } else { (a_rows, a_columns) };
    let (other, columns) = if turn_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if inner != other {
        return Err(Unknown);
    }
    let left =
        |row: usize, k: usize| if turn_a { a[k * a_columns + row] } else { a[row * a_columns + k] };
    let right = |k: usize, column: usize| {
        if turn_b { b[column * b_columns + k] } else { b[k * b_columns + column] }
    };
    let alpha = call.float("alpha", 1.0);
    let mut values = Vec::with_capacity(rows * columns);
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let sum: f64 =
            (0..inner).map(|k| f64::from(left(row, k)) * f64::from(right(k, column))).sum();
        values.push((alpha * sum) as f32);
    }
    let product = floats(vec![rows, columns], values);
    if call.optional(2).is_none() {
        return Ok(product);
    }
    if call.opset < 7 {
        return Err(Unknown);
    }
    let beta = call.float("beta", 1.0);
    super::elementwise::broadcast(&product, call.input(2)?, |product, c| product + beta * c)
}

/// A product with a matrix on the right, or of two matrices.
fn matmul(call: &Call<'_>) -> Computed {
    let ((a, a_shape), (b, b_shape)) = (call.floats(0)?, call.floats(1)?);
    let &[inner, columns] = b_shape else { return Err(Unknown) };
    if a_shape.len() < 2 || a_shape.last() != Some(&inner) {
        return Err(Unknown);
    }
    let mut values = Vec::new();
    for row in a.chunks_exact(inner.max(1)) {
        for column in 0..columns {
            let terms = row.iter().enumerate();
            let sum: f64 =
                terms.map(|(k, &v)| f64::from(v) * f64::from(b[k * columns + column])).sum();
            values.push(sum as f32);
        }
    }
    let mut shape = a_shape.to_vec();
    shape.pop();
    shape.push(columns);
    Ok(floats(shape, values))
}

fn softmax(call: &Call<'_>) -> Computed {
    let (input, shape) = call.floats(0)?;
    let new = call.opset >= 13;
    let axis = axis_of(call.int("axis", if new { -1 } else { 1 }), shape.len())?;
    // Before operator set 13 all from the axis on are one.
    let behind: usize = if new { shape[axis + 1..].iter().product() } else { 1 };
    let count: usize = if new { shape[axis] } else { shape[axis..].iter().product() };
    let mut values = input.to_vec();
    let runs = input.len() / (count * behind).max(1);
    for (run, offset) in (0..runs).flat_map(|run| (0..behind).map(move |offset| (run, offset))) {
        let place = |k: usize| (run * count + k) * behind + offset;
        let most = (0..count).map(|k| f64::from(input[place(k)])).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (0..count).map(|k| (f64::from(input[place(k)]) - most).exp()).sum();
        for k in 0..count {
            let above = f64::from(input[place(k)]) - most;
            let value =
                if call.op() == "Softmax" { above.exp() / total } else { above - total.ln() };
            values[place(k)] = value as f32;
        }
    }
    Ok(floats(shape.to_vec(), values))
}

fn reduction(call: &Call<'_>) -> Computed {
    let keep = call.int("keepdims", 1) != 0;
    let rank = call.floats(0)?.1.len();
    let axes = match call.ints(1, "axes")? {
        Some(axes) if !axes.is_empty() => axes,
        _ if call.int("noop_with_empty_axes", 0) != 0 => return Err(Unknown),
        _ => (0..rank as i64).collect(),
    };
    let axes = axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let of: fn(&[f64]) -> f64 = match call.op() {
        "ReduceMean" => |v| v.iter().sum::<f64>() / v.len() as f64,
        "ReduceSum" => |v| v.iter().sum(),
        "ReduceMax" => largest,
        "ReduceMin" => |v| v.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceProd" => |v| v.iter().product(),
        "ReduceL1" => |v| v.iter().map(|v| v.abs()).sum(),
        "ReduceL2" => |v| v.iter().map(|v| v * v).sum::<f64>().sqrt(),
        "ReduceSumSquare" => |v| v.iter().map(|v| v * v).sum(),
        _ => return Err(Unknown),
    };
    reduce(call, &axes, keep, of)
}

fn reduce(call: &Call<'_>, axes: &[usize], keep: bool, of: impl Fn(&[f64]) -> f64) -> Computed {
    let (input, shape) = call.floats(0)?;
    if axes.iter().any(|&axis| axis >= shape.len()) {
        return Err(Unknown);
    }
    let reduced: Vec<usize> = shape
        .iter()
        .enumerate()
        .map(|(axis, &size)| if axes.contains(&axis) { 1 } else { size })
        .collect();
    let (own, target) = (strides(shape), strides(&reduced));
    let mut groups = vec![Vec::new(); reduced.iter().product()];
    for (at, &value) in input.iter().enumerate() {
        let place = (0..shape.len()).filter(|axis| !axes.contains(axis));
        let place: usize = place.map(|axis| at / own[axis] % shape[axis] * target[axis]).sum();
        groups[place].push(f64::from(value));
    }
    let values = groups.iter().map(|group| of(group) as f32).collect();
    let kept = |(axis, size): (usize, usize)| (keep || !axes.contains(&axis)).then_some(size);
    Ok(floats(reduced.into_iter().enumerate().filter_map(kept).collect(), values))
}
