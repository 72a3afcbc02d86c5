//! Functions of one value, gates and concatenations: what they are at import, and that folding keeps what they
//! compute, judged by tract.

use tools::fold::fold;
use tools::graph::{Graph, Op};
use tools::import::{ImportOptions, load};
use tract_onnx::pb::AttributeProto;

use crate::common::assert_folds_exactly;
use crate::common::onnx::{Model, float, floats, int, ints, string};

const CHANNELS: i64 = 4;

/// A convolution of an image to `c`.
fn stem() -> Model {
    Model::new(20, &[1, 3, 8, 9]).weights("w", &[CHANNELS, 3, 3, 3]).node(
        "Conv",
        &["x", "w"],
        "c",
        &[ints("pads", &[1; 4])],
    )
}

/// The folded graph of what ends in the map `last`.
fn folded(model: Model, last: &str) -> Graph {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = model.pooled(last).save(folder.path());
    assert_folds_exactly(&path, &ImportOptions::default())
}

fn refusal(model: Model, last: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = model.pooled(last).save(folder.path());
    load(&path, &ImportOptions::default()).map(|_| ()).expect_err("a refusal").to_string()
}

fn functions(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| matches!(node.op, Op::Pointwise(_))).count()
}

fn scalar(model: Model, name: &str, value: f32) -> Model {
    model.tensor(floats(name, &[], vec![value]))
}

#[test]
fn activation_functions_are_one_layer_each() {
    let with: &[(&str, &[AttributeProto])] = &[
        ("Sigmoid", &[]),
        ("Tanh", &[]),
        ("Softplus", &[]),
        ("Softsign", &[]),
        ("Abs", &[]),
        ("Sign", &[]),
        ("Exp", &[]),
        ("Erf", &[]),
        ("HardSwish", &[]),
        ("Mish", &[]),
        ("LeakyRelu", &[float("alpha", 0.2)]),
        ("Elu", &[float("alpha", 0.7)]),
        ("Celu", &[float("alpha", 1.5)]),
        ("Selu", &[]),
        ("HardSigmoid", &[float("alpha", 0.3), float("beta", 0.4)]),
        ("ThresholdedRelu", &[float("alpha", 0.1)]),
        ("Gelu", &[]),
        ("Gelu", &[string("approximate", "tanh")]),
    ];
    for (op, attributes) in with {
        let graph = folded(stem().node(op, &["c"], "a", attributes), "a");
        assert_eq!(functions(&graph), 1, "{op}");
    }
}

#[test]
fn what_elementwise_operators_build_is_one_function() {
    let swish = stem().node("Sigmoid", &["c"], "s", &[]).node("Mul", &["c", "s"], "a", &[]);
    let hard = scalar(scalar(scalar(stem(), "three", 3.0), "six", 6.0), "zero", 0.0)
        .node("Add", &["c", "three"], "t", &[])
        .node("Clip", &["t", "zero", "six"], "b", &[])
        .node("Mul", &["c", "b"], "m", &[])
        .node("Div", &["m", "six"], "a", &[]);
    let gelu = scalar(scalar(scalar(stem(), "root", 2.0_f32.sqrt()), "one", 1.0), "half", 0.5)
        .node("Div", &["c", "root"], "d", &[])
        .node("Erf", &["d"], "e", &[])
        .node("Add", &["e", "one"], "p", &[])
        .node("Mul", &["c", "p"], "m", &[])
        .node("Mul", &["m", "half"], "a", &[]);
    let logistic = scalar(stem(), "one", 1.0)
        .node("Neg", &["c"], "n", &[])
        .node("Exp", &["n"], "e", &[])
        .node("Add", &["e", "one"], "p", &[])
        .node("Div", &["c", "p"], "a", &[]);
    let square = stem().node("Mul", &["c", "c"], "a", &[]);
    for (what, model) in [
        ("swish", swish),
        ("hard", hard),
        ("gelu", gelu),
        ("logistic", logistic),
        ("x * x", square),
    ] {
        let graph = folded(model, "a");
        let elementwise = graph.nodes.iter().filter(|node| {
            matches!(node.op, Op::Pointwise(_) | Op::Affine { .. } | Op::Clip { .. } | Op::Multiply)
        });
        let names: Vec<&str> = elementwise.map(|node| node.name.as_str()).collect();
        assert_eq!((functions(&graph), names.len()), (1, 1), "{what}: {names:?}");
    }
}

/// A gate that other layers read, too, stays.
#[test]
fn a_function_that_others_read_is_a_layer_of_its_own() {
    let model = stem().node("Sigmoid", &["c"], "s", &[]).node("Mul", &["c", "s"], "m", &[]).node(
        "Add",
        &["m", "s"],
        "a",
        &[],
    );
    // x * s(x) + s(x) is a function of x all the same.
    assert_eq!(functions(&folded(model, "a")), 1);
    let model = stem()
        .weights("w2", &[CHANNELS, CHANNELS, 1, 1])
        .node("Sigmoid", &["c"], "s", &[])
        .node("Conv", &["s", "w2"], "d", &[])
        .node("Mul", &["d", "s"], "a", &[]);
    let graph = folded(model, "a");
    assert_eq!(functions(&graph), 1);
    assert_eq!(graph.nodes.iter().filter(|node| node.op == Op::Multiply).count(), 1);
}

#[test]
fn slopes_of_channels_are_tables_of_channels() {
    let slopes = floats("k", &[CHANNELS, 1, 1], vec![0.1, 0.2, -0.3, 0.4]);
    let graph = folded(stem().tensor(slopes).node("PRelu", &["c", "k"], "a", &[]), "a");
    let per_channel = graph
        .nodes
        .iter()
        .any(|node| matches!(&node.op, Op::Pointwise(function) if function.is_per_channel()));
    assert!(per_channel);
}

/// Inputs of nested concatenations are joined once, the batch norm behind them at no cost.
#[test]
fn nested_concatenations_are_one_with_the_norm_behind() {
    let parameter = |name: &str, value: f32, count: usize| {
        floats(name, &[count as i64], (0..count).map(|c| value + c as f32 * 0.1).collect())
    };
    let model = stem()
        .node("Relu", &["c"], "r", &[])
        .node("Tanh", &["c"], "t", &[])
        .node("Concat", &["c", "r"], "inner", &[int("axis", 1)])
        .node("Concat", &["inner", "t"], "outer", &[int("axis", 1)])
        .tensor(parameter("g", 0.5, 12))
        .tensor(parameter("b", -0.2, 12))
        .tensor(parameter("m", 0.1, 12))
        .tensor(parameter("v", 1.0, 12))
        .node("BatchNormalization", &["outer", "g", "b", "m", "v"], "a", &[]);
    let graph = folded(model, "a");
    let joined = graph.nodes.iter().filter(|node| matches!(node.op, Op::Concat { .. }));
    let inputs: Vec<usize> = joined.map(|node| node.inputs.len()).collect();
    assert_eq!(inputs, [3]);
    assert!(!graph.nodes.iter().any(|n| matches!(n.op, Op::Affine { .. } | Op::BatchNorm(_))));
    assert!(fold(&graph).expect("finite") == graph, "folding twice changes it");
}

#[test]
fn gates_that_have_no_int8_form_are_refused_by_name() {
    let joined = stem().node("Concat", &["c", "c"], "a", &[int("axis", 2)]);
    let line = refusal(joined, "a");
    assert!(line.contains("\"a\" (Concat of [1, 4, 8, 9], [1, 4, 8, 9])"), "{line}");
    assert!(line.contains("axis 2 of [1, 4, 8, 9]"), "{line}");
    let rows = stem().node("ReduceMean", &["c"], "m", &[ints("axes", &[3])]).node(
        "Mul",
        &["c", "m"],
        "a",
        &[],
    );
    assert!(refusal(rows, "a").contains("\"m\" (ReduceMean of [1, 4, 8, 9])"));
    let pixels = stem().weights("k", &[1, 8, 9]).node("PRelu", &["c", "k"], "a", &[]);
    let line = refusal(pixels, "a");
    assert!(line.contains("\"a\" (PRelu") && line.contains("rows or columns"), "{line}");
    let celu = stem().node("Celu", &["c"], "a", &[float("alpha", 0.0)]);
    assert!(refusal(celu, "a").contains("attribute \"alpha\": is 0, not a number above 0"));
    let gelu = stem().node("Gelu", &["c"], "a", &[string("approximate", "cubic")]);
    assert!(refusal(gelu, "a").contains("neither none nor tanh"));
    let other = stem().node("MaxPool", &["c"], "p", &[ints("kernel_shape", &[2, 2])]).node(
        "Mul",
        &["c", "p"],
        "a",
        &[],
    );
    let line = refusal(other, "a");
    assert!(line.contains("shapes [1, 4, 8, 9] and [1, 4, 7, 8] do not fit"), "{line}");
}
