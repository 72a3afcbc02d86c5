//! Divisions of steps: scratch of every part, and the bytes of the whole.

use super::*;
use crate::format::Channels;
use crate::numerics::Requantization;
use crate::support::{Guarded, Random, shapes};
use crate::{AlignedBytes, KernelFamily};
use std::vec;
use std::vec::Vec;

const RQ: Requantization = Requantization {
    shift: 5,
    fraction_bits: 14,
    offset: 1 << 13,
    residual_multiplier: 9_000,
    clamp: (-100, 127),
};

fn values(len: usize, seed: u64) -> Vec<i8> {
    Random::new(seed).int8(len)
}

fn shape(input: [usize; 3], out_c: usize, kernel: usize, stride: usize) -> ConvShape {
    let [height, width, in_c] = input;
    let of = |extent| shapes::layer(extent, (in_c, out_c), kernel, stride, 1);
    let output = [of(height).output[0], of(width).output[1], out_c];
    ConvShape { input, output, input_range: (-128, 127), ..of(height) }
}

fn shapes() -> [ConvShape; 5] {
    [
        shape([17, 9, 32], 80, 3, 1),
        shape([19, 12, 16], 48, 3, 2),
        shape([23, 18, 3], 32, 7, 2),
        shape([7, 7, 48], 64, 1, 1),
        shape([5, 4, 5], 7, 3, 1),
    ]
}

fn kernel(name: &str) -> ConvKernel {
    ConvKernel::from_name(name).unwrap()
}

/// The weights in every form that the kernels read.
fn forms(kernels: KernelSet, shape: &ConvShape, ohwi: &[i8]) -> Vec<(WeightForm, AlignedBytes)> {
    let aligned = |bytes: &[u8]| AlignedBytes::from_slice(bytes);
    let portable = (WeightForm::PORTABLE, aligned(zerocopy::IntoBytes::as_bytes(ohwi)));
    let others = forms_of(kernels.family(), shape).map(|(_, form)| form);
    let others = others.filter(|form| form.target != crate::format::Target::Portable);
    #[cfg(feature = "write")]
    let packed =
        |form| crate::layouts::pack(form, shape, ohwi).map(|bytes| (form, aligned(&bytes)));
    #[cfg(not(feature = "write"))]
    let packed = |_| None;
    core::iter::once(portable).chain(others.filter_map(packed)).collect()
}

/// A smaller block may need more scratch than a larger one, on this machine or on another.
#[test]
fn scratch_of_a_division_covers_every_block() {
    let random = &mut Random::new(3);
    let of_chance = (0..200).map(|_| shapes::random(30, random));
    let mut smaller_needs_more = 0;
    for shape in shapes::networks().into_iter().chain(of_chance) {
        for (family, form) in families().flat_map(|family| forms_of(family, &shape)) {
            let kernels = family.choice();
            let kernel = kernels.conv_kernel(&shape, form);
            let mut divisions = Vec::new();
            for threads in 1..=33 {
                let division = Division::choose(kernel, &shape, form, threads);
                if !divisions.contains(&division) {
                    divisions.push(division);
                }
            }
            for division in divisions {
                let Division::Channels(channels) = division else { continue };
                let share = Share::for_division(division, &shape, form, kernels);
                let [height, width, all] = shape.output;
                let needed = |first: usize| {
                    let block = with_output_channels(&shape, channels.min(all - first));
                    kernels.conv_kernel(&block, form).scratch_bytes(&block, form)
                };
                for first in (0..all).step_by(channels) {
                    let bytes = needed(first);
                    assert!(bytes <= share.kernel, "{family:?} {form:?} {shape:?} {division:?}");
                    smaller_needs_more += usize::from(bytes > needed(0));
                }
                assert!(share.output >= height * width * channels);
            }
        }
    }
    assert!(smaller_needs_more > 0, "no case that tells");
}

fn families() -> impl Iterator<Item = KernelFamily> {
    let targets = crate::format::Target::ALL.into_iter();
    targets.filter_map(KernelFamily::for_target).chain([KernelFamily::Generic])
}

/// The family, with each form of weights that it reads.
fn forms_of(
    family: KernelFamily,
    shape: &ConvShape,
) -> impl Iterator<Item = (KernelFamily, WeightForm)> {
    let targets = crate::format::Target::ALL.into_iter().filter(move |&t| family.runs(t));
    let layouts =
        |target| crate::format::WeightLayout::ALL.map(|layout| WeightForm { target, layout });
    let shape = *shape;
    let exists = move |form: &WeightForm| crate::layouts::weights_bytes(*form, &shape).is_some();
    targets.flat_map(layouts).filter(exists).map(move |form| (family, form))
}

#[test]
fn no_division_changes_a_byte() {
    for (index, shape) in shapes().into_iter().enumerate() {
        let mut case = Case::new(shape, index);
        // Any weights, which some layouts do not take.
        case.ohwi = values(case.ohwi.len(), 77);
        for residual in 0..3 {
            case.residual = residual;
            let (ohwi, whole) = (Weights::ohwi(&case.ohwi), Division::Rows(shape.output[0]));
            let want = case.run_divided(KernelSet::REFERENCE, whole, ohwi);
            for kernels in KernelSet::available() {
                for (form, bytes) in forms(kernels, &shape, &case.ohwi) {
                    let weights = Weights { form, bytes: &bytes };
                    let grain = kernels.conv_kernel(&shape, form).grain();
                    let rows = (1..=5).map(|part| Division::Rows(part * grain.rows));
                    let blocks = (1..=5).map(|part| Division::Channels(part * grain.channels));
                    let blocks = blocks.filter(|_| grain.channels > 0);
                    for division in rows.chain(blocks) {
                        let got = case.run_divided(kernels, division, weights);
                        let name = kernels.name();
                        assert_eq!(got, want, "{name} {form:?} {division:?} {residual}");
                    }
                }
            }
        }
    }
}

#[test]
fn bands_of_a_pool_and_parts_of_a_classifier_are_those_of_the_whole() {
    for pads in [[0; 4], [1; 4], [2, 1, 0, 1]] {
        let pool = PoolShape {
            input: [13, 9, 5],
            output: [6, 4, 5],
            kernel: [3, 3],
            strides: [2, 2],
            pads,
            input_zero_point: 0,
        };
        let input = values(13 * 9 * 5, 3);
        let mut want = vec![0; 6 * 4 * 5];
        KernelSet::REFERENCE.max_pool(&pool, (-90, 120), &input, &mut want).unwrap();
        for kernels in KernelSet::available() {
            for rows in 1..=6 {
                let mut got = vec![0; want.len()];
                max_pool_divided(kernels, rows, &pool, (-90, 120), &input, &mut got).unwrap();
                assert_eq!(got, want, "{} {rows} {pads:?}", kernels.name());
            }
        }
    }
    let (input, weights) = (values(70, 1), values(70 * 13, 2));
    let (bias, multipliers) = (vec![-40; 13], vec![1 << 20; 13]);
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    let run = |kernels: KernelSet, len: usize| {
        let mut output = vec![0; 13];
        let (input, weights, output_words) = (&input, &weights, &mut output);
        let args = LogitsArgs { input, weights, channels, shift: 2, output: output_words };
        logits_divided(kernels, len, args).unwrap();
        output
    };
    for kernels in KernelSet::available() {
        for len in 1..=13 {
            assert_eq!(run(kernels, len), run(KernelSet::REFERENCE, 13));
        }
    }
}

#[test]
fn small_layers_stay_whole_and_short_maps_are_divided_by_channels() {
    let of = |shape: &ConvShape, threads| {
        Division::choose(kernel("conv_winograd4_stored_avx2"), shape, WeightForm::PORTABLE, threads)
    };
    assert_eq!(of(&shape([8, 8, 32], 32, 3, 1), 2), Division::Rows(8));
    assert_eq!(of(&shape([56, 56, 64], 64, 3, 1), 1), Division::Rows(56));
    assert_eq!(of(&shape([56, 56, 64], 64, 3, 1), 2), Division::Rows(28));
    assert_eq!(of(&shape([28, 28, 128], 128, 3, 1), 2), Division::Channels(64));
    assert_eq!(of(&shape([7, 7, 512], 512, 3, 1), 3), Division::Channels(176));
}

/// Multiply-accumulates of a layer at most: larger maps have fewer rows here, which leaves channels and
/// columns, all kernels and all divisions as they are. `FIXNET_LONG=1` runs them whole.
const MOST_WORK: usize = 120_000_000;
/// Weights at most: more than any layer has but VGG's first fully connected one.
const MOST_WEIGHTS: usize = 20_000_000;

/// Thread counts that a test takes; equal divisions run once.
fn thread_counts() -> Vec<usize> {
    match cfg!(target_arch = "x86_64") {
        true => (1..=33).collect(),
        // Where the machine may be emulated.
        false => (1..=9).chain([17, 33]).collect(),
    }
}

/// The networks' convolutions, and some of chance with up to 2,048 channels: at full size, or where the
/// machine may be emulated on the smallest map of at most 7x7 that is worth several threads.
fn divided_shapes() -> Vec<ConvShape> {
    let random = &mut Random::new(11);
    let emulated = !cfg!(target_arch = "x86_64");
    let (extent, count) = if emulated { (4, 8) } else { (14, 30) };
    let of_chance = (0..count).map(|_| shapes::random(extent, random));
    let least = kernel("conv_direct8_neon").grain().least_work;
    let networks = if emulated { shapes::networks_worth(least, 7) } else { shapes::networks() };
    let most = if std::env::var_os("FIXNET_LONG").is_some() { usize::MAX } else { MOST_WORK };
    let all = networks.into_iter().chain(of_chance);
    let small = all.filter(|shape| shape.output[2] * shape.patch_len() <= MOST_WEIGHTS);
    small.map(|shape| shapes::with_fewer_rows(shape, most)).collect()
}

/// A convolution and its data. Weights are as small as most trained ones, so that every layout has room for
/// them.
struct Case {
    shape: ConvShape,
    input: Vec<i8>,
    ohwi: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<i32>,
    shortcut: Vec<i8>,
    /// None, in place, separate.
    residual: usize,
}

impl Case {
    fn new(shape: ConvShape, index: usize) -> Self {
        let [height, width, channels] = shape.output;
        let seed = 1 + index as u64;
        let (low, high) = shape.input_range;
        let mut input = values(shape.input.iter().product(), seed);
        input.iter_mut().for_each(|value| *value = (*value).clamp(low, high));
        let mut ohwi = values(channels * shape.patch_len(), seed + 77);
        ohwi.iter_mut().for_each(|weight| *weight /= 4);
        Self {
            shape,
            input,
            ohwi,
            bias: (0..channels as i32).map(|c| c * 1000 - 20_000).collect(),
            multipliers: std::vec![1 << 18; channels],
            shortcut: values(height * width * channels, seed + 5),
            residual: index % 3,
        }
    }

    fn args<'a>(
        &'a self,
        weights: Weights<'a>,
        output: &'a mut [i8],
        scratch: &'a mut [u8],
    ) -> ConvArgs<'a> {
        ConvArgs {
            shape: &self.shape,
            input: &self.input,
            weights,
            channels: Channels { bias: &self.bias, multipliers: &self.multipliers },
            requantization: &RQ,
            residual: match self.residual {
                0 => Residual::None,
                1 => Residual::InPlace,
                _ => Residual::Separate(&self.shortcut),
            },
            first_row: 0,
            output,
            scratch,
        }
    }

    /// Runs divided so, in as much scratch as its shares have.
    fn run_divided(&self, kernels: KernelSet, division: Division, weights: Weights<'_>) -> Vec<i8> {
        let share = Share::for_division(division, &self.shape, weights.form, kernels.choice());
        let parts = division.parts(&self.shape);
        let mut scratch = AlignedBytes::zeroed(share.bytes() * parts);
        scratch.as_mut_slice().fill(0xA5);
        let mut output = self.shortcut.clone();
        let args = self.args(weights, &mut output, scratch.as_mut_slice());
        conv_divided(kernels, division, args).unwrap();
        output
    }

    /// Runs on some threads, in as much scratch as is planned less `missing` bytes.
    fn run(
        &self,
        kernels: KernelSet,
        threads: usize,
        weights: Weights<'_>,
        missing: usize,
    ) -> Result<Vec<i8>, Fault> {
        let (shape, form) = (&self.shape, weights.form);
        let whole = kernels.conv_kernel(shape, form).scratch_bytes(shape, form);
        let planned = divided_bytes(kernels.choice(), shape, form, threads).unwrap_or(whole);
        let mut scratch = Guarded::new(planned - missing);
        let mut output = Guarded::from_int8(&self.shortcut);
        let args = self.args(weights, output.as_mut_int8(), scratch.as_mut_slice());
        let result = conv(kernels, threads, args);
        output.assert_intact();
        scratch.assert_intact();
        result.map(|()| output.as_mut_int8().to_vec())
    }

    /// Every division of one kernel's work.
    fn check(&self, kernels: KernelSet, kernel: ConvKernel, weights: Weights<'_>, want: &[i8]) {
        let (shape, form) = (&self.shape, weights.form);
        let name = kernel.name();
        let mut done = Vec::new();
        for threads in thread_counts() {
            let division = Division::choose(kernel, shape, form, threads);
            if done.contains(&division) {
                continue;
            }
            done.push(division);
            let got = self.run(kernels, threads, weights, 0).unwrap();
            assert!(got == want, "{name} {form:?} {shape:?} {division:?}: other bytes");
            if work(shape) < 3_000_000 && kernel.scratch_bytes(shape, form) > 0 {
                let short = self.run(kernels, threads, weights, 1);
                assert!(
                    matches!(short, Err(Fault::Length { .. })),
                    "{name} {division:?} {short:?}"
                );
            }
        }
    }
}

/// The result is that of the generic kernel as a whole, which the kernels' own tests hold against the
/// reference; that would take minutes here.
#[test]
fn every_division_of_the_networks_layers_gives_the_same_bytes_in_the_planned_scratch() {
    for (index, shape) in divided_shapes().into_iter().enumerate() {
        let case = Case::new(shape, index);
        let ohwi = Weights::ohwi(&case.ohwi);
        let want = case.run(KernelSet::GENERIC, 1, ohwi, 0).unwrap();
        // Of large layers, which take long, one division is enough: bands know nothing of channels.
        if work(&shape) < 20_000_000 {
            case.check(KernelSet::GENERIC, ConvKernel::GENERIC, ohwi, &want);
        } else {
            assert!(case.run(KernelSet::GENERIC, 3, ohwi, 0).unwrap() == want, "{shape:?}");
        }
        let mut done = Vec::new();
        for kernels in KernelSet::available().skip(2) {
            for (form, bytes) in forms(kernels, &shape, &case.ohwi) {
                let weights = Weights { form, bytes: &bytes };
                let able = kernels.family().conv_kernels();
                for kernel in able.filter(|kernel| kernel.computes(&shape, form)) {
                    // One machine's kernels are also the next one's.
                    if done.contains(&(kernel, form)) {
                        continue;
                    }
                    done.push((kernel, form));
                    let forced = kernels.with_conv_kernel(kernel).unwrap();
                    case.check(forced, kernel, weights, &want);
                }
                // What is chosen for a block need not be what is chosen for the whole.
                let chosen = kernels.conv_kernel(&shape, form);
                let differs =
                    |n| kernels.conv_kernel(&with_output_channels(&shape, n), form) != chosen;
                if (1..=shape.output[2] / 16).any(|blocks| differs(blocks * 16)) {
                    case.check(kernels, chosen, weights, &want);
                }
            }
        }
    }
}
