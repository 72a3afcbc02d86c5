//! Pools, additions, classifiers and strided copies against the oracle.

use fixnet::KernelSet;
use fixnet::format::{Activation, Channels};
use fixnet::kernels::{LogitsArgs, PoolShape, SubsampleArgs};
use fixnet::numerics::{Addition, Channel};
use proptest::prelude::*;

use crate::cases::*;
use crate::support::{Guarded, Random};

#[derive(Debug, Clone)]
pub struct PoolCase {
    pub axes: [Axis; 2],
    pub channels: usize,
    pub fill: Fill,
    pub seed: u64,
}

pub fn pool_case() -> impl Strategy<Value = PoolCase> {
    (axis(1), axis(1), 1..=70usize, fill(), any::<u64>())
        .prop_map(|(y, x, channels, fill, seed)| PoolCase { axes: [y, x], channels, fill, seed })
}

impl PoolCase {
    pub fn shape(&self, random: &mut Random) -> PoolShape {
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
pub fn windows(s: &PoolShape, input: &[i8]) -> Vec<Vec<Option<i64>>> {
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

pub fn check_max_pool(kernels: KernelSet, case: &PoolCase) {
    let random = &mut Random::new(case.seed);
    let shape = case.shape(random);
    let input = case.fill.values(shape.input.iter().product(), random);
    let (a, b) = (random.i8(), random.i8());
    let clamp = if random.below(2) == 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
    let highest = |window: &Vec<Option<i64>>| window.iter().flatten().copied().max().unwrap();
    let want: Vec<i8> =
        windows(&shape, &input).iter().map(|w| clamped(highest(w).into(), clamp)).collect();
    let mut output = Guarded::new(want.len());
    kernels.max_pool(&shape, clamp, &input, output.as_mut_int8()).unwrap();
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}

pub fn check_average_pool(kernels: KernelSet, case: &PoolCase, constants: Constants) {
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
        kernels.average_pool(&shape, channel, &rq, &input, output.as_mut_int8()).unwrap();
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

/// Averages whose padding does not count: a pair of constants for each number of taps inside.
pub fn check_average_pool_inside(kernels: KernelSet, case: &PoolCase, constants: Constants) {
    let random = &mut Random::new(case.seed);
    let shape = case.shape(random);
    let input = case.fill.values(shape.input.iter().product(), random);
    let proved = constants == Constants::Proved;
    let rq =
        requantization(random.below(if proved { 9 } else { 31 }) as u32, false, constants, random);
    let area = shape.kernel[0] * shape.kernel[1];
    let bias: Vec<i32> = (0..area).map(|_| random.i32() >> if proved { 12 } else { 0 }).collect();
    let multipliers: Vec<i32> = (0..area).map(|_| random.multiplier()).collect();
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    let run = |kernels: KernelSet| {
        let mut output = Guarded::new(shape.output.iter().product());
        let to = output.as_mut_int8();
        kernels.average_pool_inside(&shape, channels, &rq, &input, to).unwrap();
        output.assert_intact();
        output.as_mut_int8().to_vec()
    };
    let want = if proved {
        let average = |window: &Vec<Option<i64>>| {
            let inside: Vec<i64> = window.iter().flatten().copied().collect();
            let index = inside.len() - 1;
            let channel = Channel { bias: bias[index], multiplier: multipliers[index] };
            exact(inside.iter().sum(), 0, channel, &rq)
        };
        windows(&shape, &input).iter().map(average).collect()
    } else {
        run(KernelSet::REFERENCE)
    };
    assert_eq!(run(kernels), want);
}

pub fn check_add(
    kernels: KernelSet,
    len: usize,
    fills: (Fill, Fill),
    constants: Constants,
    seed: u64,
) {
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
        kernels.add(&p, &a, &b, output.as_mut_int8()).unwrap();
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
    kernels.add_in_place(&p, &a, output.as_mut_int8()).unwrap();
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}

pub fn check_logits(
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
        kernels
            .logits(LogitsArgs { input, weights, channels, shift, output: output_words })
            .unwrap();
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

pub fn check_subsample(kernels: KernelSet, [y, x]: [Axis; 2], channels: [usize; 3], seed: u64) {
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
    kernels
        .subsample(SubsampleArgs {
            strides: [y.stride, x.stride],
            channels_before: before,
            from: &from,
            to: &to,
            input: &input,
            output: output.as_mut_int8(),
        })
        .unwrap();
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
}
