//! What the random networks found, each in its smallest form.

use std::collections::{BTreeSet, HashMap};

use tools::data::Recipe;

use crate::common::onnx::{Model, int, ints, string};
use crate::generator::{Network, Softmax};
use crate::judge::{Outcome, judge};
use crate::oracle::Oracle;

/// A model of operator set 13 for images of 8x8, whose stem is a convolution of 6 channels.
fn stem() -> Model {
    let model = Model::new(13, &[1, 3, 8, 8]).weights("stem.w", &[6, 3, 3, 3]);
    model.node("Conv", &["x", "stem.w"], "stem", &[ints("kernel_shape", &[3, 3])])
}

fn outcome(mut model: Model, scores: &str, softmax: Option<Softmax>) -> Outcome {
    use crate::common::onnx::info;
    let output = model.graph().output[0].name.clone();
    model.graph().output = vec![info(&output, &[1, 6])];
    // rten keeps nodes and tensors under one roof.
    model.graph().node.iter_mut().for_each(|node| node.name.insert_str(0, "node."));
    let network = Network {
        seed: 1,
        plain: model.proto.clone(),
        proto: model.proto,
        features: BTreeSet::new(),
        shape: vec![1, 3, 8, 8],
        scores: scores.to_string(),
        softmax,
        recipe: Recipe::default(),
        implicit_pads: HashMap::new(),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    judge(&network, &mut Oracle::start(), folder.path())
}

/// Asserts that the model is taken, split or whole, and agrees with the oracle.
fn assert_agrees(model: Model, scores: &str, softmax: Option<Softmax>, split: bool) {
    match outcome(model, scores, softmax) {
        Outcome::Agrees { split: found } => assert_eq!(found, split),
        Outcome::Wrong(fault) => panic!("{fault:?}"),
        Outcome::Fallback { why } | Outcome::Refused { why } | Outcome::Unjudged { why } => {
            panic!("{why}")
        }
    }
}

#[test]
fn a_map_is_taken_from_a_constant() {
    let model = stem().weights("c", &[6, 1, 1]).node("Sub", &["c", "stem"], "taken", &[]);
    assert_agrees(model.pooled("taken"), "y", None, false);
}

#[test]
fn implicit_padding_keeps_its_place_before_a_strided_point() {
    for padding in ["SAME_UPPER", "SAME_LOWER"] {
        let model = stem()
            .weights("w", &[6, 6, 5, 5])
            .weights("point", &[6, 6, 1, 1])
            .node("Conv", &["stem", "w"], "same", &[string("auto_pad", padding)])
            .node("Relu", &["same"], "active", &[])
            .node("Conv", &["active", "point"], "strided", &[ints("strides", &[2, 2])]);
        assert_agrees(model.pooled("strided"), "y", None, false);
    }
}

/// The crop has no int8 form: what is judged runs whole or in part in float.
#[test]
fn a_crop_before_a_strided_point_keeps_its_first_row() {
    let mut model = stem()
        .weights("point", &[6, 6, 1, 1])
        .node("Relu", &["stem"], "map", &[])
        .ints("starts", &[1, 0])
        .ints("ends", &[i64::MAX, i64::MAX])
        .ints("axes", &[2, 3])
        .node("Slice", &["map", "starts", "ends", "axes"], "cropped", &[])
        .node("Conv", &["cropped", "point"], "strided", &[ints("strides", &[2, 2])]);
    model = model.pooled("strided");
    match outcome(model, "y", None) {
        Outcome::Agrees { .. } | Outcome::Fallback { .. } => {}
        Outcome::Wrong(fault) => panic!("{fault:?}"),
        Outcome::Refused { why } | Outcome::Unjudged { why } => panic!("{why}"),
    }
}

#[test]
fn a_map_is_taken_from_another() {
    let model = stem()
        .weights("w", &[6, 6, 1, 1])
        .weights("w2", &[6, 6, 3, 3])
        .node("Relu", &["stem"], "map", &[])
        .node("Conv", &["map", "w"], "a", &[ints("kernel_shape", &[1, 1])])
        .node("Conv", &["map", "w2"], "b", &[ints("pads", &[1; 4])])
        .node("Sub", &["a", "b"], "difference", &[]);
    assert_agrees(model.pooled("difference"), "y", None, false);
}

#[test]
fn zeros_of_a_shape_are_floats_where_nothing_else_is_said() {
    let model = stem()
        .ints("shape", &[1, 2, 6, 6])
        .node("ConstantOfShape", &["shape"], "zeros", &[])
        .node("Concat", &["stem", "zeros"], "wide", &[int("axis", 1)])
        .weights("w", &[6, 8, 1, 1])
        .node("Conv", &["wide", "w"], "narrow", &[ints("kernel_shape", &[1, 1])]);
    assert_agrees(model.pooled("narrow"), "y", None, false);
}

#[test]
fn a_convolution_whose_bias_tract_cannot_move_runs_as_it_is() {
    let all = [ints("kernel_shape", &[6, 6])];
    let model = stem()
        .weights("w", &[6, 6, 6, 6])
        .weights("bias", &[6])
        .weights("shift", &[6, 1, 1])
        .node("Conv", &["stem", "w", "bias"], "whole", &all)
        .node("Add", &["whole", "shift"], "shifted", &[])
        .node("ReduceMean", &["shifted"], "mean", &[ints("axes", &[2, 3]), int("keepdims", 0)])
        .weights("dense", &[6, 6])
        .node("MatMul", &["mean", "dense"], "y", &[])
        .output("y");
    assert_agrees(model, "y", None, false);
}

#[test]
fn a_softmax_is_found_behind_what_only_passes_on() {
    for split in [false, true] {
        let op = if split { "Atan" } else { "Relu" };
        let model = stem()
            .node(op, &["stem"], "active", &[])
            .node("GlobalAveragePool", &["active"], "pooled", &[])
            .node("Flatten", &["pooled"], "scores", &[])
            .node("Softmax", &["scores"], "softmax", &[])
            .node("Identity", &["softmax"], "y", &[])
            .output("y");
        assert_agrees(model, "scores", Some(Softmax::Plain), split);
    }
}

#[test]
fn a_squeeze_without_axes_is_refused_by_name() {
    let model = stem()
        .node("GlobalAveragePool", &["stem"], "pooled", &[])
        .node("Squeeze", &["pooled"], "squeezed", &[])
        .output("squeezed");
    match outcome(model, "squeezed", None) {
        Outcome::Refused { why } => {
            assert!(why.contains("node.squeezed") && why.contains("axes"), "{why}")
        }
        _ => panic!("it is taken"),
    }
}
