//! Every kernel set against formulas in wide integers, written here anew, and against the
//! reference kernels where constants make the arithmetic wrap.
//!
//! Outputs and scratch lie between guards, scratch has exactly the planned length and holds
//! garbage.

mod support;

use fixnet::format::{Activation, Channels, Operator, Target, WeightForm, WeightLayout, Weights};
use fixnet::kernels::{
    ConvArgs, ConvKernel, ConvShape, LogitsArgs, PoolShape, Residual, SubsampleArgs,
};
use fixnet::layouts;
use fixnet::numerics::{Addition, Channel, MAX_OPERAND_MULTIPLIER, Requantization};
use fixnet::{AlignedBytes, KernelSet};
use proptest::prelude::*;
use support::{Guarded, Random};

/// Which second input a convolution has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shortcut {
    None,
    Separate,
    InPlace,
}

/// Values of inputs and weights.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Random,
    Lowest,
    Highest,
    /// -128 and 127 in turns.
    Alternating,
}

impl Fill {
    fn values(self, len: usize, random: &mut Random) -> Vec<i8> {
        match self {
            Self::Random => random.int8(len),
            Self::Lowest => vec![-128; len],
            Self::Highest => vec![127; len],
            Self::Alternating => (0..len).map(|i| if i % 2 == 0 { -128 } else { 127 }).collect(),
        }
    }
}

/// Constants within the bounds that the quantizer proves, or any that the checker accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Constants {
    Proved,
    Accepted,
}

/// One axis of a window: extent, taps, stride, padding before and after, dilation.
#[derive(Debug, Clone, Copy)]
struct Axis {
    extent: usize,
    kernel: usize,
    stride: usize,
    pads: (usize, usize),
    dilation: usize,
}

impl Axis {
    fn span(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    fn out(&self) -> usize {
        (self.extent + self.pads.0 + self.pads.1 - self.span()) / self.stride + 1
    }
}

fn axis(max_dilation: usize) -> impl Strategy<Value = Axis> {
    let kernel = prop_oneof![4 => 1..=3usize, 1 => 4..=7usize];
    (1..=9usize, kernel, 1..=3usize, 0..=6usize, 0..=6usize, 1..=max_dilation).prop_filter_map(
        "no window fits",
        |(extent, kernel, stride, before, after, dilation)| {
            let mut axis = Axis { extent, kernel, stride, pads: (0, 0), dilation };
            let span = axis.span();
            axis.pads = (before.min(span - 1), after.min(span - 1));
            (axis.extent + axis.pads.0 + axis.pads.1 >= span).then_some(axis)
        },
    )
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        6 => Just(Fill::Random),
        1 => Just(Fill::Lowest),
        1 => Just(Fill::Highest),
        1 => Just(Fill::Alternating),
    ]
}

fn shortcut() -> impl Strategy<Value = Shortcut> {
    prop_oneof![Just(Shortcut::None), Just(Shortcut::Separate), Just(Shortcut::InPlace)]
}

#[derive(Debug, Clone)]
struct ConvCase {
    axes: [Axis; 2],
    groups: usize,
    group_in: usize,
    group_out: usize,
    shortcut: Shortcut,
    fills: (Fill, Fill),
    seed: u64,
}

fn conv_case() -> impl Strategy<Value = ConvCase> {
    let channels = prop_oneof![
        3 => (Just(1usize), 1..=35usize, 1..=21usize),
        // Whole blocks of output channels have kernels of their own.
        2 => (Just(1usize), 1..=35usize, (1..=3usize).prop_map(|blocks| blocks * 16)),
        1 => (2..=4usize, 1..=5usize, 1..=5usize),
        1 => (1..=12usize, Just(1usize), Just(1usize)),
    ];
    (axis(3), axis(3), channels, shortcut(), fill(), fill(), any::<u64>()).prop_map(
        |(y, x, (groups, group_in, group_out), shortcut, inputs, weights, seed)| ConvCase {
            axes: [y, x],
            groups,
            group_in,
            group_out,
            shortcut,
            fills: (inputs, weights),
            seed,
        },
    )
}

/// 3x3 at stride 1 with channels in whole vectors, in rectangles with any padding.
fn conv_3x3_case() -> impl Strategy<Value = ConvCase> {
    let axis = || {
        let pads = (0..=2usize, 0..=2usize);
        (3..=14usize, pads).prop_map(|(extent, pads)| Axis {
            extent,
            kernel: 3,
            stride: 1,
            pads,
            dilation: 1,
        })
    };
    let channels = (1..=9usize, 1..=3usize).prop_map(|(a, b)| (a * 16, b * 16));
    (axis(), axis(), channels, shortcut(), fill(), fill(), any::<u64>()).prop_map(
        |(y, x, (group_in, group_out), shortcut, inputs, weights, seed)| ConvCase {
            axes: [y, x],
            groups: 1,
            group_in,
            group_out,
            shortcut,
            fills: (inputs, weights),
            seed,
        },
    )
}

/// What layouts of strided windows serve: 3x3 at stride 2 with channels in whole vectors.
fn strided_case() -> impl Strategy<Value = ConvCase> {
    (conv_3x3_case(), 1..=3usize).prop_map(|(mut case, channels)| {
        case.axes.iter_mut().for_each(|axis| axis.stride = 2);
        case.group_in = channels * 16;
        case
    })
}

/// A convolution with all its data.
#[derive(Debug)]
struct Conv {
    shape: ConvShape,
    input: Vec<i8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<i32>,
    rq: Requantization,
    shortcut: Shortcut,
    residual: Vec<i8>,
}

impl Conv {
    fn new(case: &ConvCase, constants: Constants) -> Self {
        let random = &mut Random::new(case.seed);
        let [y, x] = case.axes;
        let (in_c, out_c) = (case.groups * case.group_in, case.groups * case.group_out);
        let shape = ConvShape {
            input: [y.extent, x.extent, in_c],
            output: [y.out(), x.out(), out_c],
            kernel: [y.kernel, x.kernel],
            strides: [y.stride, x.stride],
            pads: [y.pads.0, x.pads.0, y.pads.1, x.pads.1],
            dilations: [y.dilation, x.dilation],
            groups: case.groups,
            input_zero_point: random.i8(),
        };
        let len = y.kernel * x.kernel * case.group_in;
        let input = case.fills.0.values(y.extent * x.extent * in_c, random);
        let mut weights = case.fills.1.values(out_c * len, random);
        // As the quantizer makes them: some layouts take no others.
        if case.seed.is_multiple_of(2) {
            weights.iter_mut().for_each(|weight| *weight = (*weight).max(-127));
        }
        let mut bias: Vec<i32> = (0..out_c).map(|_| random.i32()).collect();
        let mut multipliers: Vec<i32> = (0..out_c).map(|_| random.i32() & i32::MAX & !1).collect();
        let mut shift = random.below(31) as u32;
        if constants == Constants::Proved {
            bias.iter_mut().for_each(|bias| *bias >>= 10);
            multipliers.iter_mut().for_each(|multiplier| *multiplier = random.multiplier());
            let worst = (128 * 128 * len as i64) + (1 << 21);
            shift = shift.min(30 - worst.ilog2());
        }
        let with_residual = case.shortcut != Shortcut::None;
        let rq = requantization(shift, with_residual, constants, random);
        let residual = random.int8(y.out() * x.out() * out_c);
        Self { shape, input, weights, bias, multipliers, rq, shortcut: case.shortcut, residual }
    }

    /// Compares with the kernel that the set chooses, then with each of its convolution kernels, then
    /// with the weights packed in every way that the set reads.
    fn check(&self, kernels: KernelSet, want: &[i8]) {
        assert_eq!(self.run(kernels), want);
        for &kernel in kernels.family().conv_kernels() {
            if kernel.computes(&self.shape, WeightForm::PORTABLE) {
                let forced = kernels.with_conv_kernel(kernel).expect("a kernel of the set");
                assert_eq!(self.run(forced), want, "{}", kernel.name());
            }
        }
        let targets = Target::ALL.into_iter().filter(|&target| kernels.family().runs(target));
        for target in targets {
            for layout in WeightLayout::ALL {
                let form = WeightForm { target, layout };
                let Some(packed) = layouts::pack(form, &self.shape, &self.weights) else {
                    continue;
                };
                let unpacked = layouts::unpack(form, &self.shape, &packed);
                assert_eq!(unpacked.as_deref(), Some(&*self.weights), "{form:?}");
                self.check_packed(kernels, form, &packed, want);
            }
        }
    }

    fn check_packed(&self, kernels: KernelSet, form: WeightForm, packed: &[u8], want: &[i8]) {
        let packed = AlignedBytes::from_slice(packed);
        let weights = Weights { form, bytes: &packed };
        let computes = |kernel: &ConvKernel| kernel.computes(&self.shape, form);
        let able = kernels.family().conv_kernels().iter().copied().filter(computes);
        let able: Vec<ConvKernel> = able.collect();
        let portable = form.layout == WeightLayout::Ohwi;
        assert!(!able.is_empty() || portable, "no kernel of {} reads {form:?}", kernels.name());
        for kernel in able {
            let forced = kernels.with_conv_kernel(kernel).expect("a kernel of the set");
            assert_eq!(self.run_with(forced, weights), want, "{} {form:?}", kernel.name());
        }
    }

    fn run(&self, kernels: KernelSet) -> Vec<i8> {
        self.run_with(kernels, Weights::ohwi(&self.weights))
    }

    fn run_with(&self, kernels: KernelSet, weights: Weights<'_>) -> Vec<i8> {
        let channels = Channels { bias: &self.bias, multipliers: &self.multipliers };
        let (shape, requantization) = (self.shape, self.rq);
        let operator = Operator::Conv { shape, weights, channels, requantization };
        let mut scratch = Guarded::new(kernels.scratch_bytes(&operator));
        let mut output = match self.shortcut {
            Shortcut::InPlace => Guarded::from_int8(&self.residual),
            _ => Guarded::new(self.residual.len()),
        };
        kernels.conv(ConvArgs {
            shape: &self.shape,
            input: &self.input,
            weights,
            channels,
            requantization: &self.rq,
            residual: match self.shortcut {
                Shortcut::None => Residual::None,
                Shortcut::Separate => Residual::Separate(&self.residual),
                Shortcut::InPlace => Residual::InPlace,
            },
            first_row: 0,
            output: output.as_mut_int8(),
            scratch: scratch.as_mut_slice(),
        });
        output.assert_intact();
        scratch.assert_intact();
        output.as_mut_int8().to_vec()
    }

    /// The sum behind output (`y`, `x`, `c`).
    fn sum(&self, y: usize, x: usize, c: usize) -> i64 {
        let s = &self.shape;
        let [in_h, in_w, in_c] = s.input.map(|n| n as i64);
        let group_in = s.input[2] / s.groups;
        let group = c / (s.output[2] / s.groups);
        let mut sum = 0;
        for ky in 0..s.kernel[0] {
            for kx in 0..s.kernel[1] {
                let iy = (y * s.strides[0] + ky * s.dilations[0]) as i64 - s.pads[0] as i64;
                let ix = (x * s.strides[1] + kx * s.dilations[1]) as i64 - s.pads[1] as i64;
                let inside = (0..in_h).contains(&iy) && (0..in_w).contains(&ix);
                for k in 0..group_in {
                    let value = if inside {
                        let channel = (group * group_in + k) as i64;
                        self.input[((iy * in_w + ix) * in_c + channel) as usize]
                    } else {
                        s.input_zero_point
                    };
                    let weight = ((c * s.kernel[0] + ky) * s.kernel[1] + kx) * group_in + k;
                    sum += i64::from(value) * i64::from(self.weights[weight]);
                }
            }
        }
        sum
    }

    fn oracle(&self) -> Vec<i8> {
        let [out_h, out_w, out_c] = self.shape.output;
        let mut output = Vec::new();
        for y in 0..out_h {
            for x in 0..out_w {
                for c in 0..out_c {
                    let channel = Channel { bias: self.bias[c], multiplier: self.multipliers[c] };
                    let residual = match self.shortcut {
                        Shortcut::None => 0,
                        _ => self.residual[output.len()],
                    };
                    output.push(exact(self.sum(y, x, c), residual, channel, &self.rq));
                }
            }
        }
        output
    }
}

fn requantization(
    shift: u32,
    with_residual: bool,
    constants: Constants,
    random: &mut Random,
) -> Requantization {
    let fraction_bits = 1 + random.below(16) as u32;
    let (a, b) = (random.i8(), random.i8());
    let most = if constants == Constants::Proved { 1 << 21 } else { MAX_OPERAND_MULTIPLIER + 1 };
    let residual_multiplier =
        if with_residual { random.below(most as u64) as i32 >> random.below(8) } else { 0 };
    let zero_points = (i32::from(random.i8()), i32::from(random.i8()));
    let offset = match constants {
        Constants::Proved => {
            (zero_points.0 << fraction_bits) + (1 << (fraction_bits - 1))
                - zero_points.1 * residual_multiplier
        }
        Constants::Accepted => random.i32(),
    };
    let clamp = if random.below(2) == 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
    Requantization { shift, fraction_bits, offset, residual_multiplier, clamp }
}

/// `floor(((sum + bias) * factor + residual * residual_multiplier + offset) / 2^fraction_bits)` as
/// one exact rational, clamped.
fn exact(sum: i64, residual: i8, channel: Channel, rq: &Requantization) -> i8 {
    let scaled =
        ((i128::from(sum) + i128::from(channel.bias)) * i128::from(channel.multiplier)) << rq.shift;
    let shortcut = i128::from(residual) * i128::from(rq.residual_multiplier);
    let fixed = scaled + ((shortcut + i128::from(rq.offset)) << 32);
    clamped(fixed >> (32 + rq.fraction_bits), rq.clamp)
}

fn clamped(value: i128, (low, high): (i8, i8)) -> i8 {
    value.clamp(low.into(), high.into()) as i8
}

#[derive(Debug, Clone)]
struct PoolCase {
    axes: [Axis; 2],
    channels: usize,
    fill: Fill,
    seed: u64,
}

fn pool_case() -> impl Strategy<Value = PoolCase> {
    (axis(1), axis(1), 1..=70usize, fill(), any::<u64>())
        .prop_map(|(y, x, channels, fill, seed)| PoolCase { axes: [y, x], channels, fill, seed })
}

impl PoolCase {
    fn shape(&self, random: &mut Random) -> PoolShape {
        let [y, x] = self.axes;
        PoolShape {
            input: [y.extent, x.extent, self.channels],
            output: [y.out(), x.out(), self.channels],
            kernel: [y.kernel, x.kernel],
            strides: [y.stride, x.stride],
            pads: [y.pads.0, x.pads.0, y.pads.1, x.pads.1],
            input_zero_point: random.i8(),
        }
    }
}

/// The values under each window in output order, `None` in the padding.
fn windows(s: &PoolShape, input: &[i8]) -> Vec<Vec<Option<i64>>> {
    let [out_h, out_w, channels] = s.output;
    let mut windows = Vec::new();
    for index in 0..out_h * out_w * channels {
        let (y, x, c) = (index / channels / out_w, index / channels % out_w, index % channels);
        let taps = (0..s.kernel[0] * s.kernel[1]).map(|tap| {
            let iy = (y * s.strides[0] + tap / s.kernel[1]).checked_sub(s.pads[0])?;
            let ix = (x * s.strides[1] + tap % s.kernel[1]).checked_sub(s.pads[1])?;
            let inside = iy < s.input[0] && ix < s.input[1];
            inside.then(|| i64::from(input[(iy * s.input[1] + ix) * channels + c]))
        });
        windows.push(taps.collect());
    }
    windows
}

fn check_max_pool(kernels: KernelSet, case: &PoolCase) {
    let random = &mut Random::new(case.seed);
    let shape = case.shape(random);
    let input = case.fill.values(shape.input.iter().product(), random);
    let (a, b) = (random.i8(), random.i8());
    let clamp = if random.below(2) == 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
    let highest = |window: &Vec<Option<i64>>| window.iter().flatten().copied().max().unwrap();
    let want: Vec<i8> =
        windows(&shape, &input).iter().map(|w| clamped(highest(w).into(), clamp)).collect();
    let mut output = Guarded::new(want.len());
    kernels.max_pool(&shape, clamp, &input, output.as_mut_int8());
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}

fn check_average_pool(kernels: KernelSet, case: &PoolCase, constants: Constants) {
    let random = &mut Random::new(case.seed);
    let shape = case.shape(random);
    let input = case.fill.values(shape.input.iter().product(), random);
    let proved = constants == Constants::Proved;
    let rq =
        requantization(random.below(if proved { 9 } else { 31 }) as u32, false, constants, random);
    let bias = if proved { random.i32() >> 12 } else { random.i32() };
    let channel = Channel { bias, multiplier: random.multiplier() };
    let run = |kernels: KernelSet| {
        let mut output = Guarded::new(shape.output.iter().product());
        kernels.average_pool(&shape, channel, &rq, &input, output.as_mut_int8());
        output.assert_intact();
        output.as_mut_int8().to_vec()
    };
    let want = if proved {
        let zero = i64::from(shape.input_zero_point);
        let sum = |window: &Vec<Option<i64>>| window.iter().map(|v| v.unwrap_or(zero)).sum();
        windows(&shape, &input).iter().map(|w| exact(sum(w), 0, channel, &rq)).collect()
    } else {
        run(KernelSet::REFERENCE)
    };
    assert_eq!(run(kernels), want);
}

fn check_add(kernels: KernelSet, len: usize, fills: (Fill, Fill), constants: Constants, seed: u64) {
    let random = &mut Random::new(seed);
    let (a, b) = (fills.0.values(len, random), fills.1.values(len, random));
    let proved = constants == Constants::Proved;
    let most = if proved { 1 << 21 } else { 1 << 22 };
    let mut multiplier = || random.below(most) as i32 >> random.below(8);
    let multipliers = (multiplier(), multiplier());
    let (low, high) = (random.i8(), random.i8());
    let offset = if proved {
        (i32::from(random.i8()) << 18) + (1 << 17)
            - i32::from(random.i8()) * multipliers.0
            - i32::from(random.i8()) * multipliers.1
    } else {
        random.i32()
    };
    let p = Addition { multipliers, offset, clamp: (low.min(high), low.max(high)) };
    let separate = |kernels: KernelSet| {
        let mut output = Guarded::new(len);
        kernels.add(&p, &a, &b, output.as_mut_int8());
        output.assert_intact();
        output.as_mut_int8().to_vec()
    };
    let want: Vec<i8> = if proved {
        let products = |(&a, &b): (&i8, &i8)| {
            i128::from(a) * i128::from(multipliers.0) + i128::from(b) * i128::from(multipliers.1)
        };
        let sums = a.iter().zip(&b).map(|pair| (products(pair) + i128::from(offset)) >> 18);
        sums.map(|sum| clamped(sum, p.clamp)).collect()
    } else {
        separate(KernelSet::REFERENCE)
    };
    assert_eq!(separate(kernels), want);
    let mut output = Guarded::from_int8(&b);
    kernels.add_in_place(&p, &a, output.as_mut_int8());
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}

fn check_logits(
    kernels: KernelSet,
    (inputs, classes): (usize, usize),
    fills: (Fill, Fill),
    constants: Constants,
    seed: u64,
) {
    let random = &mut Random::new(seed);
    let input = fills.0.values(inputs, random);
    let weights = fills.1.values(inputs * classes, random);
    let proved = constants == Constants::Proved;
    let bias: Vec<i32> =
        (0..classes).map(|_| random.i32() >> if proved { 10 } else { 0 }).collect();
    let multipliers: Vec<i32> = (0..classes).map(|_| random.multiplier()).collect();
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    let shift = random.below(if proved { 5 } else { 31 }) as u32;
    let run = |kernels: KernelSet| {
        let mut output = Guarded::new(classes * 4);
        let (input, weights) = (&input, &weights);
        let output_words = output.as_mut_words();
        kernels.logits(LogitsArgs { input, weights, channels, shift, output: output_words });
        output.assert_intact();
        output.as_mut_words().to_vec()
    };
    let want = if proved {
        let logit = |(row, channel): (&[i8], Channel)| {
            let products = input.iter().zip(row).map(|(&x, &w)| i128::from(x) * i128::from(w));
            let sum = products.sum::<i128>() + i128::from(channel.bias);
            (((sum * i128::from(channel.multiplier)) << shift) >> 32) as i32
        };
        weights.chunks(inputs).zip(channels.iter()).map(logit).collect()
    } else {
        run(KernelSet::REFERENCE)
    };
    assert_eq!(run(kernels), want);
}

fn check_subsample(kernels: KernelSet, [y, x]: [Axis; 2], channels: [usize; 3], seed: u64) {
    let random = &mut Random::new(seed);
    let [before, copied, after] = channels;
    let from = Activation {
        tensor: 0,
        offset: 0,
        height: y.extent,
        width: x.extent,
        channels: copied,
        scale: 1.0,
        zero_point: random.i8(),
        wide: false,
        rows: y.extent,
    };
    let to = Activation {
        height: y.extent.div_ceil(y.stride),
        width: x.extent.div_ceil(x.stride),
        channels: before + copied + after,
        ..from
    };
    let input = random.int8(from.elements());
    let want = (0..to.elements()).map(|index| {
        let (pixel, c) = (index / to.channels, index % to.channels);
        let (iy, ix) = (pixel / to.width * y.stride, pixel % to.width * x.stride);
        match c.checked_sub(before) {
            Some(c) if c < copied => input[(iy * from.width + ix) * copied + c],
            _ => from.zero_point,
        }
    });
    let want: Vec<i8> = want.collect();
    let mut output = Guarded::new(want.len());
    kernels.subsample(SubsampleArgs {
        strides: [y.stride, x.stride],
        channels_before: before,
        from: &from,
        to: &to,
        input: &input,
        output: output.as_mut_int8(),
    });
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}

/// A square convolution with fixed data, for the corners that chance would miss.
fn square(
    extent: usize,
    kernel: usize,
    in_c: usize,
    out_c: usize,
    fills: (Fill, Fill),
) -> ConvCase {
    let pad = kernel / 2;
    let axis = Axis { extent, kernel, stride: 1, pads: (pad, pad), dilation: 1 };
    let (axes, shortcut) = ([axis; 2], Shortcut::InPlace);
    ConvCase { axes, groups: 1, group_in: in_c, group_out: out_c, shortcut, fills, seed: 1 }
}

/// Cases of each property; fewer where the machine may be emulated.
const CASES: u32 = if cfg!(target_arch = "x86_64") { 300 } else { 40 };

macro_rules! kernel_suite {
    ($($set:ident),*) => {$(
        mod $set {
            use super::*;

            /// Runs a check if this machine has the kernels.
            fn with(check: impl Fn(KernelSet)) {
                match KernelSet::available().find(|set| set.name().replace('-', "_") == stringify!($set)) {
                    Some(kernels) => check(kernels),
                    None => println!("not run: this machine has no {}", stringify!($set)),
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig {
                    failure_persistence: None,
                    ..ProptestConfig::with_cases(CASES)
                })]

                #[test]
                fn conv_is_exact(case in conv_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn conv_3x3_is_exact(case in conv_3x3_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn conv_3x3_wraps_as_the_reference(case in conv_3x3_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn conv_wraps_as_the_reference(case in conv_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn strided_conv_is_exact(case in strided_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn strided_conv_wraps_as_the_reference(case in strided_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn max_pool_is_exact(case in pool_case()) {
                    with(|kernels| check_max_pool(kernels, &case));
                }

                #[test]
                fn average_pool_is_exact(case in pool_case()) {
                    with(|kernels| check_average_pool(kernels, &case, Constants::Proved));
                }

                #[test]
                fn average_pool_wraps_as_the_reference(case in pool_case()) {
                    with(|kernels| check_average_pool(kernels, &case, Constants::Accepted));
                }

                #[test]
                fn add_is_exact(len in 1..100usize, a in fill(), b in fill(), seed: u64) {
                    with(|kernels| check_add(kernels, len, (a, b), Constants::Proved, seed));
                }

                #[test]
                fn add_wraps_as_the_reference(len in 1..100usize, a in fill(), b in fill(), seed: u64) {
                    with(|kernels| check_add(kernels, len, (a, b), Constants::Accepted, seed));
                }

                #[test]
                fn logits_are_exact(
                    size in (1..300usize, 1..40usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| check_logits(kernels, size, (a, b), Constants::Proved, seed));
                }

                #[test]
                fn logits_wrap_as_the_reference(
                    size in (1..300usize, 1..40usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| check_logits(kernels, size, (a, b), Constants::Accepted, seed));
                }

                #[test]
                fn subsample_is_exact(
                    y in axis(1), x in axis(1),
                    before in 0..5usize, copied in 1..9usize, after in 0..5usize, seed: u64,
                ) {
                    let channels = [before, copied, after];
                    with(|kernels| check_subsample(kernels, [y, x], channels, seed));
                }
            }

            /// 4,608 products, the longest sum of ResNet-34, of every pair of extreme values.
            #[test]
            fn conv_of_extreme_values_is_exact() {
                let fills = [Fill::Lowest, Fill::Highest, Fill::Alternating];
                for inputs in fills {
                    for weights in fills {
                        let case = square(3, 3, 512, 5, (inputs, weights));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// Stems: large windows at stride 2 over few channels, at every remainder of rows of pixels.
            #[test]
            fn conv_of_stems_is_exact() {
                for extent in 9..=20 {
                    let fills = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];
                    let fills = (fills[extent % 4], fills[extent / 4 % 4]);
                    let mut case = square(extent, 7, 3, 32, fills);
                    case.axes.iter_mut().for_each(|axis| axis.stride = 2);
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }
            }

            /// What fast algorithms for 3x3 windows serve: extents around whole tiles, channels of
            /// one chunk of sums and of more, with extreme values.
            #[test]
            fn conv_3x3_of_whole_vectors_is_exact() {
                let fills = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];
                let channels = [(16, 16), (48, 32), (128, 16), (144, 16), (272, 32)];
                for (index, extent) in [5, 7, 8, 9, 13, 17].into_iter().enumerate() {
                    for (in_c, out_c) in channels {
                        let pick = |n: usize| fills[(index * 5 + in_c / 16 + n) % fills.len()];
                        let case = square(extent, 3, in_c, out_c, (pick(0), pick(index / 3 + 1)));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// Patch lengths around whole vectors, channel counts around whole tiles, one pixel.
            #[test]
            fn conv_of_every_remainder_is_exact() {
                for in_c in 1..=33 {
                    for out_c in 1..=17 {
                        let case = square(1, 1, in_c, out_c, (Fill::Random, Fill::Random));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// 2^14 * 140,000 does not fit 32 bits.
            #[test]
            fn conv_with_a_sum_that_overflows_wraps_as_the_reference() {
                for extent in [1, 2] {
                    let case = square(extent, 1, 140_000, 6, (Fill::Lowest, Fill::Lowest));
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }
            }

            /// A kernel without the scratch that it asked for does nothing, rather than panic.
            #[test]
            fn conv_without_scratch_leaves_the_guards_alone() {
                let conv = Conv::new(&square(2, 3, 3, 5, (Fill::Random, Fill::Random)), Constants::Proved);
                with(|kernels| {
                    let mut output = Guarded::from_int8(&conv.residual);
                    kernels.conv(ConvArgs {
                        shape: &conv.shape,
                        input: &conv.input,
                        weights: Weights::ohwi(&conv.weights),
                        channels: Channels { bias: &conv.bias, multipliers: &conv.multipliers },
                        requantization: &conv.rq,
                        residual: Residual::InPlace,
                        first_row: 0,
                        output: output.as_mut_int8(),
                        scratch: &mut [],
                    });
                    output.assert_intact();
                });
            }
        }
    )*};
}

kernel_suite!(reference, generic);
#[cfg(target_arch = "x86_64")]
kernel_suite!(avx2);
#[cfg(target_arch = "aarch64")]
kernel_suite!(neon, dotprod);
#[cfg(all(target_arch = "arm", feature = "cortex-m"))]
kernel_suite!(cortex_m3, cortex_m4);
