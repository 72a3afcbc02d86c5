//! Folding promises: the folded graph computes what the file computes, and merges all it may.

mod common;
#[path = "fold/functions.rs"]
mod functions;

use tools::fold::{FoldError, fold};
use tools::graph::{Graph, Node, Op, Value};
use tools::import::{ImportOptions, load};
use tools::onnx_writer;
use tools::zoo_models::{self, ModelOptions};

use common::onnx::{Model, floats, int, ints};
use common::*;

fn narrow(classes: usize, input_size: usize) -> ModelOptions {
    let (classes, input_size) = (Some(classes), Some(input_size));
    ModelOptions { classes, input_size, width_multiplier: 0.125, ..ModelOptions::default() }
}

fn batch_norms(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|n| matches!(n.op, Op::BatchNorm(_))).count()
}

fn affines(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|n| matches!(n.op, Op::Affine { .. })).count()
}

#[test]
fn real_networks_fold_exactly() {
    let Some(data) = data_folder("real_networks_fold_exactly") else { return };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    for name in [
        "resnet20-cifar10.onnx",
        "resnet56-cifar10.onnx",
        "resnet8-mlperf-tiny-float-bn.onnx",
        "resnet18-cifar10-64px.onnx.gz",
        "resnet50-imagenet-pruned-fp32.onnx.gz",
    ] {
        let path = real_model(&data, scratch.path(), name);
        let folded = assert_folds_exactly(&path, &ImportOptions::default());
        assert_eq!(batch_norms(&folded) + affines(&folded), 0, "{name}");
        let copy = scratch.path().join("folded.onnx");
        std::fs::write(&copy, onnx_writer::to_bytes(&folded)).expect("a writable folder");
        let again = load(&copy, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        assert!(again.graph == folded, "{name}: written and read back is not the same graph");
    }
}

#[test]
fn exported_networks_fold_exactly() {
    for name in [
        "basic-torchscript",
        "basic-torchscript-fused",
        "basic-dynamo-dynamic",
        "bottleneck-torchscript-dynamic",
        "bottleneck-dynamo",
        "bottleneck-dynamo-external",
        "option-a-torchscript",
        "option-a-torchscript-dynamic",
        "option-a-dynamo",
        "keras-resnet",
    ] {
        let path = fixture(&format!("{name}.onnx"));
        let folded = assert_folds_exactly(&path, &ImportOptions::default());
        assert_eq!(batch_norms(&folded), 0, "{name}");
        // Only the scaling of Keras' pixels has no layer before it.
        assert_eq!(affines(&folded), usize::from(name == "keras-resnet"), "{name}");
        assert!(
            !folded.nodes.iter().any(|n| matches!(n.op, Op::Pad { .. })) || name == "keras-resnet",
            "{name}: a Pad is left"
        );
    }
}

#[test]
fn a_batch_norm_before_a_convolution_becomes_an_affine_step() {
    let path = fixture("keras-preactivation.onnx");
    let folded = assert_folds_exactly(&path, &ImportOptions::default());
    // The first and the last norm follow a convolution with two readers, and an addition.
    assert_eq!(affines(&folded), 2);
}

/// Whether it is a function that ONNX has no single operator for.
fn has_terms(op: &Op) -> bool {
    matches!(op, Op::Pointwise(function) if function.terms().len() > 2)
}

/// Two blocks a stage have all that more of them have.
#[test]
fn generated_networks_fold_exactly_and_survive_the_file() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut done: Vec<Graph> = Vec::new();
    for name in zoo_models::names() {
        let options = ModelOptions { blocks: Some(2), ..narrow(10, 32) };
        let mut graph = zoo_models::build(name, 7, &options).expect("a known name");
        if done.contains(&graph) {
            continue;
        }
        done.push(graph.clone());
        let path = write_model(scratch.path(), &graph);
        let imported = load(&path, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        if let Some(softmax) = graph.nodes.pop_if(|node| matches!(node.op, Op::Softmax)) {
            // Taken off at import.
            graph.values.pop();
            graph.outputs[0].value = softmax.inputs[0];
        }
        // A function of several terms comes back as several nodes, which folding joins again.
        if !graph.nodes.iter().any(|node| has_terms(&node.op)) {
            assert!(imported.graph == graph, "{name}: written and read back is not the same graph");
        }
        let folded = assert_folds_exactly(&path, &ImportOptions::default());
        let before_convolutions = name.starts_with("preact") || name.ends_with("v2");
        // DenseNet's first layer reads the stem alone, gates are subtracted from one or negated.
        let expected = before_convolutions && name != "mobilenetv2"
            || ["densenet121", "highway", "shrinkage-resnet20"].contains(&name);
        let tables = folded.nodes.iter().filter(|n| matches!(n.op, Op::Pointwise(_))).count();
        let gated =
            ["se-resnet50", "mobilenetv3-large", "highway", "shrinkage-resnet20", "alphazero"];
        assert_eq!(tables > 0, gated.contains(&name), "{name}: {tables} tables");
        assert_eq!(batch_norms(&folded), 0, "{name}");
        assert_eq!(affines(&folded) > 0, expected, "{name}");
        assert!(fold(&folded).expect("finite") == folded, "{name}: folding twice changes it");
    }
}

/// A narrow ResNet whose batch norms and biases were changed by `change`.
fn changed(mut change: impl FnMut(&mut Op)) -> Graph {
    let mut graph = zoo_models::build("resnet18", 3, &narrow(10, 32)).expect("a known name");
    graph.nodes.iter_mut().for_each(|node| change(&mut node.op));
    graph
}

#[test]
fn a_convolutions_own_bias_is_scaled_too() {
    let graph = changed(|op| {
        if let Op::Conv(conv) = op {
            conv.bias = Some(noise(11, conv.out_channels));
        }
    });
    let scratch = tempfile::tempdir().expect("a temporary folder");
    assert_folds_exactly(&write_model(scratch.path(), &graph), &ImportOptions::default());
}

#[test]
fn tiny_variances_and_zero_gammas_fold_exactly() {
    let graph = changed(|op| match op {
        Op::BatchNorm(norm) => {
            norm.epsilon = 1e-5;
            norm.variance[0] = 1e-6;
            // Keeps the activations in scale, as a trained network with so small a variance would.
            norm.gamma[0] = 1e-3;
            if let Some(gamma) = norm.gamma.get_mut(1) {
                *gamma = 0.0;
            }
        }
        Op::Conv(conv) => conv.bias = Some(noise(5, conv.out_channels)),
        _ => {}
    });
    let scratch = tempfile::tempdir().expect("a temporary folder");
    assert_folds_exactly(&write_model(scratch.path(), &graph), &ImportOptions::default());
}

#[test]
fn a_shared_convolution_keeps_its_weights() {
    let mut graph = zoo_models::build("plain18", 3, &narrow(4, 32)).expect("a known name");
    // conv1 -> bn1 gets a second reader: conv1 + bn1.
    let conv = graph.nodes[0].output;
    let norm = graph.nodes[1].output;
    let sum = graph.values.len();
    let shape = graph.shape(norm).to_vec();
    graph.values.push(Value { name: "sum".into(), shape });
    graph.nodes[2].inputs = vec![sum];
    let add = Node { name: "sum".into(), op: Op::Add, inputs: vec![conv, norm], output: sum };
    graph.nodes.insert(2, add);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folded =
        assert_folds_exactly(&write_model(scratch.path(), &graph), &ImportOptions::default());
    assert_eq!(affines(&folded), 1);
    assert_eq!(folded.nodes[0].op, graph.nodes[0].op);
}

#[test]
fn the_merged_value_keeps_the_last_tensors_name() {
    let graph = zoo_models::build("resnet20", 0, &narrow(10, 32)).expect("a known name");
    let folded = fold(&graph).expect("finite");
    assert_eq!(folded.nodes[0].name, "conv1");
    assert_eq!(folded.values[folded.nodes[0].output].name, "bn1");
    assert_eq!(folded.values[folded.outputs[0].value].name, "logits");
}

#[test]
fn an_overflow_names_the_layer_and_the_channel() {
    let graph = changed(|op| {
        if let Op::BatchNorm(norm) = op {
            (norm.gamma[1], norm.epsilon, norm.variance[1]) = (f32::MAX, 0.0, 1e-30);
        }
    });
    let error = fold(&graph).expect_err("beyond f32");
    assert!(matches!(error, FoldError::NonFinite { channel: 1, .. }), "{error}");
}

#[test]
fn generated_activations_keep_their_scale() {
    for (name, width_multiplier) in [("resnet110", 1.0), ("plain34", 0.25), ("resnet34", 0.25)] {
        let options = ModelOptions { width_multiplier, ..narrow(10, 64) };
        let graph = zoo_models::build(name, 1, &options).expect("a known name");
        let logits = run_graph(&graph, &noise(0, 3 * 64 * 64));
        let largest = logits.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!((0.5..50.0).contains(&largest), "{name}: largest logit {largest}");
    }
}

/// A network with an affine step that no convolution before it takes up: behind a table. `then` goes on from
/// `[1, 4, 9, 10]`.
fn affine(shift: f32, then: impl Fn(Model) -> Model) -> Graph {
    let model = Model::new(13, &[1, 3, 9, 10])
        .weights("w", &[4, 3, 1, 1])
        .weights("factor", &[1, 4, 1, 1])
        .tensor(floats("shift", &[], vec![shift]))
        .weights("v", &[6, 4, 3, 3])
        .weights("grouped", &[6, 2, 3, 3])
        .weights("u", &[4, 4, 1, 1])
        .node("Conv", &["x", "w"], "c", &[])
        .node("Sigmoid", &["c"], "t", &[])
        .node("Mul", &["t", "factor"], "m", &[])
        .node("Add", &["m", "shift"], "a", &[]);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folded = assert_folds_exactly(&then(model).save(scratch.path()), &ImportOptions::default());
    assert_eq!(fold(&folded).expect("finite"), folded);
    folded
}

#[test]
fn affine_steps_go_into_convolutions_without_padding() {
    let alone = affine(0.75, |model| model.node("Conv", &["a", "v"], "d", &[]).pooled("d"));
    assert_eq!(affines(&alone), 0);
    let in_groups = affine(-0.5, |model| {
        model.node("Conv", &["a", "grouped"], "d", &[int("group", 2)]).pooled("d")
    });
    assert_eq!(affines(&in_groups), 0);
    let by_both = affine(0.75, |model| {
        model
            .node("Conv", &["a", "u"], "d", &[])
            .node("Conv", &["a", "w2"], "e", &[])
            .weights("w2", &[4, 4, 1, 1])
            .node("Add", &["d", "e"], "f", &[])
            .pooled("f")
    });
    assert_eq!(affines(&by_both), 0);
    let scaled = affine(0.0, |model| {
        model.node("Conv", &["a", "v"], "d", &[ints("pads", &[1; 4])]).pooled("d")
    });
    assert_eq!(affines(&scaled), 0);
}

#[test]
fn affine_steps_stay_where_zeros_are_padded_or_something_else_reads_them() {
    let padded = affine(0.75, |model| {
        model.node("Conv", &["a", "v"], "d", &[ints("pads", &[0, 0, 0, 1])]).pooled("d")
    });
    assert_eq!(affines(&padded), 1);
    let read_twice = affine(0.75, |model| {
        model.node("Conv", &["a", "u"], "d", &[]).node("Add", &["a", "d"], "f", &[]).pooled("f")
    });
    assert_eq!(affines(&read_twice), 1);
}

/// A network that pads before `then`, from `[1, 4, 9, 10]`.
fn padded(then: impl Fn(Model) -> Model) -> Graph {
    let model = Model::new(13, &[1, 4, 9, 10])
        .weights("w", &[4, 4, 3, 3])
        .ints("p", &[0, 0, 2, 0, 0, 0, 1, 4])
        .node("Conv", &["x", "w"], "c", &[])
        .node("Pad", &["c", "p"], "q", &[]);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    assert_folds_exactly(&then(model).save(scratch.path()), &ImportOptions::default())
}

#[test]
fn padding_passes_activation_functions_that_keep_zeros_into_a_window() {
    let folded = padded(|model| {
        model
            .node("Relu", &["q"], "r", &[])
            .node("Clip", &["r"], "s", &[])
            .node("Conv", &["s", "w"], "d", &[ints("pads", &[1; 4])])
            .pooled("d")
    });
    assert!(!folded.nodes.iter().any(|node| matches!(node.op, Op::Pad { .. })));
    let pads = folded.nodes.iter().filter_map(|node| match &node.op {
        Op::Conv(conv) => Some(conv.pads),
        _ => None,
    });
    assert_eq!(pads.collect::<Vec<_>>(), [[0; 4], [3, 1, 2, 5]]);
    assert_eq!(fold(&folded).expect("finite"), folded);
}

#[test]
fn padding_stays_where_zeros_would_not() {
    let pads = |folded: &Graph| {
        let pads = folded.nodes.iter().filter(|node| matches!(node.op, Op::Pad { .. }));
        pads.count()
    };
    // A lower bound above zero; a second reader.
    let lifted = padded(|model| {
        model
            .tensor(floats("low", &[], vec![0.25]))
            .node("Clip", &["q", "low"], "r", &[])
            .node("Conv", &["r", "w"], "d", &[])
            .pooled("d")
    });
    assert_eq!(pads(&lifted), 1);
    let read_twice = padded(|model| {
        model.node("Relu", &["q"], "r", &[]).node("Add", &["q", "r"], "d", &[]).pooled("d")
    });
    assert_eq!(pads(&read_twice), 1);
    let twice = padded(|model| {
        model.node("Pad", &["q", "p"], "r", &[]).node("Add", &["r", "r"], "d", &[]).pooled("d")
    });
    assert_eq!(pads(&twice), 1);
}
