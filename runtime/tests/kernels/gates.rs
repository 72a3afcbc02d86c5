//! Tables, products, additions of one value a channel, and concatenations against the oracle.

use fixnet::KernelSet;
use fixnet::format::Channels;
use fixnet::kernels::ConcatArgs;
use fixnet::numerics::{Addition, Channel, Multiplication, Requantization};

use crate::cases::*;
use crate::support::{Guarded, Random};

/// One value a channel is added to each pixel as if it were there for each.
pub fn check_add_by_channel(kernels: KernelSet, pixels: usize, channels: usize, seed: u64) {
    let random = &mut Random::new(seed);
    let (a, b) = (random.int8(pixels * channels), random.int8(channels));
    let multipliers = (random.below(1 << 21) as i32, random.below(1 << 21) as i32);
    let p = Addition { multipliers, offset: random.i32() >> 4, clamp: (-120, 119) };
    let mut output = Guarded::new(a.len());
    kernels.add(&p, &a, &b, output.as_mut_int8()).unwrap();
    output.assert_intact();
    let mut want = vec![0; a.len()];
    KernelSet::REFERENCE.add(&p, &a, &b.repeat(pixels), &mut want).unwrap();
    assert_eq!(output.as_mut_int8(), want);
}

/// Of two tensors of one shape, and of one value a channel beside a map of so many pixels.
pub fn check_multiply(
    kernels: KernelSet,
    (pixels, channels): (usize, usize),
    fills: (Fill, Fill),
    constants: Constants,
    seed: u64,
) {
    let random = &mut Random::new(seed);
    let len = pixels * channels;
    let (a, b) = (fills.0.values(len, random), fills.1.values(len, random));
    let proved = constants == Constants::Proved;
    let shift = random.below(if proved { 9 } else { 31 }) as u32;
    let p = Multiplication {
        zero_points: (random.i8(), random.i8()),
        channel: Channel {
            bias: random.i32() >> if proved { 12 } else { 0 },
            multiplier: random.multiplier(),
        },
        requantization: requantization(shift, false, constants, random),
    };
    let separate = |kernels: KernelSet, b: &[i8]| {
        let mut output = Guarded::new(len);
        kernels.multiply(&p, &a, Some(b), output.as_mut_int8()).unwrap();
        output.assert_intact();
        output.as_mut_int8().to_vec()
    };
    let product = |(&a, &b): (&i8, &i8)| {
        let from_zero = |x: i8, zero: i8| i64::from(x) - i64::from(zero);
        let product = from_zero(a, p.zero_points.0) * from_zero(b, p.zero_points.1);
        exact(product, 0, p.channel, &p.requantization)
    };
    let want: Vec<i8> = if proved {
        a.iter().zip(&b).map(product).collect()
    } else {
        separate(KernelSet::REFERENCE, &b)
    };
    assert_eq!(separate(kernels, &b), want);
    let mut output = Guarded::from_int8(&b);
    kernels.multiply(&p, &a, None, output.as_mut_int8()).unwrap();
    output.assert_intact();
    assert_eq!(output.as_mut_int8(), want);
    let one = &b[..channels];
    assert_eq!(separate(kernels, one), separate(KernelSet::REFERENCE, &one.repeat(pixels)));
}

/// With one table, and with one for each channel.
pub fn check_lookup(kernels: KernelSet, pixels: usize, channels: usize, seed: u64) {
    let random = &mut Random::new(seed);
    let values = random.int8(pixels * channels);
    let (low, high) = (random.i8(), random.i8());
    let clamp = (low.min(high), low.max(high));
    for count in [1, channels] {
        let tables: Vec<[i8; 256]> =
            (0..count).map(|_| std::array::from_fn(|_| random.i8())).collect();
        let entry = |(index, &value): (usize, &i8)| {
            let entry = tables[index % count][(i16::from(value) + 128) as usize];
            entry.clamp(clamp.0, clamp.1)
        };
        let want: Vec<i8> = values.iter().enumerate().map(entry).collect();
        let mut output = Guarded::from_int8(&values);
        kernels.lookup(&tables, clamp, output.as_mut_int8()).unwrap();
        output.assert_intact();
        assert_eq!(output.as_mut_int8(), want);
    }
}

/// Some channels of an output, of which the others stay.
pub fn check_concat(
    kernels: KernelSet,
    pixels: usize,
    [before, own, after]: [usize; 3],
    constants: Constants,
    seed: u64,
) {
    let random = &mut Random::new(seed);
    let (input, weights) = (random.int8(pixels * own), random.int8(own));
    let total = before + own + after;
    let proved = constants == Constants::Proved;
    let shift = random.below(if proved { 9 } else { 31 }) as u32;
    let rq: Requantization = requantization(shift, false, constants, random);
    let bias: Vec<i32> = (0..own).map(|_| random.i32() >> if proved { 12 } else { 0 }).collect();
    let multipliers: Vec<i32> = (0..own).map(|_| random.multiplier()).collect();
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    let held = random.int8(pixels * total);
    let run = |kernels: KernelSet| {
        let mut output = Guarded::from_int8(&held);
        let args = ConcatArgs {
            input: &input,
            first: before,
            total,
            weights: &weights,
            channels,
            requantization: &rq,
            output: output.as_mut_int8(),
        };
        kernels.concat(args).unwrap();
        output.assert_intact();
        output.as_mut_int8().to_vec()
    };
    let want: Vec<i8> = if proved {
        let value = |(index, &held): (usize, &i8)| {
            let (pixel, c) = (index / total, index % total);
            let Some(c) = c.checked_sub(before).filter(|&c| c < own) else { return held };
            let product = i64::from(input[pixel * own + c]) * i64::from(weights[c]);
            exact(product, 0, Channel { bias: bias[c], multiplier: multipliers[c] }, &rq)
        };
        held.iter().enumerate().map(value).collect()
    } else {
        run(KernelSet::REFERENCE)
    };
    assert_eq!(run(kernels), want);
}

/// Arguments that do not fit each other are a fault, the same as the reference's.
pub fn check_hostile(kernels: KernelSet) {
    let random = &mut Random::new(29);
    for _ in 0..2_000 {
        let mut any = |most: u64| random.below(most) as usize;
        let (pixels, channels) = (any(4), any(5));
        let (len, operand, own, first) = (pixels * channels + any(2), any(12), any(5), any(4));
        let (tables, constants) = (any(5), any(6));
        let (bias, multipliers) = (vec![1; constants], vec![2 << 20; constants]);
        let rq = Requantization {
            shift: any(40) as u32,
            fraction_bits: any(20) as u32,
            offset: 0,
            residual_multiplier: 0,
            clamp: (-100, any(200) as i8),
        };
        let p = Multiplication {
            zero_points: (3, -4),
            channel: Channel { bias: 2, multiplier: 1 << 26 },
            requantization: rq,
        };
        let (a, b) = (random.int8(len), random.int8(operand));
        let weights = random.int8(own);
        let added = Addition { multipliers: (1 << 17, 1 << 18), offset: 5, clamp: rq.clamp };
        let table = vec![[7; 256]; tables];
        let run = |kernels: KernelSet| {
            let mut output = Guarded::from_int8(&vec![9; pixels * channels]);
            let multiplied = kernels.multiply(&p, &a, Some(&b), output.as_mut_int8());
            let in_place = kernels.multiply(&p, &a, None, output.as_mut_int8());
            let sum = kernels.add(&added, &a, &b, output.as_mut_int8());
            let looked_up = kernels.lookup(&table, rq.clamp, output.as_mut_int8());
            let joined = kernels.concat(ConcatArgs {
                input: &a,
                first,
                total: channels,
                weights: &weights,
                channels: Channels { bias: &bias, multipliers: &multipliers },
                requantization: &rq,
                output: output.as_mut_int8(),
            });
            output.assert_intact();
            let results = [multiplied, in_place, sum, looked_up, joined];
            (results, output.as_mut_int8().to_vec())
        };
        assert_eq!(run(kernels), run(KernelSet::REFERENCE));
    }
}
