//! Bytes by chance: whatever is accepted runs within its bounds.

use fixnet::format::{Operator, Target, WeightLayout};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, Session};
use proptest::prelude::*;

use crate::seal;
use crate::support::model::{self, header, large, small};
use crate::support::{Guarded, Random};

/// Work of a model as its own records tell it.
pub fn work(model: &Model<'_>) -> u64 {
    let step = |step: fixnet::format::Step<'_>| {
        let outputs = step.output.elements() as u64;
        outputs
            * match step.operator {
                Operator::Conv { shape, .. } => shape.patch_len() as u64,
                Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => {
                    shape.kernel[0] as u64 * shape.kernel[1] as u64
                }
                Operator::Logits { .. } => step.input.elements() as u64,
                _ => 1,
            }
    };
    model.steps().map(step).sum()
}

/// A file that is accepted runs with every kernel set, inside its arena, to the same bytes,
/// whatever the arena held before. Returns whether it was accepted.
pub fn refuse_or_run(bytes: &AlignedBytes) -> bool {
    let model = match Model::new_checked(bytes) {
        Ok(model) => model,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let _ = (model.verify_weights(), model.name(), model.weight_bytes());
    assert!(model.macs() <= work(&model));
    assert_eq!(model.steps().count(), model.step_count());
    assert_eq!(model.layers().count(), model.step_count());
    let largest = KernelSet::available().map(|set| model.required(set).arena()).max().unwrap();
    if largest > 1 << 22 || work(&model) > 1 << 22 {
        return true;
    }
    let mut first: Option<(Vec<i32>, Vec<u32>)> = None;
    let garbage = [0x00, 0x7F, 0xFF].into_iter().cycle();
    let able = KernelSet::available().filter(|set| set.family().runs(model.target()));
    for (garbage, kernels) in garbage.zip(able) {
        let mut arena = Guarded::new(model.required(kernels).arena());
        arena.as_mut_slice().fill(garbage);
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        let input = session.input_mut();
        let len = input.len();
        input.copy_from_slice(&model::input(len));
        if model.preprocess().is_some() {
            let rgb: Vec<u8> = model::input(len).iter().map(|&x| x as u8).collect();
            session.set_pixels(&rgb).unwrap();
        }
        let mut checksums = Checksums::<16>::new();
        let logits = session.run_with(&mut checksums).unwrap().to_vec();
        arena.assert_intact();
        let found = (logits, checksums.values().to_vec());
        assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "{}", kernels.name());
    }
    true
}

/// Every byte of the plan replaced by every kind of value, with the checksum put right.
#[test]
fn every_forged_byte_is_refused_or_runs() {
    let bytes = model::file(&small());
    forge_every_byte(&bytes, header(&bytes).preprocess_offset + 56);
    for spec in [model::gated(), model::many_outputs()] {
        let file = model::file(&spec);
        forge_every_byte(&file, header(&file).plan_bytes);
    }
}

fn forge_every_byte(bytes: &AlignedBytes, end: u32) {
    let mut accepted = 0;
    for at in 0..header(bytes).plan_bytes.min(end) as usize {
        let old = bytes[at];
        for new in [0, 1, 2, 3, 0x7F, 0x80, 0xFF, old ^ 0x10, old.wrapping_add(16)] {
            let mut forged = bytes.clone();
            forged.as_mut_slice()[at] = new;
            seal(forged.as_mut_slice());
            accepted += usize::from(new != old && refuse_or_run(&forged));
        }
    }
    // The test would prove little if it never got past the checker.
    assert!(accepted > 500, "{accepted} accepted");
}

fn field() -> impl Strategy<Value = (usize, u32)> {
    let value = prop_oneof![
        4 => 0..20u32,
        2 => (0..60u32).prop_map(|n| n * 16),
        1 => (0..32u32).prop_map(|bit| 1 << bit),
        1 => (0..32u32).prop_map(|bit| (1u32 << bit).wrapping_neg()),
        1 => any::<u32>(),
    ];
    (any::<usize>(), value)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(20_000)
    })]

    /// Several 16-bit fields of tensors, steps and layers replaced at once.
    #[test]
    fn forged_fields_are_refused_or_run(
        fields in prop::collection::vec(field(), 1..4), wide: bool, which in 0..4, streamed: bool,
    ) {
        let mut spec = match which {
            0 => small(),
            1 => model::small_with_mean_image(),
            _ => model::gated(),
        };
        spec.tensors[1].rows = if streamed { 4 } else { 0 };
        if which > 1 {
            spec.tensors[1].rows = 0;
        }
        let mut bytes = model::file(&spec);
        let header = header(&bytes);
        let (from, to) = (header.tensors_offset as usize, header.plan_bytes as usize);
        for (at, value) in fields {
            let size = if wide { 4 } else { 2 };
            let at = from + at % ((to - from) / size) * size;
            bytes.as_mut_slice()[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        seal(bytes.as_mut_slice());
        refuse_or_run(&bytes);
    }
}

/// Weights are never trusted: any will do, -128 included.
#[test]
fn arbitrary_weights_run_alike_with_all_kernels() {
    for fill in [i8::MIN, -1, 0, i8::MAX] {
        for mut spec in [small(), model::gated()] {
            spec.steps.iter_mut().for_each(|step| step.weights.fill(fill));
            assert!(refuse_or_run(&model::file(&spec)));
        }
    }
}

/// Packed weights are not trusted either: whatever their bytes are, nothing is read or written outside.
#[test]
fn arbitrary_packed_weights_run_within_their_bounds() {
    let mut spec = large();
    (spec.steps[0].record.clamp_min, spec.steps[0].record.clamp_max) = (-128, -1);
    spec.steps.iter_mut().flat_map(|step| &mut step.weights).for_each(|weight| *weight /= 2);
    let mut ran = 0;
    for (target, layout) in Target::ALL.into_iter().flat_map(|t| WeightLayout::ALL.map(|l| (t, l)))
    {
        let layouts = [WeightLayout::Ohwi, layout];
        let Some(mut packed) = spec.pack(target, &layouts) else { continue };
        for seed in 0..4 {
            let mut random = Random::new(seed);
            for weight in &mut packed.steps[1].weights {
                // Small and large numbers in turn, where a layout keeps numbers of places.
                *weight = if seed % 2 == 0 { random.i8() } else { (random.i8() as u8 >> 7) as i8 };
            }
            ran += run_in_bounds(&model::file(&packed), target);
        }
    }
    assert!(ran > 0);
}

/// Runs with every set that there is for the target; returns how many there were.
fn run_in_bounds(file: &AlignedBytes, target: Target) -> usize {
    let model = Model::new_checked(file).unwrap();
    let sets = KernelSet::available().filter(|set| set.family().runs(target));
    sets.map(|kernels| {
        let mut arena = Guarded::new(model.required(kernels).arena());
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        let values = model::input(session.input_mut().len());
        session.input_mut().copy_from_slice(&values);
        session.run().unwrap();
        arena.assert_intact();
    })
    .count()
}
