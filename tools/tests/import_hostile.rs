//! Whatever a model file says: one line of error, no panic, no allocation beyond the file's size,
//! no read outside its folder.

mod common;

use std::path::Path;

use fixnet::format::Limits;
use proptest::prelude::*;
use prost::Message;
use tools::import::{ImportError, ImportOptions, NodeProblem, Problem, load};
use tools::pipeline::Source;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

use common::fixture;
use common::onnx::{Model, floats, int, ints};

fn error_of(path: &Path) -> ImportError {
    let error = load(path, &ImportOptions::default()).expect_err("a bad file");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(line.contains(path.to_str().expect("a plain path")), "{line}");
    error
}

fn refused(model: &Model) -> ImportError {
    let folder = tempfile::tempdir().expect("a temporary folder");
    error_of(&model.save(folder.path()))
}

fn node_problem(error: ImportError) -> NodeProblem {
    match error.problem {
        Problem::Node(node) => node.problem,
        other => panic!("{other}"),
    }
}

fn image_model() -> Model {
    Model::new(13, &[1, 4, 9, 10])
}

#[test]
fn files_that_are_no_models_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.onnx");
    assert!(matches!(error_of(&missing).problem, Problem::Read(_)));
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n", b"{\"a\": 1}\n", &[0xff; 100]] {
        let path = folder.path().join("file.onnx");
        std::fs::write(&path, bytes).expect("a writable folder");
        assert!(matches!(error_of(&path).problem, Problem::NotOnnx { .. }));
    }
    assert!(matches!(error_of(folder.path()).problem, Problem::Read(_)));
}

#[test]
fn no_beginning_of_a_file_is_taken_for_the_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["option-a-torchscript-dynamic.onnx", "keras-preactivation.onnx"] {
        let original = fixture(name);
        let bytes = std::fs::read(&original).expect("a fixture");
        let options = ImportOptions::default();
        let whole = load(&original, &options).unwrap_or_else(|e| panic!("{e}")).graph;
        let path = folder.path().join("part.onnx");
        for len in (0..bytes.len()).step_by(23) {
            std::fs::write(&path, &bytes[..len]).expect("a writable folder");
            // What follows the graph in a file changes nothing.
            if load(&path, &options).is_ok_and(|part| part.graph != whole) {
                panic!("{name}: the first {len} bytes make another network");
            }
        }
    }
}

#[test]
fn external_data_stays_in_the_folder() {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let folder = outer.path().join("model");
    std::fs::create_dir(&folder).expect("a new folder");
    let data = "bottleneck-dynamo-external.onnx.data";
    let bytes = std::fs::read(fixture(data)).expect("a fixture");
    let inside = folder.join("inside.data");
    let outside = outer.path().join("outside.data");
    for path in [&inside, &outside] {
        std::fs::write(path, &bytes).expect("a writable folder");
    }
    let model = std::fs::read(fixture("bottleneck-dynamo-external.onnx")).expect("a fixture");
    let model = ModelProto::decode(model.as_slice()).expect("a model");
    let with_location = |location: &str| {
        let mut model = model.clone();
        let tensors = &mut model.graph.as_mut().expect("a graph").initializer;
        for entry in tensors.iter_mut().flat_map(|t| &mut t.external_data) {
            if entry.key == "location" {
                entry.value = location.into();
            }
        }
        let path = folder.join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).expect("a writable folder");
        path
    };
    let options = ImportOptions::default();
    load(&with_location("inside.data"), &options).unwrap_or_else(|e| panic!("{e}"));
    let absolute = outside.to_str().expect("a plain path").to_string();
    for location in ["../outside.data", "a/../../outside.data", absolute.as_str()] {
        let line = error_of(&with_location(location)).to_string();
        assert!(line.contains("outside the model's folder"), "{line}");
    }
    for location in ["missing.data", "", "."] {
        error_of(&with_location(location));
    }
    std::fs::write(&inside, &bytes[..100]).expect("a writable folder");
    let line = error_of(&with_location("inside.data")).to_string();
    assert!(line.contains("too short"), "{line}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, folder.join("link.data")).expect("a link");
        let line = error_of(&with_location("link.data")).to_string();
        assert!(line.contains("outside the model's folder"), "{line}");
    }
}

#[test]
fn external_ranges_are_checked_before_anything_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("w.data"), [0u8; 64]).expect("a writable folder");
    let entry =
        |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    for (key, value) in [
        ("offset", "1"),
        ("offset", "-4"),
        ("offset", "18446744073709551615"),
        ("length", "65"),
        ("length", "many"),
    ] {
        let tensor = TensorProto {
            data_location: Some(1),
            external_data: vec![entry("location", "w.data"), entry(key, value)],
            ..floats("w", &[4, 4, 1, 1], Vec::new())
        };
        let model = image_model().tensor(tensor).node("Conv", &["x", "w"], "c", &[]).pooled("c");
        assert!(matches!(
            node_problem(error_of(&model.save(folder.path()))),
            NodeProblem::Tensor(_)
        ));
    }
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut values = vec![0.0; 16];
        values[5] = value;
        let model = image_model()
            .tensor(floats("bad", &[4, 4, 1, 1], values))
            .node("Conv", &["x", "bad"], "c", &[])
            .pooled("c");
        let line = refused(&model).to_string();
        assert!(line.contains(r#"tensor "bad""#) && line.contains("index 5"), "{line}");
    }
}

#[test]
fn a_variance_that_has_no_root_is_named() {
    let mut model = image_model();
    for (name, value) in [("g", 1.0), ("b", 0.0), ("m", 0.0), ("v", -1.0)] {
        model = model.tensor(floats(name, &[4], vec![value; 4]));
    }
    let model = model.node("BatchNormalization", &["x", "g", "b", "m", "v"], "n", &[]).pooled("n");
    assert!(matches!(node_problem(refused(&model)), NodeProblem::Variance { index: 0, .. }));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let weights: [(&str, &[i64]); 5] = [
        ("other channels", &[4, 3, 1, 1]),
        ("one dimension", &[16]),
        ("three dimensions", &[4, 4, 1]),
        ("a window larger than the image", &[4, 4, 30, 1]),
        ("no weights", &[0, 4, 1, 1]),
    ];
    for (what, dims) in weights {
        let model =
            image_model().weights("w", dims).node("Conv", &["x", "w"], "c", &[]).pooled("c");
        let line = refused(&model).to_string();
        assert!(line.contains(r#"node 0 "c" (Conv of [1, 4, 9, 10])"#), "{what}: {line}");
    }
    let add = image_model()
        .node("MaxPool", &["x"], "g", &[ints("kernel_shape", &[2, 2])])
        .node("Add", &["x", "g"], "a", &[])
        .pooled("a");
    assert!(matches!(node_problem(refused(&add)), NodeProblem::Shapes { .. }));
    let gemm = image_model()
        .weights("w", &[7, 5])
        .node("Flatten", &["x"], "f", &[])
        .node("Gemm", &["f", "w"], "y", &[])
        .output("y");
    assert!(matches!(node_problem(refused(&gemm)), NodeProblem::Mismatch { found: 7, .. }));
    let turned = image_model()
        .node("Relu", &["x"], "r", &[])
        .node("Transpose", &["r"], "y", &[ints("perm", &[0, 3, 1, 2])])
        .output("y");
    assert!(matches!(refused(&turned).problem, Problem::OutputOrder { .. }));
}

#[test]
fn a_cycle_is_found() {
    let model =
        image_model().node("Add", &["x", "b"], "a", &[]).node("Relu", &["a"], "b", &[]).pooled("b");
    assert!(matches!(node_problem(refused(&model)), NodeProblem::UndefinedTensor { .. }));
    let twice = image_model().node("Relu", &["x"], "x", &[]).pooled("x");
    assert!(matches!(node_problem(refused(&twice)), NodeProblem::Redefined { .. }));
}

#[test]
fn huge_dimensions_allocate_nothing() {
    let input = Model::new(13, &[1, 1 << 40, 1 << 40, 3]).pooled("x");
    assert!(matches!(refused(&input).problem, Problem::TooLarge { .. }));
    for dims in
        [[1i64 << 40, 1, 1, 1], [i64::MAX, i64::MAX, 3, 3], [-1, 4, 1, 1], [0, 1 << 60, 1, 1]]
    {
        let tensor = floats("w", &dims, Vec::new());
        let model = image_model().tensor(tensor).node("Conv", &["x", "w"], "c", &[]).pooled("c");
        refused(&model);
    }
    let filled = image_model()
        .ints("dims", &[1 << 30, 1 << 30])
        .node("ConstantOfShape", &["dims"], "w", &[])
        .node("Gemm", &["x", "w"], "y", &[])
        .output("y");
    assert!(matches!(node_problem(refused(&filled)), NodeProblem::ConstantsTooLarge { .. }));
    let padded = image_model()
        .ints("pads", &[0, 0, 60000, 60000, 0, 0, 60000, 60000])
        .node("Pad", &["x", "pads"], "p", &[])
        .pooled("p");
    assert!(matches!(node_problem(refused(&padded)), NodeProblem::TooLarge { .. }));
    let empty = image_model()
        .tensor(floats("e", &[0, 1 << 50], Vec::new()))
        .node("Transpose", &["e"], "t", &[])
        .node("Add", &["t", "t"], "s", &[])
        .node("Add", &["x", "s"], "y", &[])
        .output("y");
    refused(&empty);
}

#[test]
fn attributes_out_of_range_are_refused() {
    for attribute in [
        ints("strides", &[0, 1]),
        ints("strides", &[1]),
        ints("pads", &[-1, 0, 0, 0]),
        ints("pads", &[i64::MAX, 0, 0, 0]),
        ints("dilations", &[1 << 40, 1]),
        ints("kernel_shape", &[3, 3]),
        int("group", 0),
        int("group", i64::MIN),
    ] {
        let model = image_model()
            .weights("w", &[4, 4, 1, 1])
            .node("Conv", &["x", "w"], "c", &[attribute])
            .pooled("c");
        node_problem(refused(&model));
    }
}

#[test]
fn a_softmax_in_the_middle_is_refused() {
    let model = Model::new(13, &[1, 8])
        .weights("w", &[8, 4])
        .node("Softmax", &["x"], "s", &[])
        .node("MatMul", &["s", "w"], "y", &[])
        .output("y");
    assert!(matches!(node_problem(refused(&model)), NodeProblem::AfterEnd));
}

#[test]
fn hostile_names_cannot_break_the_line() {
    let model =
        image_model().node("Evil\nOp\u{1b}[31m", &["x"], "two\nlines", &[]).pooled("two\nlines");
    refused(&model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any damage gives a network or an error; nothing else.
    #[test]
    fn damaged_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        which in 0usize..3,
    ) {
        let names = ["option-a-torchscript.onnx", "keras-preactivation.onnx", "option-a-dynamo.onnx"];
        let mut bytes = std::fs::read(fixture(names[which])).expect("a fixture");
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("damaged.onnx");
        std::fs::write(&path, bytes).expect("a writable folder");
        let options = ImportOptions::default();
        if let Ok(imported) = load(&path, &options) {
            let _ = tools::fold::fold(&imported.graph);
        }
        let _ = Source::open(&path).and_then(|source| source.check(&options, &Limits::DEFAULT));
    }
}
