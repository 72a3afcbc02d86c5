//! What a network gives: outputs of every kind, their values, and tables that say what is not so.

mod support;

use fixnet::format::{self, ModelSpec, OutputFunction, OutputKind, OutputSpec, Selection};
use fixnet::{AlignedBytes, Model, ModelError, Session};
use support::model::{self, many_outputs};

/// Runs the model; the bytes of every output.
fn run(model: &Model<'_>) -> Vec<Vec<u8>> {
    let mut arena = AlignedBytes::zeroed(model.required(fixnet::KernelSet::detect()).arena());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    let input = model::input(model.input().elements());
    session.input_mut().copy_from_slice(&input);
    assert_eq!(session.output(0), None);
    session.run().unwrap();
    let bytes = (0..model.outputs().count()).map(|index| session.output(index).unwrap().to_vec());
    bytes.collect()
}

#[test]
fn outputs_are_told_and_are_tensors_of_the_plan() {
    let (file, plain) = (model::file(&many_outputs()), model::file(&model::small()));
    let model = Model::new_checked(&file).unwrap();
    assert_eq!(model.version(), (1, 9));
    let told = model.outputs().map(|o| (o.name, o.kind.name(), o.count)).collect::<Vec<_>>();
    let want = [
        ("scores", "scores", 10),
        ("best", "index", 3),
        ("largest", "vector", 3),
        ("features", "vector", 12),
        ("gates", "probability", 12),
        ("map", "map", 48),
        ("chances", "vector", 3),
        ("logarithms", "scores", 10),
    ];
    assert_eq!(told, want);
    assert_eq!(model.classes(), 10);
    let labels: Vec<&str> = model.labels().unwrap().collect();
    assert_eq!((labels.len(), labels[7]), (10, "class 7"));
    let bytes = run(&model);
    let without = Model::new_checked(&plain).unwrap();
    assert_eq!(bytes[0], run(&without)[0], "the plan is the same");
    let lengths: Vec<usize> = bytes.iter().map(Vec::len).collect();
    assert_eq!(lengths, [40, 40, 40, 12, 12, 48, 40, 40]);
    // A file that says nothing has one vector of scores.
    let scores = without.outputs().collect::<Vec<_>>();
    assert_eq!((scores.len(), scores[0].name, scores[0].kind), (1, "fc", OutputKind::Scores));
    assert!(without.labels().is_none());
}

#[test]
fn values_are_those_of_the_function_and_the_selection() {
    let file = model::file(&many_outputs());
    let model = Model::new_checked(&file).unwrap();
    let bytes = run(&model);
    let outputs: Vec<_> = model.outputs().collect();
    let real: Vec<Vec<f64>> = outputs.iter().zip(&bytes).map(|(o, b)| o.tensor_values(b)).collect();
    let values: Vec<Vec<f64>> = outputs.iter().zip(&real).map(|(o, r)| o.values(r)).collect();
    assert_eq!(values[0], real[0]);
    // By hand: the largest three, one after the other.
    let mut left: Vec<(usize, f64)> = real[0].iter().copied().enumerate().collect();
    for (found, largest) in values[1].iter().zip(&values[2]) {
        let mut best = 0;
        for at in 1..left.len() {
            best = if left[at].1 > left[best].1 { at } else { best };
        }
        let (position, value) = left.remove(best);
        assert_eq!((*found, *largest), (position as f64, value));
    }
    let squares: f64 = values[3].iter().map(|v| v * v).sum();
    assert!((squares - 1.0).abs() < 1e-12);
    let scale = real[3].iter().zip(&values[3]).map(|(r, v)| r * values[3][0] - v * real[3][0]);
    assert!(scale.into_iter().all(|difference| difference.abs() < 1e-12));
    for (gate, real) in values[4].iter().zip(&real[4]) {
        assert!((gate / (1.0 - gate) - real.exp()).abs() < 1e-9 * real.exp());
    }
    assert_eq!(values[5], real[5]);
    let total: f64 = values[7].iter().map(|log| log.exp()).sum();
    assert!((total - 1.0).abs() < 1e-12);
    for (chance, position) in values[6].iter().zip(&values[1]) {
        assert!((chance - values[7][*position as usize].exp()).abs() < 1e-12);
    }
    let map = outputs[5].activation;
    let first = f64::from(bytes[5][0].cast_signed()) - f64::from(map.zero_point);
    assert_eq!(values[5][0], first * f64::from(map.scale));
}

#[test]
fn equal_values_come_in_the_order_of_their_positions_and_zeros_have_no_direction() {
    let file = model::file(&many_outputs());
    let outputs: Vec<_> = Model::new_checked(&file).unwrap().outputs().collect();
    assert_eq!(outputs[1].values(&[0.0, 2.0, -0.0, 2.0, 1.0, 0.0]), [1.0, 3.0, 4.0]);
    assert_eq!(outputs[1].values(&[-0.0, 0.0, 0.0]), [0.0, 1.0, 2.0]);
    assert_eq!(outputs[3].values(&[0.0; 12]), [0.0; 12]);
}

#[test]
fn repacking_keeps_the_outputs() {
    let file = model::file(&many_outputs());
    let model = Model::new_checked(&file).unwrap();
    let spec = ModelSpec::from_model(&model);
    assert_eq!(spec.outputs, many_outputs().outputs);
    assert!(*format::write(&spec).unwrap() == *file);
    assert!(*format::unpack(&model).unwrap() == *file);
}

fn refused(change: impl FnOnce(&mut ModelSpec)) -> ModelError {
    let mut spec = many_outputs();
    change(&mut spec);
    format::write(&spec).unwrap_err()
}

#[test]
fn a_table_that_says_what_is_not_so_is_refused() {
    type Change = fn(&mut OutputSpec);
    let changes: [(usize, Change); 12] = [
        (0, |o| o.tensor = 8),                // not the first tensor of the header
        (1, |o| o.kind = OutputKind::Vector), // positions are an index
        (2, |o| o.kind = OutputKind::Index),  // values are none
        (0, |o| o.kind = OutputKind::Index),
        (1, |o| o.count = 0),
        (1, |o| o.count = 11),
        (0, |o| o.count = 10),                // a count without a selection
        (3, |o| o.tensor = 10),               // no such tensor
        (3, |o| o.tensor = 1),                // overwritten since
        (5, |o| o.kind = OutputKind::Vector), // a map is no vector
        (5, |o| o.kind = OutputKind::Scores),
        (5, |o| (o.selection, o.count) = (Selection::Largest, 2)),
    ];
    for (case, (output, change)) in changes.into_iter().enumerate() {
        let error = refused(|spec| change(&mut spec.outputs[output]));
        assert_eq!(error, ModelError::BadOutput { output: output as u16 }, "case {case}");
    }
    let function = refused(|spec| spec.outputs[3].name = "two\nlines".to_owned());
    assert!(matches!(function, ModelError::BadSection { .. }), "{function}");
    let many = refused(|spec| spec.outputs.resize(65, spec.outputs[0].clone()));
    assert_eq!(many, ModelError::BadCount { count: 65 });
    // The last step computes none of them.
    let last = refused(|spec| {
        (spec.outputs, spec.labels) = (vec![spec.outputs[5].clone()], Vec::new());
        spec.output_tensor = 7;
    });
    assert_eq!(last, ModelError::BadReference { step: 8 });
}

#[test]
fn a_streamed_tensor_is_no_output() {
    let error = refused(|spec| {
        spec.tensors[1].rows = 4;
        spec.outputs[5].tensor = 1;
    });
    assert_eq!(error, ModelError::BadOutput { output: 5 });
}

#[test]
fn there_is_one_name_for_each_class() {
    let labels: [&[&str]; 4] = [&["a"; 9], &["a"; 11], &["a", ""], &["\u{7}"; 10]];
    for labels in labels {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let error = refused(|spec| spec.labels = labels);
        assert!(matches!(error, ModelError::BadSection { .. }), "{error}");
    }
    let vector = refused(|spec| {
        spec.outputs.swap(0, 3);
        spec.output_tensor = 8;
        spec.outputs[0].function = OutputFunction::None;
    });
    assert!(matches!(vector, ModelError::BadSection { .. }), "a vector has no classes: {vector}");
}

#[test]
fn names_without_a_table_are_those_of_the_scores() {
    let spec = ModelSpec { outputs: Vec::new(), ..many_outputs() };
    let file = model::file(&spec);
    let model = Model::new_checked(&file).unwrap();
    assert_eq!((model.version(), model.labels().unwrap().count()), ((1, 9), 10));
}
