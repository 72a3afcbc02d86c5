//! Kernels called as an application may call them: any geometry, any slices.
//!
//! Nothing is read or written outside of the slices and nothing panics; what every set accepts, every set
//! computes to the same bytes.

#![no_main]

use fixnet::KernelSet;
use fixnet::error::Fault;
use fixnet::format::{Channels, Target, WeightForm, WeightLayout, Weights};
use fixnet::kernels::{ConvArgs, ConvShape, LogitsArgs, PoolShape, Residual};
use fixnet::numerics::{Addition, Channel, Requantization};
use fixnet_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

/// Most values of one slice.
const MOST: usize = 1 << 14;

fuzz_target!(|data: &[u8]| {
    let choices = &mut Choices::new(data);
    let sets: Vec<KernelSet> = KernelSet::available().collect();
    match choices.below(5) {
        0 => max_pool(choices, &sets),
        1 => average_pool(choices, &sets),
        2 => logits(choices, &sets),
        3 => add(choices, &sets),
        _ => conv(choices, &sets),
    }
});

/// An extent: small, or one whose products wrap.
fn extent(choices: &mut Choices<'_>, hostile: bool) -> usize {
    match (hostile, choices.below(6)) {
        (true, 0) => choices.long() as usize,
        (true, 1) => 1 << choices.below(64),
        (true, 2) => (1usize << choices.below(64)).wrapping_neg(),
        (true, 3) => usize::MAX / choices.between(1, 16),
        (true, 4) => 0,
        _ => choices.between(1, 20),
    }
}

fn extents<const N: usize>(choices: &mut Choices<'_>, hostile: bool) -> [usize; N] {
    std::array::from_fn(|_| {
        let hostile = hostile && choices.once_in(3);
        extent(choices, hostile)
    })
}

/// About as many values as the extents ask for, if that many can be had.
fn values(choices: &mut Choices<'_>, extents: &[usize]) -> Vec<i8> {
    let product = extents.iter().fold(1usize, |product, &extent| product.wrapping_mul(extent));
    let len = match choices.below(6) {
        0 => product.wrapping_sub(1),
        1 => choices.byte().into(),
        _ => product,
    };
    let len = if len > MOST { choices.byte().into() } else { len };
    choices.int8(len)
}

/// Whether a call was accepted; a kernel that accepts its arguments finds no fault with its own work.
fn accepted(result: Result<(), Fault>) -> bool {
    assert_ne!(result, Err(Fault::Plan));
    result.is_ok()
}

/// The output that each set gives for the same arguments.
fn compare(sets: &[KernelSet], output: Vec<i8>, run: impl Fn(KernelSet, &mut [i8]) -> bool) {
    let outputs = sets.iter().map(|&set| {
        let mut output = output.clone();
        (run(set, &mut output), output, set.name())
    });
    let outputs: Vec<_> = outputs.collect();
    let accepted = outputs.iter().filter(|(accepted, ..)| *accepted);
    let mut accepted = accepted.map(|(_, output, name)| (output, name));
    if let Some((want, of)) = accepted.next() {
        accepted.for_each(|(got, name)| assert_eq!(got, want, "{name} is not {of}"));
    }
}

fn pool_shape(choices: &mut Choices<'_>) -> PoolShape {
    let hostile = choices.once_in(2);
    let mut shape = PoolShape {
        input: extents(choices, hostile),
        output: extents(choices, hostile),
        kernel: extents(choices, hostile),
        strides: extents(choices, hostile),
        pads: extents(choices, hostile),
        input_zero_point: choices.byte() as i8,
    };
    if !hostile {
        shape.kernel = shape.kernel.map(|extent| extent % 5 + 1);
        shape.strides = shape.strides.map(|stride| stride % 4 + 1);
        shape.pads = std::array::from_fn(|side| shape.pads[side] % shape.kernel[side % 2]);
        for axis in 0..2 {
            shape.output[axis] = fit(
                shape.input[axis] + shape.pads[axis] + shape.pads[axis + 2],
                shape.kernel[axis],
                shape.strides[axis],
            );
        }
        shape.output[2] = shape.input[2];
    }
    shape
}

/// Windows of `span` within an extent.
fn fit(extent: usize, span: usize, stride: usize) -> usize {
    extent.checked_sub(span).map_or(0, |free| free / stride + 1)
}

fn clamp(choices: &mut Choices<'_>) -> (i8, i8) {
    let (a, b) = (choices.byte() as i8, choices.byte() as i8);
    if choices.once_in(8) { (a, b) } else { (a.min(b), a.max(b)) }
}

fn requantization(choices: &mut Choices<'_>) -> Requantization {
    let hostile = choices.once_in(8);
    Requantization {
        shift: if hostile { choices.word() } else { choices.below(31) as u32 },
        fraction_bits: if hostile { choices.word() } else { choices.between(1, 16) as u32 },
        offset: choices.word() as i32,
        residual_multiplier: (choices.word() & 0x3F_FFFF) as i32,
        clamp: clamp(choices),
    }
}

fn max_pool(choices: &mut Choices<'_>, sets: &[KernelSet]) {
    let shape = pool_shape(choices);
    let (input, clamp) = (values(choices, &shape.input), clamp(choices));
    let output = values(choices, &shape.output);
    compare(sets, output, |set, output| accepted(set.max_pool(&shape, clamp, &input, output)));
}

fn average_pool(choices: &mut Choices<'_>, sets: &[KernelSet]) {
    let shape = pool_shape(choices);
    let input = values(choices, &shape.input);
    let multiplier = (choices.word() & 0x7FFF_FFFE) as i32;
    let channel = Channel { bias: choices.word() as i32, multiplier };
    let requantization = requantization(choices);
    let output = values(choices, &shape.output);
    compare(sets, output, |set, output| {
        accepted(set.average_pool(&shape, channel, &requantization, &input, output))
    });
}

/// Biases and multipliers, which need not be as many as there are channels.
fn constants(choices: &mut Choices<'_>, channels: usize) -> (Vec<i32>, Vec<i32>) {
    let mut words = |least: i32| -> Vec<i32> {
        let len = if choices.once_in(6) { choices.byte().into() } else { channels.min(MOST) };
        let mut random = fixnet_fuzz::choices::Random::new(choices.byte().into());
        (0..len).map(|_| (random.next() as i32 & !1).max(least)).collect()
    };
    (words(i32::MIN), words(0))
}

fn logits(choices: &mut Choices<'_>, sets: &[KernelSet]) {
    let [inputs, classes] = [choices.below(300), choices.below(30)];
    let (input, weights) = (values(choices, &[inputs]), values(choices, &[inputs, classes]));
    let (bias, multipliers) = constants(choices, classes);
    let len = if choices.once_in(6) { choices.byte().into() } else { classes };
    let shift = if choices.once_in(8) { choices.word() } else { choices.below(31) as u32 };
    let outputs = sets.iter().map(|set| {
        let mut output = vec![-1; len];
        let channels = Channels { bias: &bias, multipliers: &multipliers };
        let (input, weights) = (&input, &weights);
        let args = LogitsArgs { input, weights, channels, shift, output: &mut output };
        accepted(set.logits(args)).then_some(output)
    });
    let outputs: Vec<_> = outputs.flatten().collect();
    outputs.windows(2).for_each(|pair| assert_eq!(pair[0], pair[1]));
}

fn add(choices: &mut Choices<'_>, sets: &[KernelSet]) {
    let len = choices.below(200);
    let (a, b) = (values(choices, &[len]), values(choices, &[len]));
    let addition = Addition {
        multipliers: ((choices.word() & 0x3F_FFFF) as i32, (choices.word() & 0x3F_FFFF) as i32),
        offset: choices.word() as i32,
        clamp: clamp(choices),
    };
    let output = values(choices, &[len]);
    compare(sets, output.clone(), |set, output| accepted(set.add(&addition, &a, &b, output)));
    compare(sets, output, |set, output| accepted(set.add_in_place(&addition, &a, output)));
}

fn conv_shape(choices: &mut Choices<'_>) -> ConvShape {
    let hostile = choices.once_in(2);
    let mut shape = ConvShape {
        input: extents(choices, hostile),
        output: extents(choices, hostile),
        kernel: extents(choices, hostile),
        strides: extents(choices, hostile),
        pads: extents(choices, hostile),
        dilations: extents(choices, hostile),
        groups: if hostile { extent(choices, true) } else { 1 },
        input_zero_point: choices.byte() as i8,
        input_range: choices.pick(&[(-128, 127), (0, 127), (-128, -1), (5, 4)]),
    };
    if !hostile {
        shape.kernel = choices.pick(&[[1, 1], [3, 3], [3, 3], [5, 5], [7, 7], [2, 3]]);
        shape.strides = choices.pick(&[[1, 1], [1, 1], [2, 2], [3, 1]]);
        shape.dilations = choices.pick(&[[1, 1], [1, 1], [2, 1]]);
        for axis in 0..2 {
            let span = shape.dilations[axis] * (shape.kernel[axis] - 1) + 1;
            shape.pads[axis] %= span;
            shape.pads[axis + 2] %= span;
            let padded = shape.input[axis] + shape.pads[axis] + shape.pads[axis + 2];
            shape.output[axis] = fit(padded, span, shape.strides[axis]);
        }
        if choices.once_in(4) {
            shape.groups = shape.input[2];
            shape.output[2] = shape.groups * choices.between(1, 3);
        }
    }
    shape
}

fn conv(choices: &mut Choices<'_>, sets: &[KernelSet]) {
    let shape = conv_shape(choices);
    let (target, layout) = (choices.pick(&Target::ALL), choices.pick(&WeightLayout::ALL));
    let form = match choices.once_in(2) {
        true => WeightForm { target, layout },
        false => WeightForm::PORTABLE,
    };
    let bytes = fixnet::layouts::weights_bytes(form, &shape).unwrap_or(0);
    let weights = values(choices, &[usize::try_from(bytes).unwrap_or(usize::MAX)]);
    let input = values(choices, &shape.input);
    let (bias, multipliers) = constants(choices, shape.output[2]);
    let first_row = if choices.once_in(4) { extent(choices, true) } else { 0 };
    let rows = shape.output[0].wrapping_sub(first_row);
    let output = values(choices, &[rows, shape.output[1], shape.output[2]]);
    let separate = values(choices, &[output.len()]);
    let requantization = requantization(choices);
    let residual = choices.below(3);
    let short = choices.once_in(8);
    // Packed weights of any bytes mean something else where sums saturate.
    let sets = if form.layout == WeightLayout::U8s8 { &sets[sets.len() - 1..] } else { sets };
    compare(sets, output, |set, output| {
        let kernel = set.conv_kernel(&shape, form);
        let needed = kernel.scratch_bytes(&shape, form);
        let len = if short { needed / 2 } else { needed };
        if len > 1 << 22 {
            return false;
        }
        let mut scratch = fixnet::AlignedBytes::zeroed(len);
        let args = ConvArgs {
            shape: &shape,
            input: &input,
            weights: Weights { form, bytes: zerocopy::IntoBytes::as_bytes(weights.as_slice()) },
            channels: Channels { bias: &bias, multipliers: &multipliers },
            requantization: &requantization,
            residual: match residual {
                0 => Residual::None,
                1 => Residual::InPlace,
                _ => Residual::Separate(&separate),
            },
            first_row,
            output,
            scratch: scratch.as_mut_slice(),
        };
        accepted(set.conv(args))
    });
}
