//! Gives batch norms the statistics of what flows through them, by running the network on generated
//! images.
//!
//! What may not be broken: the same graph gets the same statistics on every machine. So sums are made one
//! after the other, in an order that depends on nothing, without fused multiplications, and images are
//! generated ones. Tests hold the networks that come of it against tract.

use rayon::prelude::*;
use values::convolution::{Convolution, convolve};

use crate::data::{InputShape, Recipe, Wanted};
use crate::graph::{BatchNorm, Conv, Graph, InputLayout, Op, Window};
use crate::images::generated;

/// Mean and deviation that pixels from 0 to 1 are brought to: ImageNet's.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// Set apart from what is calibrated and compared on.
const FIRST_IMAGE: u64 = 1 << 40;
/// Deviation of the scores from 0.
const SCORES: f64 = 3.0;
/// A channel that hardly varies is not raised without bound.
const LEAST_VARIANCE: f64 = 1e-6;

/// Channels, height, width; a vector has one pixel.
type Shape = [usize; 3];

/// One image's values, channel by channel.
type Map = Vec<f32>;

/// Runs `graph` on generated images, and sets the statistics of its batch norms and the size of its last
/// weights on the way.
pub(super) fn measure(graph: &mut Graph, seed: u64) {
    let shapes: Vec<Shape> = graph.values.iter().map(|value| shape(&value.shape)).collect();
    let last_reads = last_reads(graph);
    let classifier = graph.nodes.iter().rposition(|node| matches!(node.op, Op::Gemm { .. }));
    let mut values: Vec<Vec<Map>> = vec![Vec::new(); graph.values.len()];
    values[graph.input] = images(&shapes, shapes[graph.input], seed);
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        let input_shape = shapes[node.inputs[0]];
        if let Op::BatchNorm(norm) = &mut node.op {
            set_statistics(norm, &values[node.inputs[0]]);
        }
        let run = |op: &Op, values: &[Vec<Map>]| -> Vec<Map> {
            let images = 0..values[node.inputs[0]].len();
            let inputs = |image: usize| node.inputs.iter().map(move |&id| &values[id][image]);
            let one = |image: usize| {
                let inputs: Vec<&Map> = inputs(image).collect();
                apply(op, &inputs, input_shape, shapes[node.output])
            };
            images.into_par_iter().map(one).collect()
        };
        let mut outputs = run(&node.op, &values);
        if classifier == Some(index) {
            scale_scores(&mut node.op, &outputs);
            outputs = run(&node.op, &values);
        }
        values[node.output] = outputs;
        for &input in node.inputs.iter().filter(|&&input| last_reads[input] == index) {
            values[input] = Vec::new();
        }
    }
}

fn shape(shape: &[usize]) -> Shape {
    match *shape {
        [channels, height, width] => [channels, height, width],
        _ => [shape.iter().product(), 1, 1],
    }
}

fn last_reads(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&input| last[input] = index);
    }
    last
}

/// As many images as give the smallest map some dozen pixels; at least two.
fn images(shapes: &[Shape], [channels, height, width]: Shape, seed: u64) -> Vec<Map> {
    let areas = shapes.iter().map(|[_, height, width]| height * width);
    let smallest = areas.filter(|&area| area > 1).min().unwrap_or(1);
    let count = (4096 / (height * width)).max(64 / smallest).clamp(2, 32);
    let shape = InputShape { height, width, channels };
    let recipe = (channels == 3)
        .then(|| Recipe { mean: MEAN, std: DEVIATION, ..Recipe::default() })
        .or_else(|| shape.is_image().then(Recipe::default));
    let wanted = Wanted::in_float(shape, recipe.as_ref());
    let image = |index: usize| {
        let input = generated(seed, FIRST_IMAGE + index as u64, &wanted);
        input.in_layout(&wanted, InputLayout::Nchw)
    };
    (0..count).into_par_iter().map(image).collect()
}

/// Mean and variance of each channel over all images.
fn set_statistics(norm: &mut BatchNorm, images: &[Map]) {
    let channels = norm.mean.len();
    for channel in 0..channels {
        let values = || {
            let plane = move |map: &'_ Map| {
                let area = map.len() / channels;
                channel * area..(channel + 1) * area
            };
            images.iter().flat_map(move |map| &map[plane(map)]).map(|&value| f64::from(value))
        };
        let count = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        norm.mean[channel] = mean as f32;
        norm.variance[channel] = variance.max(LEAST_VARIANCE) as f32;
    }
}

/// Gives the scores of the last layer their deviation.
fn scale_scores(op: &mut Op, outputs: &[Map]) {
    let Op::Gemm { weight, .. } = op else { return };
    let scores = || outputs.iter().flatten().map(|&score| f64::from(score));
    let power = scores().map(|score| score * score).sum::<f64>() / scores().count().max(1) as f64;
    let factor = SCORES / power.max(LEAST_VARIANCE).sqrt();
    weight.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
}

/// What a node makes of one image.
fn apply(op: &Op, inputs: &[&Map], shape: Shape, output: Shape) -> Map {
    let input = inputs[0];
    match op {
        Op::Conv(conv) => convolve(&convolution(conv), input, shape, output),
        Op::BatchNorm(norm) => {
            let scale = |c: usize| norm.gamma[c] / (norm.variance[c] + norm.epsilon).sqrt();
            by_channel(input, shape, |c| (scale(c), norm.beta[c] - norm.mean[c] * scale(c)))
        }
        Op::Affine { scale, shift } => by_channel(input, shape, |c| (scale[c], shift[c])),
        Op::Clip { min, max } => input.iter().map(|value| value.clamp(*min, *max)).collect(),
        Op::Add => elementwise(inputs, |a, b| a + b),
        Op::Multiply => elementwise(inputs, |a, b| a * b),
        Op::Pointwise(function) => {
            let area = (shape[1] * shape[2]).max(1);
            let value = |(at, x): (usize, &f32)| function.evaluate(f64::from(*x), at / area) as f32;
            input.iter().enumerate().map(value).collect()
        }
        Op::Concat { scale, shift } => {
            let joined: Map = inputs.iter().flat_map(|part| part.iter().copied()).collect();
            by_channel(&joined, output, |c| (scale[c], shift[c]))
        }
        Op::MaxPool(window) => {
            pool(window, input, shape, output, f32::NEG_INFINITY, f32::max, |most, _| most)
        }
        Op::AveragePool { window, count_include_pad } => {
            let all = window.kernel[0] * window.kernel[1];
            let divide =
                |sum: f32, taps: usize| sum / if *count_include_pad { all } else { taps } as f32;
            pool(window, input, shape, output, 0.0, |a, b| a + b, divide)
        }
        Op::GlobalAveragePool => {
            let area = (shape[1] * shape[2]).max(1);
            input.chunks(area).map(|plane| plane.iter().sum::<f32>() / area as f32).collect()
        }
        Op::Gemm { weight, bias, inputs: columns, .. } => {
            let rows = weight.chunks_exact((*columns).max(1)).enumerate();
            rows.map(|(row, w)| dot(w, input) + bias.as_ref().map_or(0.0, |b| b[row])).collect()
        }
        Op::Pad { pads: [top, left, ..] } => place(input, shape, output, |[c, y, x]| {
            Some([c, y.checked_sub(*top)?, x.checked_sub(*left)?])
        }),
        Op::Subsample { strides, channels_before, .. } => {
            place(input, shape, output, |[c, y, x]| {
                Some([c.checked_sub(*channels_before)?, y * strides[0], x * strides[1]])
            })
        }
        Op::Flatten | Op::Softmax => input.clone(),
    }
}

/// `join` of each element of the first map and its counterpart of the second, which may have one for each
/// channel.
fn elementwise(inputs: &[&Map], join: impl Fn(f32, f32) -> f32) -> Map {
    let (a, b) = (inputs[0], inputs[1]);
    let repeats = (a.len() / b.len().max(1)).max(1);
    a.iter().enumerate().map(|(at, &a)| join(a, b[at / repeats])).collect()
}

/// `value * scale + shift` of each channel.
fn by_channel(input: &[f32], [_, height, width]: Shape, of: impl Fn(usize) -> (f32, f32)) -> Map {
    let mut output = Vec::with_capacity(input.len());
    for (channel, plane) in input.chunks((height * width).max(1)).enumerate() {
        let (scale, shift) = of(channel);
        output.extend(plane.iter().map(|value| value * scale + shift));
    }
    output
}

/// Each value of the output from one of the input, or zero.
fn place(
    input: &[f32],
    [channels, height, width]: Shape,
    output: Shape,
    from: impl Fn([usize; 3]) -> Option<[usize; 3]>,
) -> Map {
    let inside = |&[c, y, x]: &[usize; 3]| c < channels && y < height && x < width;
    let value = |at: [usize; 3]| {
        let from = from(at).filter(inside);
        from.map_or(0.0, |[c, y, x]| input[(c * height + y) * width + x])
    };
    let mut placed = Vec::with_capacity(output.iter().product());
    for c in 0..output[0] {
        for y in 0..output[1] {
            placed.extend((0..output[2]).map(|x| value([c, y, x])));
        }
    }
    placed
}

/// `end(fold, taps)` of the pixels of each window that lie inside the map.
fn pool(
    window: &Window,
    input: &[f32],
    [_, height, width]: Shape,
    output: Shape,
    start: f32,
    join: impl Fn(f32, f32) -> f32,
    end: impl Fn(f32, usize) -> f32,
) -> Map {
    let range = |at: usize, axis: usize, length: usize| {
        let first = at * window.strides[axis];
        let last = (first + window.kernel[axis]).saturating_sub(window.pads[axis]);
        first.saturating_sub(window.pads[axis])..last.min(length)
    };
    let mut pooled = Vec::with_capacity(output.iter().product());
    for plane in input.chunks((height * width).max(1)) {
        for y in 0..output[1] {
            for x in 0..output[2] {
                let (rows, columns) = (range(y, 0, height), range(x, 1, width));
                let taps = rows.len() * columns.len();
                let rows = rows.map(|row| &plane[row * width..][columns.clone()]);
                pooled.push(end(rows.flatten().fold(start, |a, &b| join(a, b)), taps));
            }
        }
    }
    pooled
}

fn convolution(conv: &Conv) -> Convolution<'_> {
    Convolution {
        weight: &conv.weight,
        bias: conv.bias.as_deref(),
        out_channels: conv.out_channels,
        groups: conv.groups,
        group_channels: conv.group_channels,
        kernel: conv.kernel,
        strides: conv.strides,
        dilations: conv.dilations,
        pads: [conv.pads[0], conv.pads[1]],
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}
