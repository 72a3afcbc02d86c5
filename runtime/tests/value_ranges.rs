//! What a tensor can hold is what its writer clamps to: layouts that rely on few values are refused
//! wherever a file does not bear that out.

mod support;

use fixnet::format::{ModelSpec, Operator, Target, WeightForm, WeightLayout, write};
use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session};
use support::model::{input, large};

const U8S8: WeightForm = WeightForm { target: Target::X86_64Avx2, layout: WeightLayout::U8s8 };

/// Two convolutions, of which the first clamps to `clamp`; half of the weights' range.
fn network(clamp: (i8, i8)) -> ModelSpec {
    let mut spec = large();
    (spec.steps[0].record.clamp_min, spec.steps[0].record.clamp_max) = clamp;
    let weights = spec.steps.iter_mut().flat_map(|step| &mut step.weights);
    weights.for_each(|weight| *weight /= 2);
    spec
}

fn packed(clamp: (i8, i8)) -> Option<ModelSpec> {
    network(clamp).pack(Target::X86_64Avx2, &[WeightLayout::Ohwi, WeightLayout::U8s8])
}

fn ranges(file: &AlignedBytes) -> Vec<(i8, i8)> {
    let model = Model::new_checked(file).unwrap();
    let shapes = model.steps().filter_map(|step| match step.operator {
        Operator::Conv { shape, .. } => Some(shape.input_range),
        _ => None,
    });
    shapes.collect()
}

#[test]
fn the_range_is_what_the_writer_clamps_to_and_the_zero_point() {
    // The zero point of all tensors is -7.
    for (clamp, range) in [((-20, 5), (-20, 5)), ((0, 100), (-7, 100)), ((-90, -80), (-90, -7))] {
        assert_eq!(ranges(&write(&network(clamp)).unwrap()), [(-128, 127), range]);
    }
}

#[test]
fn few_values_may_be_multiplied_as_bytes_and_many_may_not() {
    assert!(packed((-128, -1)).is_some());
    assert!(packed((-128, 0)).is_none());
    let input = network((-128, -1)).packed_weights(0, U8S8);
    assert_eq!(input, None, "the network's input holds any value");
}

#[test]
fn a_file_whose_writer_clamps_to_many_values_is_refused() {
    let mut spec = packed((-128, -1)).unwrap();
    let file = write(&spec).unwrap();
    assert_eq!(Model::new_checked(&file).unwrap().version(), (1, 3));
    spec.steps[0].record.clamp_max = 0;
    assert_eq!(write(&spec).unwrap_err(), ModelError::BadWeights { step: 1 });
}

#[test]
fn products_of_bytes_give_the_same_logits() {
    let logits = |file: &AlignedBytes, kernels: KernelSet| {
        let model = Model::new_checked(file).unwrap();
        let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        let values = input(session.input_mut().len());
        session.input_mut().copy_from_slice(&values);
        session.run().unwrap().to_vec()
    };
    let wanted = logits(&write(&network((-128, -1))).unwrap(), KernelSet::REFERENCE);
    let file = write(&packed((-128, -1)).unwrap()).unwrap();
    let able = KernelSet::available().filter(|set| set.family().runs(Target::X86_64Avx2));
    let mut ran = 0;
    for kernels in able {
        assert_eq!(logits(&file, kernels), wanted, "{}", kernels.name());
        ran += 1;
    }
    if ran == 0 {
        println!("NOT RUN: this machine has no AVX2");
    }
}
