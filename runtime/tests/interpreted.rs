//! Every kernel of this machine once, on maps of a few pixels: what an interpreter that watches every
//! access (Miri) gets through in minutes. `./test.sh long` runs it there.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use fixnet::format::{
    ModelSpec, StepKind, StepRecord, Target, TensorRecord, WeightForm, WeightLayout, flags,
};
use fixnet::kernels::{ConvKernel, ConvShape};
use fixnet::session::{Hook, StepInfo};
use fixnet::{KernelSet, Model, Session};
use support::model::{self, logits, record, small, step, window};
use support::{Guarded, Random};

/// What every step gave, and the names of the kernels that ran.
#[derive(Default)]
struct Seen {
    outputs: Vec<Vec<u8>>,
    kernels: BTreeSet<&'static str>,
}

impl Hook for Seen {
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        self.kernels.insert(info.kernel);
        self.outputs.push(output.to_vec());
    }
}

fn run(spec: &ModelSpec, kernels: KernelSet, threads: usize) -> Seen {
    let file = model::file(spec);
    let model = Model::new_checked(&file).unwrap();
    let mut arena = Guarded::new(model.required_by_threads(kernels, threads).arena());
    let memory = arena.as_mut_slice();
    let mut session = Session::with_threads(&model, memory, kernels, threads).unwrap();
    let len = session.input_mut().len();
    session.input_mut().copy_from_slice(&model::input(len));
    let mut seen = Seen::default();
    session.run_with(&mut seen).unwrap();
    arena.assert_intact();
    seen
}

/// A convolution of `taps` weights a channel.
struct Case {
    record: StepRecord,
    input: [u32; 3],
    output: [u32; 3],
    taps: usize,
}

/// Windows of every kind, the cheap ones first.
fn cases() -> [Case; 7] {
    let conv = || window(record(StepKind::Conv, 0, 1), 1);
    let case = |record, input, output, taps| Case { record, input, output, taps };
    let stem = StepRecord { kernel: [7, 7], strides: [2, 2], pads: [3; 4], ..conv() };
    let strided = window(record(StepKind::Conv, 0, 1), 2);
    let single = record(StepKind::Conv, 0, 1);
    [
        case(StepRecord { groups: 20, ..single }, [3, 2, 20], [3, 2, 20], 1),
        case(StepRecord { groups: 20, ..conv() }, [3, 2, 20], [3, 2, 20], 9),
        case(StepRecord { groups: 4, ..conv() }, [3, 2, 8], [3, 2, 12], 18),
        case(single, [3, 3, 20], [3, 3, 32], 20),
        case(strided, [5, 5, 16], [3, 3, 16], 144),
        case(stem, [7, 5, 3], [4, 3, 16], 147),
        case(conv(), [4, 5, 16], [4, 5, 16], 144),
    ]
}

/// The input is copied by a step, so that the range of its values is known; then the convolution twice,
/// the second time into the place of its residual, and a classifier.
fn network(case: &Case) -> ModelSpec {
    let random = &mut Random::new(3);
    let len = |[height, width, channels]: [u32; 3]| height * width * channels;
    let [inputs, outputs] = [len(case.input), len(case.output)].map(|n| n.next_multiple_of(16));
    // Values from 0 on, which layouts for few values ask for.
    let map = |offset, shape| TensorRecord { zero_point: 0, ..model::tensor(offset, shape) };
    let (copied, output) = (map(inputs + outputs, case.input), map(inputs, case.output));
    let copy = StepRecord { groups: case.input[2], clamp_min: 0, ..record(StepKind::Conv, 2, 0) };
    let conv = StepRecord { clamp_min: 0, ..case.record };
    let residual = StepRecord {
        operand: 1,
        output: 3,
        flags: flags::IN_PLACE,
        operand_multiplier: 20_000,
        ..conv
    };
    let [colours, channels] = [case.input[2], case.output[2]].map(|n| n as usize);
    let mut steps = vec![
        step(copy, 0, colours, colours, random),
        step(conv, 0, case.taps * channels, channels, random),
        step(residual, 0, case.taps * channels, channels, random),
        step(record(StepKind::Logits, 3, 4), 0, 3 * len(case.output) as usize, 3, random),
    ];
    for step in &mut steps {
        // Layouts of 16-bit sums take small weights.
        step.weights.iter_mut().for_each(|weight| *weight /= 8);
    }
    ModelSpec {
        name: "convolution".to_owned(),
        tensors: vec![map(0, case.input), output, copied, output, logits(2 * inputs + outputs, 3)],
        steps,
        input_tensor: 2,
        output_tensor: 4,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 2 * inputs + outputs + 12,
        preprocess: None,
        ..small()
    }
}

/// Cases that each kernel runs: every one that it computes, or as many as an interpreter gets through.
const CASES: usize = if cfg!(miri) { 1 } else { usize::MAX };

/// Every form of a convolution's weights, but for the portable one under another target's name.
fn forms() -> impl Iterator<Item = WeightForm> {
    let all = Target::ALL.into_iter().flat_map(|target| WeightLayout::ALL.map(|l| (target, l)));
    let forms = all.map(|(target, layout)| WeightForm { target, layout });
    forms.filter(|&form| form == WeightForm::PORTABLE || form.layout != WeightLayout::Ohwi)
}

/// The kernels of this machine that compute a convolution from weights of `form`, each in a set that chooses
/// it.
fn computing(shape: &ConvShape, form: WeightForm) -> impl Iterator<Item = (KernelSet, ConvKernel)> {
    let sets = KernelSet::available().filter(move |set| set.family().runs(form.target));
    let kernels = sets.flat_map(|set| set.family().conv_kernels().map(move |kernel| (set, kernel)));
    let chosen = kernels.map(|(set, kernel)| (set.with_conv_kernel(kernel).unwrap(), kernel));
    chosen.filter(move |(set, kernel)| set.conv_kernel(shape, form) == *kernel)
}

#[test]
fn every_convolution_kernel_of_this_machine_gives_the_bytes_of_the_reference() {
    let sets = KernelSet::available();
    let kernels = sets.flat_map(|set| set.family().conv_kernels().map(move |kernel| (set, kernel)));
    let mut runs: BTreeMap<(&str, &str), usize> =
        kernels.map(|(set, kernel)| ((set.name(), kernel.name()), 0)).collect();
    for case in cases() {
        let spec = network(&case);
        let want = run(&spec, KernelSet::REFERENCE, 1).outputs;
        let shape = spec.conv_shape(2).unwrap();
        let takes = |form| (1..3).all(|step| spec.packed_weights(step, form).is_some());
        for form in forms() {
            // Packing takes an interpreter long: only for a kernel that has not run often enough.
            let waiting = computing(&shape, form);
            let waiting: Vec<_> = waiting
                .filter(|(set, kernel)| runs[&(set.name(), kernel.name())] < CASES)
                .collect();
            if waiting.is_empty() || !takes(form) {
                continue;
            }
            let WeightForm { target, layout } = form;
            let packed = spec.pack(target, &[WeightLayout::Ohwi, layout, layout]).unwrap();
            for (set, kernel) in waiting {
                if cfg!(miri) {
                    println!("{} {} {layout:?}", set.name(), kernel.name());
                }
                let got = run(&packed, set, 1);
                assert_eq!(got.outputs, want, "{} {kernel:?} {form:?}", set.name());
                assert!(got.kernels.contains(kernel.name()), "{kernel:?} did not run");
                *runs.entry((set.name(), kernel.name())).or_default() += 1;
            }
        }
    }
    for ((set, kernel), runs) in runs {
        assert!(runs > 0, "{set}: none of the cases is for {kernel}");
    }
}

#[test]
fn every_kind_of_step_gives_the_bytes_of_the_reference() {
    let mut streamed = small();
    streamed.tensors[1].rows = 4;
    for spec in [small(), streamed] {
        let want = run(&spec, KernelSet::REFERENCE, 1).outputs;
        for kernels in KernelSet::available() {
            for threads in [1, 3] {
                let got = run(&spec, kernels, threads).outputs;
                assert_eq!(got, want, "{} on {threads} threads", kernels.name());
            }
        }
    }
}
