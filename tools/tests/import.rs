//! Import promises: what exporters write is understood, node by node as tract understands it.

mod common;

use std::path::Path;

use fixnet::format::Limits;
use half::{bf16, f16};
use tools::graph::{InputLayout, Op, Window};
use tools::import::{ImportOptions, ImportedGraph, NodeVerdict, Verdict, load};
use tools::pipeline::Source;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use common::onnx::{Model, float, floats, int, ints, string};
use common::*;

fn check(path: &Path) -> Vec<NodeVerdict> {
    let source = Source::open(path).expect("a readable file");
    source.check(&ImportOptions::default(), &Limits::DEFAULT).expect("a network").nodes
}

fn import(model: &Model) -> ImportedGraph {
    let folder = tempfile::tempdir().expect("a temporary folder");
    load(&model.save(folder.path()), &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// Asserts that the graph of `model`, folded, computes what tract makes of the file.
fn assert_imports_exactly(model: &Model) -> tools::graph::Graph {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_folds_exactly(&model.save(folder.path()), &ImportOptions::default())
}

fn image_model() -> Model {
    Model::new(13, &[1, 4, 9, 10])
}

#[test]
fn the_facts_of_exported_files_are_found() {
    let cases = [
        ("basic-torchscript", InputLayout::Nchw, vec![1, 3, 64, 64], 7, false),
        ("basic-dynamo-dynamic", InputLayout::Nchw, vec![1, 3, 64, 64], 7, false),
        ("option-a-torchscript-dynamic", InputLayout::Nchw, vec![1, 3, 16, 16], 5, true),
        ("keras-resnet", InputLayout::Nhwc, vec![1, 32, 32, 3], 5, true),
        ("keras-preactivation", InputLayout::Nhwc, vec![1, 16, 16, 3], 5, false),
    ];
    for (name, layout, input_shape, classes, softmax) in cases {
        let path = fixture(&format!("{name}.onnx"));
        let imported = load(&path, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        let graph = &imported.graph;
        assert_eq!(graph.input_layout, layout, "{name}");
        assert_eq!(imported.input_shape, input_shape, "{name}");
        assert_eq!(graph.shape(graph.outputs[0].value), [classes], "{name}");
        assert_eq!(imported.outputs[0].removed.is_some(), softmax, "{name}");
    }
}

#[test]
fn an_option_a_shortcut_is_one_step_however_it_is_spelled() {
    for name in ["option-a-torchscript", "option-a-torchscript-dynamic", "option-a-dynamo"] {
        let path = fixture(&format!("{name}.onnx"));
        let imported = load(&path, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        let shortcuts: Vec<&Op> = imported
            .graph
            .nodes
            .iter()
            .map(|node| &node.op)
            .filter(|op| matches!(op, Op::Subsample { .. } | Op::Pad { .. }))
            .collect();
        let expected = Op::Subsample { strides: [2, 2], channels_before: 2, channels_after: 2 };
        assert_eq!(shortcuts, [&expected], "{name}");
    }
}

#[test]
fn zero_channels_may_be_concatenated() {
    let model = image_model()
        .tensor(floats("zeros", &[1, 2, 9, 10], vec![0.0; 180]))
        .tensor(floats("nothing", &[], vec![0.0]))
        .node("Mul", &["x", "nothing"], "no_x", &[])
        .node("Concat", &["zeros", "x", "no_x"], "wide", &[int("axis", 1)])
        .pooled("wide");
    let graph = assert_imports_exactly(&model);
    let op = Op::Subsample { strides: [1, 1], channels_before: 2, channels_after: 4 };
    assert_eq!(graph.nodes[0].op, op);
}

#[test]
fn every_kind_of_automatic_padding_is_resolved() {
    for (auto_pad, pads) in
        [("SAME_UPPER", [1, 0, 1, 1]), ("SAME_LOWER", [1, 1, 1, 0]), ("VALID", [0, 0, 0, 0])]
    {
        let attributes = [string("auto_pad", auto_pad), ints("strides", &[2, 2])];
        let model = image_model()
            .weights("w", &[6, 4, 3, 3])
            .node("Conv", &["x", "w"], "c", &attributes)
            .pooled("c");
        let graph = assert_imports_exactly(&model);
        let Op::Conv(conv) = &graph.nodes[0].op else { panic!("a convolution") };
        assert_eq!(conv.pads, pads, "{auto_pad}");
    }
}

#[test]
fn dilated_and_grouped_convolutions_are_exact() {
    let attributes = [int("group", 2), ints("dilations", &[2, 1]), ints("pads", &[1, 0, 2, 1])];
    let model = image_model()
        .weights("w", &[6, 2, 3, 3])
        .weights("b", &[6])
        .node("Conv", &["x", "w", "b"], "c", &attributes)
        .pooled("c");
    assert_imports_exactly(&model);
}

#[test]
fn ceil_mode_becomes_padding() {
    let attributes = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)];
    for op in ["MaxPool", "AveragePool"] {
        let model = image_model().node(op, &["x"], "p", &attributes).pooled("p");
        let graph = import(&model).graph;
        assert_eq!(graph.shape(graph.nodes[0].output), [4, 4, 5]);
        let expected = Window { kernel: [3, 3], strides: [2, 2], pads: [0, 0, 0, 1] };
        match graph.nodes[0].op {
            Op::MaxPool(window) | Op::AveragePool { window, .. } => assert_eq!(window, expected),
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_window_that_would_start_behind_the_image_is_left_out() {
    // PyTorch's rule: with 3 rows, stride 3 and kernel 1 there is one window, not two.
    let attributes = [
        ints("kernel_shape", &[2, 2]),
        ints("strides", &[3, 3]),
        ints("pads", &[0, 0, 1, 1]),
        int("ceil_mode", 1),
    ];
    let model = Model::new(13, &[1, 2, 3, 3]).node("MaxPool", &["x"], "p", &attributes).pooled("p");
    let graph = import(&model).graph;
    assert_eq!(graph.shape(graph.nodes[0].output), [2, 1, 1]);
}

#[test]
fn clips_of_all_operator_sets_are_read() {
    let old = Model::new(6, &[1, 4, 9, 10])
        .node("Clip", &["x"], "c", &[float("min", -0.5), float("max", 1.0)])
        .pooled("c");
    let new = image_model()
        .tensor(floats("high", &[], vec![1.0]))
        .tensor(floats("low", &[], vec![-0.5]))
        .node("Clip", &["x", "low"], "a", &[])
        .node("Min", &["high", "a"], "c", &[])
        .pooled("c");
    for model in [old, new] {
        let graph = assert_imports_exactly(&model);
        assert_eq!(graph.nodes[0].op, Op::Clip { min: -0.5, max: 1.0 });
    }
}

#[test]
fn arithmetic_with_constants_is_one_affine_step() {
    let model = image_model()
        .weights("c", &[4, 1, 1])
        .weights("d", &[1, 4, 1, 1])
        .tensor(floats("half", &[1], vec![0.5]))
        .node("Sub", &["half", "x"], "a", &[])
        .node("Mul", &["a", "c"], "b", &[])
        .node("Div", &["b", "half"], "e", &[])
        .node("Add", &["d", "e"], "f", &[])
        .pooled("f");
    let graph = assert_imports_exactly(&model);
    assert!(matches!(graph.nodes[0].op, Op::Affine { .. }));
    assert_eq!(graph.values[graph.nodes[0].output].name, "f");
}

#[test]
fn fully_connected_layers_are_read_in_all_orders() {
    let flat = |model: Model| model.node("Flatten", &["x"], "flat", &[]);
    let transposed = flat(Model::new(13, &[1, 2, 3, 4]))
        .weights("w", &[5, 24])
        .weights("b", &[1, 5])
        .node("Gemm", &["flat", "w", "b"], "y", &[int("transB", 1), float("alpha", 0.5)])
        .output("y");
    let plain = flat(Model::new(13, &[1, 2, 3, 4]))
        .weights("w", &[24, 5])
        .node("Gemm", &["flat", "w"], "y", &[])
        .output("y");
    // A flatten in HWC order, as networks of Keras have it.
    let hwc = Model::new(13, &[1, 2, 3, 4])
        .weights("w", &[24, 5])
        .weights("b", &[5])
        .ints("shape", &[0, -1])
        .node("Relu", &["x"], "r", &[])
        .node("Transpose", &["r"], "t", &[ints("perm", &[0, 2, 3, 1])])
        .node("Reshape", &["t", "shape"], "flat", &[])
        .node("MatMul", &["flat", "w"], "m", &[])
        .node("Add", &["m", "b"], "y", &[])
        .output("y");
    for model in [transposed, plain, hwc] {
        assert_imports_exactly(&model);
    }
}

#[test]
fn a_mean_over_rows_and_columns_is_a_global_pool() {
    let attribute = Model::new(13, &[1, 4, 9, 10])
        .node("ReduceMean", &["x"], "y", &[ints("axes", &[2, 3]), int("keepdims", 0)])
        .output("y");
    let input = Model::new(18, &[1, 4, 9, 10])
        .ints("axes", &[-1, -2])
        .node("ReduceMean", &["x", "axes"], "m", &[])
        .node("Flatten", &["m"], "y", &[])
        .output("y");
    for model in [attribute, input] {
        let graph = assert_imports_exactly(&model);
        assert_eq!(graph.nodes[0].op, Op::GlobalAveragePool);
    }
}

#[test]
fn padding_moves_into_pools_only_where_it_is_exact() {
    let pool = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
    let padded = |op: &str| {
        image_model()
            .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 2])
            .node("Pad", &["x", "pads"], "p", &[])
            .node(op, &["p"], "m", &pool)
            .pooled("m")
    };
    let has_pad = |model: &Model| {
        assert_imports_exactly(model).nodes.iter().any(|n| matches!(n.op, Op::Pad { .. }))
    };
    assert!(has_pad(&padded("MaxPool")), "the input may be negative");
    assert!(!has_pad(&padded("AveragePool")), "zeros that count");
    let mut behind_relu = padded("MaxPool").node("Relu", &["x"], "r", &[]);
    let relu = behind_relu.graph().node.pop().expect("the Relu");
    behind_relu.graph().node[0].input[0] = "r".into();
    behind_relu.graph().node.insert(0, relu);
    assert!(!has_pad(&behind_relu), "zeros below every maximum");
}

#[test]
fn weights_of_every_float_width_are_the_same_weights() {
    let values = [0.5f32, -1.25, 2.0, 0.0];
    let raw = |element: DataType, raw_data: Vec<u8>| TensorProto {
        name: "w".into(),
        data_type: element as i32,
        dims: vec![4],
        raw_data,
        ..Default::default()
    };
    let bytes = |f: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&v| f(v)).collect::<Vec<u8>>();
    let halves = values.map(|v| i32::from(f16::from_f32(v).to_bits())).to_vec();
    let variants = [
        raw(DataType::Float, bytes(&|v| v.to_le_bytes().to_vec())),
        raw(DataType::Double, bytes(&|v| f64::from(v).to_le_bytes().to_vec())),
        raw(DataType::Float16, bytes(&|v| f16::from_f32(v).to_le_bytes().to_vec())),
        raw(DataType::Bfloat16, bytes(&|v| bf16::from_f32(v).to_le_bytes().to_vec())),
        TensorProto { int32_data: halves, ..raw(DataType::Float16, Vec::new()) },
        TensorProto { float_data: values.to_vec(), ..raw(DataType::Float, Vec::new()) },
    ];
    for tensor in variants {
        let model = image_model()
            .tensor(tensor)
            .ints("shape", &[1, 4, 1, 1])
            .node("Cast", &["w"], "wide", &[int("to", 1)])
            .node("Reshape", &["wide", "shape"], "scale", &[])
            .node("Mul", &["x", "scale"], "m", &[])
            .pooled("m");
        let op = import(&model).graph.nodes[0].op.clone();
        assert_eq!(op, Op::Affine { scale: values.to_vec(), shift: vec![0.0; 4] });
    }
}

#[test]
fn symbolic_dimensions_ask_for_the_input_shape() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = Model::new(13, &[-1, 3, -1, -1])
        .weights("w", &[4, 3, 3, 3])
        .node("Conv", &["x", "w"], "c", &[])
        .pooled("c")
        .save(folder.path());
    let error = load(&path, &ImportOptions::default()).expect_err("no shape").to_string();
    assert!(error.contains("dimension 2") && error.contains("--input-shape"), "{error}");
    for shape in [vec![1, 3, 20, 24], vec![3, 20, 24]] {
        let options = ImportOptions { input_shape: Some(shape), ..ImportOptions::default() };
        let imported = load(&path, &options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(imported.input_shape, [1, 3, 20, 24]);
    }
    for shape in [vec![1, 4, 20, 24], vec![2, 3, 20, 24], vec![3, 20], vec![1, 3, 0, 4]] {
        let options = ImportOptions { input_shape: Some(shape), ..ImportOptions::default() };
        assert!(load(&path, &options).is_err());
    }
}

#[test]
fn check_goes_on_behind_an_unsupported_node() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = image_model()
        .weights("w", &[4, 4, 1, 1])
        .node("Conv", &["x", "w"], "c", &[])
        .node("Sin", &["c"], "s", &[])
        .node("Relu", &["s"], "r", &[])
        .node("Atan", &["r"], "h", &[])
        .pooled("h")
        .save(folder.path());
    let error = load(&path, &ImportOptions::default()).expect_err("a Sin").to_string();
    assert!(error.contains(r#"node 1 "s" (Sin of [1, 4, 9, 10])"#), "{error}");
    let verdicts = check(&path);
    let kinds: Vec<char> = verdicts
        .iter()
        .map(|v| match v.verdict {
            Verdict::Supported { .. } => 's',
            Verdict::Unsupported { .. } => 'u',
            Verdict::Unchecked { .. } => '?',
        })
        .collect();
    assert_eq!(kinds, ['s', 'u', '?', 'u', '?', '?']);
    assert_eq!(verdicts[0].shape.as_deref(), Some(&[1, 4, 9, 10][..]));
}

#[test]
fn check_tells_what_becomes_of_each_node() {
    let path = fixture("keras-resnet.onnx");
    let verdicts = check(&path);
    let said = |suffix: &str| {
        let verdict = verdicts.iter().find(|v| v.name.ends_with(suffix)).expect("the node");
        verdict.verdict.to_string()
    };
    assert_eq!(said("convolution__6"), "layout only, removed at import");
    assert_eq!(said("batch_normalization_1/batchnorm/add_1"), "folded into Conv__37");
    assert_eq!(said("dense_1/BiasAdd"), "folded into functional_1/dense_1/MatMul");
    assert_eq!(said("dense_1/Softmax"), "final softmax, taken off the plan");
    assert_eq!(said("Relu6"), "int8 step");
    assert!(verdicts.iter().all(|v| v.shape.is_some()));
}
