//! What a network gives: outputs of every kind from every spelling of an end, held against the whole ONNX file
//! run by tract; which outputs are taken; and what is refused.

mod common;

use std::path::Path;

use common::noise;
use common::onnx::{Model as Onnx, floats, int, ints};
use fixnet::float::FloatModel;
use fixnet::format::OutputKind;
use fixnet::{AlignedBytes, Model, Session};
use prost::Message;
use tools::data::Recipe;
use tools::images::Images;
use tools::import::{OnnxFile, OutputRequest};
use tools::pipeline::{
    CompareOptions, ImportOptions, Lowered, PackOptions, QuantizeOptions, Source,
};

/// A residual block, whose sum is `map`, and its mean, `features`.
fn trunk() -> Onnx {
    let pads = || [ints("pads", &[1, 1, 1, 1])];
    Onnx::new(13, &[1, 3, 8, 10])
        .weights("w1", &[16, 3, 3, 3])
        .weights("w2", &[16, 16, 3, 3])
        .weights("w", &[5, 16])
        .weights("v", &[1, 16])
        .node("Conv", &["x", "w1"], "c1", &pads())
        .node("Relu", &["c1"], "r1", &[])
        .node("Conv", &["r1", "w2"], "c2", &pads())
        .node("Add", &["c2", "r1"], "sum", &[])
        .node("Relu", &["sum"], "map", &[])
        .node("GlobalAveragePool", &["map"], "pooled", &[])
        .node("Flatten", &["pooled"], "features", &[])
        .node("Gemm", &["features", "w"], "scores", &[int("transB", 1)])
        .node("Gemm", &["features", "v"], "one", &[int("transB", 1)])
}

/// The `k` largest of `input`, as `values` and `indices`.
fn top_k(model: Onnx, input: &str, k: i64) -> Onnx {
    let mut model = model.ints("k", &[k]).node("TopK", &[input, "k"], "values", &[]);
    let node = model.graph().node.last_mut().expect("a node");
    node.output.push("indices".into());
    model
}

fn lower(model: &Onnx, folder: &Path, options: &ImportOptions) -> std::sync::Arc<Lowered> {
    let path = model.save(folder);
    let lowered = Source::open(&path).and_then(|source| source.lower(options));
    lowered.unwrap_or_else(|error| panic!("{error}"))
}

fn pack(lowered: &std::sync::Arc<Lowered>) -> tools::pipeline::Packed {
    let images = Images::for_calibration(0, 32);
    let observed = lowered.observe(&images, &Recipe::default(), &()).expect("observed");
    let planned = observed.quantize(QuantizeOptions::default()).expect("quantized").plan();
    planned.pack(&PackOptions::default()).expect("packed")
}

/// Everything that the file gives, by tract, for an input in NCHW order.
fn by_tract(model: &Onnx, names: &[&str], input: &[f32]) -> Vec<Vec<f32>> {
    let bytes = model.proto.encode_to_vec();
    let file = OnnxFile::parse(Path::new("test.onnx"), &bytes).expect("a model");
    let proto = file.into_proto().expect("a canonical form");
    let float = FloatModel::load(&proto, None, &[1, 3, 8, 10], names).expect("tract takes it");
    let mut session = float.session();
    session.input_mut().copy_from_slice(input);
    session.run().expect("tract runs it")
}

/// What is taken off an end is what the file has there: the values that a model file gives of the float
/// network's own tensors are those of the whole file.
fn assert_gives(model: Onnx, expected: &[(&str, OutputKind, usize)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let names: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
    let model = names.iter().fold(model, |model, name| model.output(name));
    let lowered = lower(&model, folder.path(), &ImportOptions::default());
    let packed = pack(&lowered);
    let file = packed.model(&fixnet::format::Limits::DEFAULT).expect("a model");
    let told: Vec<_> = file.outputs().map(|o| (o.name, o.kind, o.count)).collect();
    if file.tells_outputs() {
        assert_eq!(told, expected);
    } else {
        assert!(matches!(told[..], [(_, OutputKind::Scores, count)] if count == expected[0].2));
    }
    for seed in 0..4 {
        let input: Vec<f32> = noise(seed, 3 * 8 * 10);
        let whole = by_tract(&model, &names, &input);
        let mut session = lowered.float.session();
        session.input_mut().copy_from_slice(&input);
        let taps = lowered.in_hwc(session.run().expect("the float judge"));
        for (output, (tap, whole)) in file.outputs().zip(taps.iter().zip(&whole)) {
            let tap: Vec<f64> = tap.iter().copied().map(f64::from).collect();
            // Scores are given as they are before a Softmax, and maps in another order.
            if output.kind == OutputKind::Scores || output.kind == OutputKind::Map {
                continue;
            }
            let values = output.values(&tap);
            assert_eq!(values.len(), whole.len(), "{}", output.name);
            for (value, &whole) in values.iter().zip(whole) {
                assert!(
                    (value - f64::from(whole)).abs() < 1e-4,
                    "{}: {value}, {whole}",
                    output.name
                );
            }
        }
    }
    assert_compares(&packed, expected);
    assert_plan_keeps_outputs(&file);
}

/// The comparison judges every output by its kind, and int8 is close.
fn assert_compares(packed: &tools::pipeline::Packed, expected: &[(&str, OutputKind, usize)]) {
    let images = Images::for_comparison(0, 8);
    let compared = packed.compare(&images, &CompareOptions::default(), &()).expect("compared");
    assert_eq!(compared.outputs.len(), expected.len());
    for (output, (name, kind, count)) in compared.outputs.iter().zip(expected) {
        let chooses = match kind {
            OutputKind::Scores => *count > 1,
            OutputKind::Probability | OutputKind::Index => true,
            _ => false,
        };
        assert_eq!(output.kind, kind.name(), "{name}");
        assert_eq!(output.agreement.is_some(), chooses, "{name}");
        assert_eq!(output.sqnr_db.is_none(), *kind == OutputKind::Index, "{name}");
        assert!(output.sqnr_db.is_none_or(|db| db > 20.0), "{name}: {output:?}");
    }
    assert_eq!(compared.agreement, compared.outputs[0].agreement);
}

/// With one thread and several, every output is there when the plan has run, and the same.
fn assert_plan_keeps_outputs(model: &Model<'_>) {
    let input: Vec<i8> =
        (0..model.input().elements()).map(|i| (i * 37 % 251) as u8 as i8).collect();
    let mut first: Option<Vec<Vec<u8>>> = None;
    for threads in [1, 3] {
        for kernels in fixnet::KernelSet::available() {
            let needed = model.required_by_threads(kernels, threads).arena();
            let mut arena = AlignedBytes::zeroed(needed);
            let arena = arena.as_mut_slice();
            let mut session = Session::with_threads(model, arena, kernels, threads).expect("fits");
            session.input_mut().copy_from_slice(&input);
            session.run().expect("runs");
            let count = model.outputs().count();
            let bytes: Vec<Vec<u8>> =
                (0..count).map(|index| session.output(index).expect("there").to_vec()).collect();
            assert_eq!(*first.get_or_insert_with(|| bytes.clone()), bytes, "{}", kernels.name());
        }
    }
}

use OutputKind::{Index, Map, Probability, Scores, Vector};

#[test]
fn features_and_maps() {
    assert_gives(trunk(), &[("features", Vector, 16)]);
    assert_gives(trunk(), &[("map", Map, 8 * 10 * 16)]);
    assert_gives(trunk(), &[("scores", Scores, 5), ("map", Map, 1280), ("features", Vector, 16)]);
    // One score is no choice.
    assert_gives(trunk(), &[("one", Vector, 1)]);
    // Inside a layer that would else be one with what follows: a sum before its Relu, a convolution before its sum.
    assert_gives(trunk(), &[("features", Vector, 16), ("sum", Map, 1280), ("c2", Map, 1280)]);
    assert_gives(trunk(), &[("c1", Map, 1280), ("map", Map, 1280)]);
}

#[test]
fn a_map_that_is_turned_around_or_flattened() {
    let last = trunk().node("Transpose", &["map"], "last", &[ints("perm", &[0, 2, 3, 1])]);
    assert_gives(last, &[("last", Map, 1280)]);
    assert_gives(trunk().node("Flatten", &["map"], "flat", &[]), &[("flat", Map, 1280)]);
}

#[test]
fn scores_behind_a_softmax_and_values_between_minus_1_and_1() {
    let softmax = trunk().node("Softmax", &["scores"], "chances", &[int("axis", 1)]);
    assert_gives(softmax, &[("chances", Scores, 5)]);
    let heads = trunk().node("Tanh", &["one"], "value", &[]);
    assert_gives(heads, &[("scores", Scores, 5), ("value", Vector, 1)]);
}

#[test]
fn probabilities() {
    assert_gives(trunk().node("Sigmoid", &["one"], "p", &[]), &[("p", Probability, 1)]);
    assert_gives(trunk().node("Sigmoid", &["scores"], "p", &[]), &[("p", Probability, 5)]);
    let shaped = trunk().node("Sigmoid", &["one"], "s", &[]).ints("shape", &[1]);
    assert_gives(shaped.node("Reshape", &["s", "shape"], "p", &[]), &[("p", Probability, 1)]);
    // Read by another node it is a function like any other: gates.
    let gate = trunk().node("Sigmoid", &["scores"], "s", &[]);
    assert_gives(gate.node("Mul", &["s", "scores"], "swish", &[]), &[("swish", Vector, 5)]);
    // A map of them is a table.
    assert_gives(trunk().node("Sigmoid", &["map"], "mask", &[]), &[("mask", Map, 1280)]);
}

#[test]
fn positions_and_the_largest() {
    let best = trunk().node("ArgMax", &["scores"], "best", &[int("axis", 1), int("keepdims", 0)]);
    assert_gives(best, &[("best", Index, 1)]);
    let largest = top_k(trunk(), "scores", 3);
    assert_gives(largest, &[("values", Vector, 3), ("indices", Index, 3)]);
    let softmax = trunk().node("Softmax", &["scores"], "chances", &[int("axis", 1)]);
    let all = [("values", Vector, 2), ("indices", Index, 2), ("chances", Scores, 5)];
    assert_gives(top_k(softmax, "chances", 2), &all);
    let log = trunk().node("LogSoftmax", &["scores"], "logs", &[int("axis", 1)]);
    assert_gives(top_k(log, "logs", 2), &[("values", Vector, 2), ("indices", Index, 2)]);
    let sigmoid = trunk().node("Softmax", &["scores"], "c", &[int("axis", 1)]);
    let both = sigmoid.node("ArgMax", &["c"], "best", &[int("axis", 1), int("keepdims", 1)]);
    assert_gives(both, &[("best", Index, 1), ("features", Vector, 16)]);
}

#[test]
fn vectors_of_length_1() {
    let short = trunk().node("LpNormalization", &["features"], "unit", &[int("axis", 1)]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // tract has no LpNormalization, which is of no consequence to what is before it.
    let lowered = lower(&short.output("unit"), folder.path(), &ImportOptions::default());
    let output = &lowered.outputs[0];
    assert_eq!((output.kind, output.removed.as_deref()), (Vector, Some("unit")));
    // As exporters spell it.
    let norm = trunk().node("ReduceL2", &["features"], "norm", &[ints("axes", &[1])]);
    assert_gives(norm.node("Div", &["features", "norm"], "unit", &[]), &[("unit", Vector, 16)]);
    let norm = trunk()
        .node("ReduceL2", &["features"], "norm", &[ints("axes", &[1])])
        .tensor(floats("least", &[], vec![1e-12]))
        .node("Clip", &["norm", "least"], "bounded", &[])
        .node("Shape", &["features"], "shape", &[])
        .node("Expand", &["bounded", "shape"], "spread", &[])
        .node("Div", &["features", "spread"], "unit", &[]);
    assert_gives(norm, &[("unit", Vector, 16), ("scores", Scores, 5)]);
}

#[test]
fn outputs_that_are_asked_for_are_taken_and_what_the_others_need_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = trunk()
        .node("LRN", &["map"], "odd", &[int("size", 3)])
        .output("odd")
        .output("features")
        .output("scores");
    let request = |text: &str| text.parse::<OutputRequest>().expect("a request");
    let asked = |requests: &[&str]| ImportOptions {
        outputs: requests.iter().map(|text| request(text)).collect(),
        ..ImportOptions::default()
    };
    let kinds = |requests: &[&str]| {
        let lowered = lower(&model, folder.path(), &asked(requests));
        lowered.outputs.iter().map(|o| (o.name.clone(), o.kind)).collect::<Vec<_>>()
    };
    let named = |name: &str, kind| (name.to_string(), kind);
    assert_eq!(kinds(&["scores"]), [named("scores", Scores)]);
    assert_eq!(
        kinds(&["scores", "features"]),
        [named("scores", Scores), named("features", Vector)]
    );
    assert_eq!(kinds(&["features=scores"]), [named("features", Scores)]);
    assert_eq!(kinds(&["scores=vector"]), [named("scores", Vector)]);
    // A file that was made with a request is compared with the same network.
    let lowered = lower(&model, folder.path(), &asked(&["features=scores"]));
    let packed = pack(&lowered);
    let file = packed.model(&fixnet::format::Limits::DEFAULT).expect("a model");
    let again = Source::open(&model.save(folder.path())).expect("opens");
    let again = again.lower_as(&file, &ImportOptions::default()).expect("the same");
    assert_eq!((&again.network, &again.outputs), (&lowered.network, &lowered.outputs));
    let refused = |requests: &[&str]| {
        let source = Source::open(&model.save(folder.path())).expect("opens");
        source.lower(&asked(requests)).expect_err("refused").to_string()
    };
    let all = refused(&[]);
    assert!(all.contains("LRN") && all.contains("--output"), "{all}");
    assert!(refused(&["nobody"]).contains("its outputs are \"odd\", \"features\", \"scores\""));
    assert!(refused(&["scores", "scores"]).contains("asked for twice"));
    assert!(refused(&["odd"]).contains("LRN"));
}

#[test]
fn ends_that_are_something_else_are_refused_by_name() {
    let refused = |model: Onnx| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = Source::open(&model.save(folder.path())).expect("opens");
        source.lower(&ImportOptions::default()).expect_err("refused").to_string()
    };
    let cases: [(Onnx, &str); 8] = [
        // One class for every pixel.
        (trunk().node("ArgMax", &["map"], "y", &[int("axis", 1)]).output("y"), "ArgMax"),
        (top_k(trunk(), "map", 2).output("values"), "TopK"),
        (top_k(trunk(), "scores", 6).output("values"), "between 1 and 5"),
        (
            trunk()
                .node("ArgMax", &["scores"], "a", &[int("axis", 1)])
                .node("Relu", &["a"], "y", &[])
                .output("y"),
            "from the end",
        ),
        (
            trunk()
                .node("ReduceL2", &["map"], "n", &[ints("axes", &[1])])
                .node("Div", &["map", "n"], "y", &[])
                .output("y"),
            "norm",
        ),
        (
            trunk().node("ReduceL2", &["features"], "y", &[ints("axes", &[1])]).output("y"),
            "norm by itself",
        ),
        (
            trunk()
                .node("ReduceL2", &["scores"], "n", &[ints("axes", &[1])])
                .node("Div", &["features", "n"], "y", &[])
                .output("y"),
            "norm of other values",
        ),
        (
            trunk().node("Transpose", &["map"], "y", &[ints("perm", &[0, 3, 1, 2])]).output("y"),
            "what turns it around",
        ),
    ];
    for (index, (model, words)) in cases.into_iter().enumerate() {
        let error = refused(model);
        assert!(error.contains(words), "case {index}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!("=scores".parse::<OutputRequest>().is_err());
    let request: OutputRequest = "a=b=vector".parse().expect("a request");
    assert_eq!((request.name.as_str(), request.kind), ("a=b", Some(Vector)));
    assert_eq!("a=b".parse::<OutputRequest>().map(|r| r.name), Ok("a=b".to_string()));
}
