//! Every kernel of this machine once, on maps of a few pixels: what an interpreter that watches every
//! access (Miri) gets through in minutes. `./test.sh long` runs it there.

mod support;

use std::collections::BTreeSet;

use fixnet::format::{ModelSpec, StepKind, StepRecord, Target, TensorRecord, WeightLayout, flags};
use fixnet::kernels::ConvKernel;
use fixnet::session::{Hook, StepInfo};
use fixnet::{KernelFamily, KernelSet, Model, Session};
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

/// A tensor of values from 0 on, which layouts for few values ask for.
fn map(offset: u32, shape: [u32; 3]) -> TensorRecord {
    TensorRecord { zero_point: 0, ..model::tensor(offset, shape) }
}

/// A stem, a residual block in place, a strided convolution, one of one pixel, one of groups and a
/// classifier.
fn convolutions() -> ModelSpec {
    let random = &mut Random::new(3);
    let positive = |record| StepRecord { clamp_min: 0, ..record };
    let conv = |input, output| positive(window(record(StepKind::Conv, input, output), 1));
    let stem = StepRecord { kernel: [7, 7], strides: [2, 2], pads: [3; 4], ..conv(0, 1) };
    let residual =
        StepRecord { operand: 1, flags: flags::IN_PLACE, operand_multiplier: 20_000, ..conv(2, 3) };
    let strided = positive(window(record(StepKind::Conv, 3, 4), 2));
    let point = positive(record(StepKind::Conv, 4, 5));
    let grouped = StepRecord { groups: 4, ..conv(5, 6) };
    let steps = [
        (stem, 16 * 147, 16),
        (conv(1, 2), 16 * 144, 16),
        (residual, 16 * 144, 16),
        (strided, 32 * 144, 32),
        (point, 16 * 32, 16),
        (grouped, 16 * 36, 16),
        (record(StepKind::Logits, 6, 7), 5 * 96, 5),
    ];
    let mut steps = steps.map(|(record, weights, channels)| {
        let mut step = step(record, 0, weights, channels, random);
        // Layouts of 16-bit sums take small weights.
        step.weights.iter_mut().for_each(|weight| *weight /= 8);
        step
    });
    for (index, step) in steps.iter_mut().enumerate() {
        step.layer_name = format!("{index}");
    }
    let shapes = [[9, 11, 3], [5, 6, 16], [5, 6, 16], [5, 6, 16], [3, 3, 32], [3, 3, 16]];
    let mut tensors: Vec<TensorRecord> = Vec::new();
    let mut end = 0;
    for (index, shape) in shapes.into_iter().enumerate() {
        let offset = if index == 3 { tensors[1].offset } else { end };
        tensors.push(map(offset, shape));
        end = end.max(offset + shape.iter().product::<u32>().next_multiple_of(16));
    }
    tensors.push(map(end, [3, 3, 16]));
    tensors.push(logits(end + 144, 5));
    steps[6].weights.truncate(5 * 144);
    steps[6].weights.resize(5 * 144, 3);
    ModelSpec {
        name: "convolutions".to_owned(),
        tensors,
        steps: steps.to_vec(),
        input_tensor: 0,
        output_tensor: 7,
        arena_bytes: end + 144 + 20,
        preprocess: None,
        ..small()
    }
}

/// The network with every convolution in this layout that can have it.
fn packed(spec: &ModelSpec, target: Target, layout: WeightLayout) -> Option<ModelSpec> {
    let form = fixnet::format::WeightForm { target, layout };
    let takes = |index| spec.packed_weights(index, form).is_some();
    let layouts = (0..spec.steps.len())
        .map(|index| if takes(index) { layout } else { WeightLayout::Ohwi })
        .collect::<Vec<_>>();
    layouts.contains(&layout).then(|| spec.pack(target, &layouts)).flatten()
}

#[test]
fn every_convolution_kernel_of_this_machine_gives_the_bytes_of_the_reference() {
    let spec = convolutions();
    let want = run(&spec, KernelSet::REFERENCE, 1).outputs;
    for kernels in KernelSet::available().filter(|set| set.family() != KernelFamily::Reference) {
        let all: &[ConvKernel] = kernels.family().conv_kernels();
        let mut missing: BTreeSet<&str> = all.iter().map(|kernel| kernel.name()).collect();
        for target in Target::ALL.into_iter().filter(|&target| kernels.family().runs(target)) {
            for layout in WeightLayout::ALL {
                let Some(spec) = packed(&spec, target, layout) else { continue };
                // What none of these kernels is chosen for is chosen by name.
                for kernel in std::iter::once(ConvKernel::Generic).chain(all.iter().copied()) {
                    if kernel != ConvKernel::Generic && !missing.contains(kernel.name()) {
                        continue;
                    }
                    let chosen = match kernel {
                        ConvKernel::Generic => kernels,
                        kernel => kernels.with_conv_kernel(kernel).unwrap(),
                    };
                    let seen = run(&spec, chosen, 1);
                    assert_eq!(seen.outputs, want, "{} {kernel:?} {layout:?}", kernels.name());
                    missing.retain(|name| !seen.kernels.contains(name));
                }
            }
        }
        assert!(missing.is_empty(), "{}: none of the layers is of {missing:?}", kernels.name());
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
