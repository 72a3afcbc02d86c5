//! The convolutions of the networks that the project knows, each shape once, and random ones.

use fixnet::kernels::ConvShape;

use super::Random;

/// A square window with a border that keeps the extent at stride 1.
pub fn layer(
    extent: usize,
    (in_c, out_c): (usize, usize),
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvShape {
    let pad = kernel / 2;
    let out = (extent + 2 * pad - kernel) / stride + 1;
    ConvShape {
        input: [extent, extent, in_c],
        output: [out, out, out_c],
        kernel: [kernel; 2],
        strides: [stride; 2],
        pads: [pad; 4],
        dilations: [1; 2],
        groups,
        input_zero_point: -7,
        // As behind a ReLU on seven bits, for which there is a layout of its own.
        input_range: (-7, 120),
    }
}

/// ResNet-18, -34 and -50 at 224, ResNet-20, -56 and -8 at 32, MobileNetV2 and VGG-16 and -19 at 224.
pub fn networks() -> Vec<ConvShape> {
    let mut shapes = Vec::new();
    resnets(&mut shapes);
    small_resnets(&mut shapes);
    mobilenet_v2(&mut shapes);
    vgg(&mut shapes);
    let mut distinct = Vec::new();
    for shape in shapes {
        if !distinct.contains(&shape) {
            distinct.push(shape);
        }
    }
    distinct
}

/// The same convolutions on the smallest square maps with `least` multiply-accumulates, whose output has at
/// most `extent` rows and columns.
pub fn networks_worth(least: usize, extent: usize) -> Vec<ConvShape> {
    let mut distinct = Vec::new();
    for shape in networks() {
        let mut within = (1..=extent).map(|extent| on_map(shape, extent));
        let small = within.clone().find(|small| macs(small) >= least).or(within.next_back());
        let small = small.filter(|small| !distinct.contains(small));
        distinct.extend(small);
    }
    distinct
}

/// The convolution to a map of `extent` rows and columns.
fn on_map(shape: ConvShape, extent: usize) -> ConvShape {
    let [top, left, bottom, right] = shape.pads;
    let input = |axis: usize, pads: usize| {
        ((extent - 1) * shape.strides[axis] + shape.kernel[axis]).saturating_sub(pads).max(1)
    };
    let input = [input(0, top + bottom), input(1, left + right), shape.input[2]];
    let out = |axis: usize, pads: usize| {
        (input[axis] + pads - shape.kernel[axis]) / shape.strides[axis] + 1
    };
    let output = [out(0, top + bottom), out(1, left + right), shape.output[2]];
    ConvShape { input, output, ..shape }
}

/// The convolution to fewer rows, if it has more than `most` multiply-accumulates.
pub fn with_fewer_rows(shape: ConvShape, most: usize) -> ConvShape {
    let row = macs(&shape) / shape.output[0];
    let rows = shape.output[0].min(most / row).max(1);
    if rows == shape.output[0] {
        return shape;
    }
    let window = (rows - 1) * shape.strides[0] + shape.kernel[0];
    let input = window.saturating_sub(shape.pads[0] + shape.pads[2]).max(1);
    let [_, width, channels] = shape.output;
    let output = [
        (input + shape.pads[0] + shape.pads[2] - shape.kernel[0]) / shape.strides[0] + 1,
        width,
        channels,
    ];
    ConvShape { input: [input, shape.input[1], shape.input[2]], output, ..shape }
}

fn macs(shape: &ConvShape) -> usize {
    shape.output.iter().product::<usize>() * shape.patch_len()
}

/// Basic blocks, and bottlenecks with the stride in the second or in the first convolution.
fn resnets(shapes: &mut Vec<ConvShape>) {
    shapes.push(layer(224, (3, 64), 7, 2, 1));
    for (stage, extent) in [56, 28, 14, 7].into_iter().enumerate() {
        let (c, stride) = (64 << stage, if stage == 0 { 1 } else { 2 });
        let from = extent * stride;
        // What the stage before gives: of basic blocks, and of bottlenecks.
        let (basic, wide) = if stage == 0 { (c, c) } else { (c / 2, 2 * c) };
        shapes.extend([
            layer(from, (basic, c), 3, stride, 1),
            layer(extent, (c, c), 3, 1, 1),
            layer(from, (basic, c), 1, stride, 1),
            layer(from, (wide, c), 1, 1, 1),
            layer(from, (c, c), 3, stride, 1),
            layer(from, (wide, c), 1, stride, 1),
            layer(extent, (c, 4 * c), 1, 1, 1),
            layer(from, (wide, 4 * c), 1, stride, 1),
            layer(extent, (4 * c, c), 1, 1, 1),
        ]);
    }
}

fn small_resnets(shapes: &mut Vec<ConvShape>) {
    shapes.push(layer(32, (3, 16), 3, 1, 1));
    shapes.push(layer(32, (16, 16), 3, 1, 1));
    for (extent, c) in [(32, 16), (16, 32)] {
        shapes.extend([
            layer(extent, (c, 2 * c), 3, 2, 1),
            layer(extent, (c, 2 * c), 1, 2, 1),
            layer(extent / 2, (2 * c, 2 * c), 3, 1, 1),
            // As TensorFlow pads, in MLPerf Tiny's ResNet-8.
            ConvShape { pads: [0, 0, 1, 1], ..layer(extent, (c, 2 * c), 3, 2, 1) },
        ]);
    }
}

fn mobilenet_v2(shapes: &mut Vec<ConvShape>) {
    shapes.push(layer(224, (3, 32), 3, 2, 1));
    let (mut extent, mut c) = (112, 32);
    // Expansion, channels, blocks, stride of the first.
    let table = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    for (expansion, out_c, blocks, first) in table {
        for block in 0..blocks {
            let (hidden, stride) = (c * expansion, if block == 0 { first } else { 1 });
            if expansion > 1 {
                shapes.push(layer(extent, (c, hidden), 1, 1, 1));
            }
            shapes.push(layer(extent, (hidden, hidden), 3, stride, hidden));
            extent /= stride;
            shapes.push(layer(extent, (hidden, out_c), 1, 1, 1));
            c = out_c;
        }
    }
    shapes.push(layer(extent, (c, 1280), 1, 1, 1));
}

fn vgg(shapes: &mut Vec<ConvShape>) {
    let mut from = 3;
    for (extent, c) in [(224, 64), (112, 128), (56, 256), (28, 512), (14, 512)] {
        shapes.push(layer(extent, (from, c), 3, 1, 1));
        shapes.push(layer(extent, (c, c), 3, 1, 1));
        from = c;
    }
    // The fully connected layers: over the whole map, and over a point.
    let whole = layer(7, (512, 4096), 7, 1, 1);
    shapes.push(ConvShape { output: [1, 1, 4096], pads: [0; 4], ..whole });
    shapes.push(layer(1, (4096, 4096), 1, 1, 1));
}

/// Maps of at most `extent` rows and columns, with up to 2,048 channels, of which most come in whole
/// blocks.
pub fn random(extent: usize, random: &mut Random) -> ConvShape {
    let mut below = |n: usize| random.below(n as u64) as usize;
    let mut channels = |most: usize| match below(4) {
        0 => 1 + below(most),
        _ => 16 * (1 + below(most / 16)),
    };
    let (in_c, out_c) = (channels(512), channels(2048));
    let (kernel, stride) = ([1, 1, 3, 3, 5, 7][below(6)], 1 + below(2));
    let groups = if below(8) == 0 { in_c } else { 1 };
    let out_c = if groups > 1 { in_c } else { out_c };
    let in_c = if kernel == 7 && stride == 2 { 3 } else { in_c };
    let groups = groups.min(in_c);
    let out_c = if groups > 1 { groups } else { out_c };
    let rows = kernel.max(1 + below(extent));
    let shape = layer(rows, (in_c, out_c), kernel, stride, groups);
    let few = below(2) == 0;
    ConvShape { input_range: if few { (-7, 120) } else { (-128, 127) }, ..shape }
}
