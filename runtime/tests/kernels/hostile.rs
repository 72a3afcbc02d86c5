//! Arguments that no checked model gives: extents of 0 and of 2^63, products that wrap, strides of 0, rows
//! that are not there, slices that are too short. A kernel set refuses them, or gives the reference's bytes.

use fixnet::KernelSet;
use fixnet::error::Fault;
use fixnet::format::{Activation, Channels, Target, WeightForm, WeightLayout, Weights};
use fixnet::kernels::{
    ConvArgs, ConvKernel, ConvShape, KernelFamily, LogitsArgs, PoolShape, Residual, SubsampleArgs,
};
use fixnet::numerics::{Addition, Channel, Requantization};
use fixnet::{AlignedBytes, layouts};

use crate::support::{Guarded, Random};

/// Slices are no longer, whatever is asked for.
const MOST_BYTES: usize = 1 << 16;
const CASES: usize = if cfg!(target_arch = "x86_64") { 10_000 } else { 1_000 };

/// An extent of a small layer, and now and then one of none.
fn extent(usual: usize, random: &mut Random) -> usize {
    const HOSTILE: [usize; 12] = [
        0,
        1,
        2,
        9,
        64,
        (1 << 24) - 1,
        (1 << 24) + 1,
        usize::MAX / 64,
        usize::MAX / 16 + 1,
        isize::MAX as usize,
        isize::MAX as usize + 1,
        usize::MAX,
    ];
    match random.below(24) {
        0 => HOSTILE[random.below(HOSTILE.len() as u64) as usize],
        1 => usual.wrapping_add(random.below(5) as usize).wrapping_sub(2),
        _ => usual,
    }
}

/// As many values as the extents ask for, or a few less or more.
fn length(extents: &[usize], random: &mut Random) -> usize {
    let needed = extents.iter().fold(1usize, |n, &extent| n.wrapping_mul(extent));
    let other = [needed.wrapping_sub(1), needed.wrapping_add(1), needed / 2, 0, 1];
    let chosen = match random.below(12) {
        0 => other[random.below(other.len() as u64) as usize],
        _ => needed,
    };
    chosen.min(MOST_BYTES)
}

/// Values of a slice for these extents.
fn values(extents: &[usize], random: &mut Random) -> Vec<i8> {
    let len = length(extents, random);
    random.int8(len)
}

fn below(n: usize, random: &mut Random) -> usize {
    random.below(n as u64) as usize
}

fn requantization(random: &mut Random) -> Requantization {
    let hostile = random.below(20) == 0;
    let (low, high) = if random.below(20) == 0 { (5, -5) } else { (-100, 110) };
    Requantization {
        shift: if hostile { [31, 32, 63, u32::MAX][below(4, random)] } else { 5 },
        fraction_bits: if hostile { [0, 14, 17, u32::MAX][below(4, random)] } else { 14 },
        offset: random.i32() >> 8,
        residual_multiplier: 9_000,
        clamp: (low, high),
    }
}

/// How often arguments were taken, and refused; tests see to it that both happen.
#[derive(Debug, Default)]
struct Outcomes([usize; 2]);

impl Outcomes {
    /// Two runs of the same arguments: `want` by the reference.
    fn judge<T: PartialEq + core::fmt::Debug>(
        &mut self,
        got: Result<T, Fault>,
        want: Result<T, Fault>,
        facts: &dyn core::fmt::Debug,
    ) {
        match (&got, &want) {
            (Ok(_), _) => assert_eq!(got, want, "{facts:?}"),
            // Kernels differ in the scratch and the forms that they need, and in nothing else.
            (Err(_), _) => {}
        }
        self.0[usize::from(got.is_err())] += 1;
    }

    fn assert_both(&self) {
        assert!(self.0.iter().all(|&count| count > CASES / 50), "{self:?}");
    }
}

fn window_extents(random: &mut Random) -> ([usize; 2], [usize; 2], [usize; 2], [usize; 2]) {
    let (kernel, stride) = ([1, 3, 3, 7][below(4, random)], 1 + below(2, random));
    let pad = kernel / 2;
    let input = [kernel + below(5, random), kernel + below(5, random)];
    let out = |axis: usize| (input[axis] + 2 * pad - kernel) / stride + 1;
    let mut any = |usual| extent(usual, random);
    let output = [any(out(0)), any(out(1))];
    ([any(input[0]), any(input[1])], output, [any(kernel), any(kernel)], [any(stride), any(stride)])
}

fn conv_shape(random: &mut Random) -> ConvShape {
    let (input, output, kernel, strides) = window_extents(random);
    let depthwise = random.below(6) == 0;
    let in_c = if kernel == [7, 7] { 3 } else { [1, 5, 16, 32][below(4, random)] };
    let out_c = if depthwise { in_c } else { [1, 6, 16, 48][below(4, random)] };
    let mut any = |usual| extent(usual, random);
    let pad = |kernel: usize| if kernel > 7 { 0 } else { kernel / 2 };
    let (y, x) = (pad(kernel[0]), pad(kernel[1]));
    ConvShape {
        input: [input[0], input[1], any(in_c)],
        output: [output[0], output[1], any(out_c)],
        kernel,
        strides,
        pads: [any(y), any(x), any(y), any(x)],
        dilations: [any(1), any(1)],
        groups: any(if depthwise { in_c } else { 1 }),
        input_zero_point: 3,
        input_range: (-7, 120),
    }
}

/// Everything that may be asked about a shape has an answer.
fn ask(shape: &ConvShape) {
    for target in Target::ALL {
        for layout in WeightLayout::ALL {
            let form = WeightForm { target, layout };
            let _ = layouts::weights_bytes(form, shape);
            for kernel in ConvKernel::all() {
                let _ = (kernel.computes(shape, form), kernel.is_profitable(shape));
                let _ = kernel.scratch_bytes(shape, form);
            }
            for family in Target::ALL.into_iter().filter_map(KernelFamily::for_target) {
                let _ = family.conv_kernel(shape, form);
            }
        }
    }
    let _ = (shape.patch_len(), shape.group_channels());
}

pub fn check_conv(kernels: KernelSet) {
    let random = &mut Random::new(21);
    let mut outcomes = Outcomes::default();
    for case in 0..CASES {
        let shape = conv_shape(random);
        if case % 16 == 0 {
            ask(&shape);
        }
        let [height, width, channels] = shape.output;
        let first_row = extent(below(height.clamp(1, 4), random), random);
        let rows = extent(height.saturating_sub(first_row), random);
        let input: Vec<i8> =
            (0..length(&shape.input, random)).map(|_| random.i8().max(-7) & 127).collect();
        let ohwi: Vec<i8> =
            (0..length(&[channels, shape.patch_len()], random)).map(|_| random.i8() / 4).collect();
        let constants = length(&[channels], random);
        let (bias, multipliers) = (vec![-4_000; constants], vec![1 << 19; constants]);
        let shortcut = values(&[rows, width, channels], random);
        let residual = below(3, random);
        let separate = values(&[rows, width, channels], random);
        let rq = requantization(random);
        let run = |kernels: KernelSet, weights: Weights<'_>, scratch: &mut Guarded| {
            let mut output = Guarded::from_int8(&shortcut);
            let result = kernels.conv(ConvArgs {
                shape: &shape,
                input: &input,
                weights,
                channels: Channels { bias: &bias, multipliers: &multipliers },
                requantization: &rq,
                residual: match residual {
                    0 => Residual::None,
                    1 => Residual::InPlace,
                    _ => Residual::Separate(&separate),
                },
                first_row,
                output: output.as_mut_int8(),
                scratch: scratch.as_mut_slice(),
            });
            output.assert_intact();
            scratch.assert_intact();
            result.map(|()| output.as_mut_int8().to_vec())
        };
        let portable = Weights::ohwi(&ohwi);
        let want = run(KernelSet::REFERENCE, portable, &mut Guarded::new(0));
        let targets: Vec<Target> =
            Target::ALL.into_iter().filter(|&target| kernels.family().runs(target)).collect();
        let form = WeightForm {
            target: targets[below(targets.len(), random)],
            layout: WeightLayout::ALL[below(WeightLayout::ALL.len(), random)],
        };
        // As they are packed; where they cannot be, as if they were.
        let packed = layouts::pack(form, &shape, &ohwi);
        let bytes =
            AlignedBytes::from_slice(&packed.clone().unwrap_or_else(|| vec![1; ohwi.len()]));
        let mut forms = vec![portable];
        forms.push(Weights { form, bytes: &bytes });
        for (weights, is_packed) in forms.into_iter().zip([true, packed.is_some()]) {
            for kernel in kernels.family().conv_kernels() {
                let forced = kernels.with_conv_kernel(kernel).unwrap();
                let planned = forced.conv_kernel(&shape, weights.form);
                let planned = planned.scratch_bytes(&shape, weights.form);
                let bytes = length(&[planned], random).min(planned);
                let got = run(forced, weights, &mut Guarded::new(bytes));
                if is_packed {
                    outcomes.judge(got, want.clone(), &(kernel, weights.form, &shape, first_row));
                }
            }
        }
    }
    let packed = |target: &Target| *target != Target::Portable && kernels.family().runs(*target);
    if Target::ALL.iter().any(packed) {
        outcomes.assert_both();
    }
}

pub fn check_pools(kernels: KernelSet) {
    let random = &mut Random::new(22);
    let mut outcomes = Outcomes::default();
    for _ in 0..CASES {
        let (input, output, kernel, strides) = window_extents(random);
        let channels = [1, 31, 32, 65][below(4, random)];
        let pad = |kernel: usize| if kernel > 7 { 0 } else { kernel / 2 };
        let (y, x) = (pad(kernel[0]), pad(kernel[1]));
        let mut any = |usual| extent(usual, random);
        let shape = PoolShape {
            input: [input[0], input[1], any(channels)],
            output: [output[0], output[1], any(channels)],
            kernel,
            strides,
            pads: [any(y), any(x), any(y), any(x)],
            input_zero_point: -9,
        };
        let input = values(&shape.input, random);
        let len = length(&shape.output, random);
        let rq = requantization(random);
        let max_pool = |kernels: KernelSet| {
            let mut output = Guarded::new(len);
            let result = kernels.max_pool(&shape, rq.clamp, &input, output.as_mut_int8());
            output.assert_intact();
            result.map(|()| output.as_mut_int8().to_vec())
        };
        outcomes.judge(max_pool(kernels), max_pool(KernelSet::REFERENCE), &shape);
        let channel = Channel { bias: -3, multiplier: 1 << 26 };
        let average_pool = |kernels: KernelSet| {
            let mut output = Guarded::new(len);
            let output_values = output.as_mut_int8();
            let result = kernels.average_pool(&shape, channel, &rq, &input, output_values);
            output.assert_intact();
            result.map(|()| output.as_mut_int8().to_vec())
        };
        outcomes.judge(average_pool(kernels), average_pool(KernelSet::REFERENCE), &shape);
    }
    outcomes.assert_both();
}

pub fn check_others(kernels: KernelSet) {
    let random = &mut Random::new(23);
    let mut outcomes = Outcomes::default();
    for _ in 0..CASES {
        let len = below(70, random);
        let (a, b) = (values(&[len], random), values(&[len], random));
        let clamp = requantization(random).clamp;
        let p = Addition { multipliers: (150_000, 170_000), offset: -7 << 18, clamp };
        let in_place = random.below(2) == 0;
        let add = |kernels: KernelSet| {
            let mut output = Guarded::from_int8(&vec![5; len]);
            let result = match in_place {
                true => kernels.add_in_place(&p, &a, output.as_mut_int8()),
                false => kernels.add(&p, &a, &b, output.as_mut_int8()),
            };
            output.assert_intact();
            result.map(|()| output.as_mut_int8().to_vec())
        };
        outcomes.judge(add(kernels), add(KernelSet::REFERENCE), &len);

        let (inputs, classes) = (below(80, random), below(9, random));
        let input = random.int8(inputs);
        let weights = values(&[inputs, classes], random);
        let constants = length(&[classes], random);
        let (bias, multipliers) = (vec![7; constants], vec![1 << 20; constants]);
        let shift = requantization(random).shift;
        let logits = |kernels: KernelSet| {
            let mut output = Guarded::new(classes * 4);
            let result = kernels.logits(LogitsArgs {
                input: &input,
                weights: &weights,
                channels: Channels { bias: &bias, multipliers: &multipliers },
                shift,
                output: output.as_mut_words(),
            });
            output.assert_intact();
            result.map(|()| output.as_mut_words().to_vec())
        };
        outcomes.judge(logits(kernels), logits(KernelSet::REFERENCE), &(inputs, classes));
        subsample(kernels, random, &mut outcomes);
    }
    outcomes.assert_both();
}

fn subsample(kernels: KernelSet, random: &mut Random, outcomes: &mut Outcomes) {
    let (height, width, channels) =
        (1 + below(7, random), 1 + below(7, random), 1 + below(7, random));
    let (stride, before) = (1 + below(3, random), below(4, random));
    let mut any = |usual| extent(usual, random);
    let strides = [any(stride), any(stride)];
    let from = Activation {
        tensor: 0,
        offset: 0,
        height: any(height),
        width: any(width),
        channels: any(channels),
        scale: 1.0,
        zero_point: 4,
        wide: false,
        rows: 0,
    };
    let to = Activation {
        height: any(height.div_ceil(stride)),
        width: any(width.div_ceil(stride)),
        channels: any(before + channels + 1),
        ..from
    };
    let channels_before = any(before);
    let input = values(&from.shape(), random);
    let len = length(&to.shape(), random);
    let run = |kernels: KernelSet| {
        let mut output = Guarded::new(len);
        let output_values = output.as_mut_int8();
        let (from, to) = (&from, &to);
        let args = SubsampleArgs {
            strides,
            channels_before,
            from,
            to,
            input: &input,
            output: output_values,
        };
        let result = kernels.subsample(args);
        output.assert_intact();
        result.map(|()| output.as_mut_int8().to_vec())
    };
    outcomes.judge(run(kernels), run(KernelSet::REFERENCE), &(from, to, strides));
}

/// The product of these extents is 2^64: a kernel once read 32 bytes from a slice of one.
#[test]
fn a_pool_whose_extents_wrap_is_refused() {
    let half = 1usize << (usize::BITS / 2);
    for kernels in KernelSet::available() {
        let shape = PoolShape {
            input: [half, half / 32, 32],
            output: [1, 1, 32],
            kernel: [1, 1],
            strides: [1, 1],
            pads: [0; 4],
            input_zero_point: 0,
        };
        let mut output = [1; 32];
        let result = kernels.max_pool(&shape, (-128, 127), &[0], &mut output);
        assert_eq!((result, output), (Err(Fault::Geometry), [1; 32]), "{}", kernels.name());
    }
}
