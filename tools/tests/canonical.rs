//! Promises of the canonical form that the importer and the float judge read: what a file may spell in
//! several ways, or tract computes otherwise than ONNX says, against values computed by hand.

mod common;

use std::path::Path;

use fixnet::float::FloatModel;
use half::f16;
use prost::Message;
use tools::import::{ImportOptions, NodeProblem, OnnxFile, Problem};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{SparseTensorProto, TensorProto, type_proto};

use common::onnx::{Model, floats, int, ints, string};
use common::{assert_folds_exactly, noise};

fn saved(model: &Model) -> OnnxFile {
    let folder = tempfile::tempdir().expect("a temporary folder");
    OnnxFile::open(&model.save(folder.path())).unwrap_or_else(|e| panic!("{e}"))
}

/// What tract makes of the canonical form.
fn judged(model: &Model, image: &[f32]) -> Vec<f32> {
    judged_file(&saved(model), image)
}

fn judged_file(file: &OnnxFile, image: &[f32]) -> Vec<f32> {
    let input = file.input(&ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let proto = file.proto().unwrap_or_else(|e| panic!("{e}"));
    let float = FloatModel::load(proto, None, &input.shape, &["y"]).expect("tract takes it");
    let mut session = float.session();
    session.input_mut().copy_from_slice(image);
    session.run().expect("tract runs it").remove(0)
}

fn counted(len: usize) -> Vec<f32> {
    (1..=len).map(|i| i as f32).collect()
}

/// Why nothing can be made of a file.
fn refusal(model: &Model) -> NodeProblem {
    let file = saved(model);
    let import = file.import(&ImportOptions::default()).expect_err("refused by the importer");
    let judge = file.proto().expect_err("refused by the judge");
    assert!(import.to_string().contains("test.onnx: node "), "{import}");
    let [import, judge] = [import, judge].map(|error| match error.problem {
        Problem::Node(node) => node.problem,
        other => panic!("{other}"),
    });
    assert_eq!(import.to_string(), judge.to_string());
    judge
}

#[test]
fn negative_pads_crop() {
    // Rows 1 to 4 of a 4x4 image from top to bottom.
    let (pads, cropped): ([i64; 8], &[f32]) =
        ([0, 0, -1, -1, 0, 0, -1, -1], &[6.0, 7.0, 10.0, 11.0]);
    let mixed: ([i64; 8], &[f32]) = ([0, 0, -2, 1, 0, 0, 0, -3], &[0.0, 9.0, 0.0, 13.0]);
    for (pads, want) in [(pads, cropped), mixed] {
        let new = Model::new(13, &[1, 1, 4, 4]).ints("p", &pads).node("Pad", &["x", "p"], "y", &[]);
        let old = Model::new(9, &[1, 1, 4, 4]).node("Pad", &["x"], "y", &[ints("pads", &pads)]);
        // As PyTorch writes them: in a chain of constants.
        let (first, second) = pads.split_at(3);
        let chain = Model::new(13, &[1, 1, 4, 4])
            .ints("p1", first)
            .ints("p2", second)
            .node("Concat", &["p1", "p2"], "p", &[int("axis", 0)])
            .node("Cast", &["p"], "q", &[int("to", DataType::Int64 as i64)])
            .node("Pad", &["x", "q"], "y", &[]);
        for model in [new, old, chain] {
            assert_eq!(judged(&model.output("y"), &counted(16)), want, "{pads:?}");
        }
    }
    let axes = Model::new(18, &[1, 1, 4, 4])
        .ints("p", &[-1, -1])
        .ints("a", &[-1])
        .node("Pad", &["x", "p", "", "a"], "y", &[])
        .output("y");
    assert_eq!(judged(&axes, &counted(16)), [2., 3., 6., 7., 10., 11., 14., 15.]);
    let reflected = Model::new(13, &[1, 1, 4, 4])
        .ints("p", &[0, 0, -1, 0, 0, 0, 1, 0])
        .node("Pad", &["x", "p"], "y", &[string("mode", "reflect")])
        .output("y");
    assert!(matches!(refusal(&reflected), NodeProblem::Unsupported { .. }));
}

/// What pads come to may follow from the shapes of the network alone.
#[test]
fn negative_pads_that_nobody_could_see_are_refused_by_the_judge() {
    let model = Model::new(13, &[1, 1, 4, 4])
        .ints("m", &[0, 0, -1, 0, 0, 0, 0, 0])
        .ints("at", &[0])
        .node("Shape", &["x"], "s", &[])
        .node("Gather", &["s", "at"], "one", &[])
        .node("Mul", &["m", "one"], "p", &[])
        .node("Pad", &["x", "p"], "y", &[])
        .output("y");
    let file = saved(&model);
    let error = FloatModel::load(file.proto().unwrap(), None, &[1, 1, 4, 4], &["y"]).unwrap_err();
    assert!(error.to_string().contains("negative padding"), "{error}");
}

#[test]
fn an_operand_begins_at_the_axis_that_a_file_before_operator_set_7_names() {
    let attributes = [int("axis", 1), int("broadcast", 1)];
    let model = Model::new(6, &[1, 2, 2, 2])
        .tensor(floats("b", &[2], vec![10.0, 20.0]))
        .node("Add", &["x", "b"], "y", &attributes)
        .output("y");
    let want = [11., 12., 13., 14., 25., 26., 27., 28.];
    assert_eq!(judged(&model, &counted(8)), want);
    // In front of what nothing is known of; two dimensions of four.
    let model = Model::new(6, &[1, 2, 2, 2])
        .tensor(floats("b", &[1, 2], vec![10.0, 20.0]))
        .node("Relu", &["x"], "r", &[])
        .node("Mul", &["r", "b"], "y", &[int("axis", -4), int("broadcast", 1)])
        .output("y");
    assert_eq!(judged(&model, &counted(8)), [10., 20., 30., 40., 100., 120., 140., 160.]);
    // Without an axis the last dimensions meet, as in later operator sets.
    let model = Model::new(6, &[1, 2, 2, 2])
        .tensor(floats("b", &[2], vec![10.0, 20.0]))
        .node("Add", &["x", "b"], "y", &[int("broadcast", 1)])
        .output("y");
    assert_eq!(judged(&model, &counted(8)), [11., 22., 13., 24., 15., 26., 17., 28.]);
}

#[test]
fn per_channel_sums_of_old_files_are_imported() {
    let model = Model::new(6, &[1, 4, 4, 4])
        .weights("w", &[4, 4, 3, 3])
        .weights("b", &[4])
        .node("Conv", &["x", "w"], "c", &[ints("pads", &[1; 4])])
        .node("Add", &["c", "b"], "a", &[int("axis", 1), int("broadcast", 1)])
        .pooled("a");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let graph = assert_folds_exactly(&model.save(folder.path()), &ImportOptions::default());
    assert_eq!(graph.nodes[0].name, "c", "the sum is folded into the convolution");
}

/// As ONNX Runtime has it: `VALID` is no padding, and the ceiling counts the window that reaches over the
/// edge.
#[test]
fn ceil_mode_beside_valid_adds_the_last_window() {
    let attributes = |extra| {
        let pool = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)];
        [&pool[..], &[extra]].concat()
    };
    for extra in [string("auto_pad", "VALID"), ints("pads", &[0; 4])] {
        let pool =
            Model::new(12, &[1, 1, 4, 4]).node("MaxPool", &["x"], "y", &attributes(extra.clone()));
        assert_eq!(judged(&pool.output("y"), &counted(16)), [11., 12., 15., 16.]);
        let network = Model::new(12, &[1, 2, 16, 16])
            .node("MaxPool", &["x"], "p", &attributes(extra))
            .pooled("p");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let graph = assert_folds_exactly(&network.save(folder.path()), &ImportOptions::default());
        assert_eq!(graph.shape(graph.nodes[0].output), [2, 8, 8]);
    }
}

fn batch_norm(opset: i64, attributes: &[tract_onnx::pb::AttributeProto]) -> Model {
    let mut model = Model::new(opset, &[1, 2, 1, 2]);
    for (name, values) in
        [("g", [2.0, 3.0]), ("b", [1.0, 0.0]), ("m", [1.0, 2.0]), ("v", [4.0, 9.0])]
    {
        model = model.tensor(floats(name, &[2], values.to_vec()));
    }
    let attributes = [attributes, &[common::onnx::float("epsilon", 0.0)]].concat();
    model.node("BatchNormalization", &["x", "g", "b", "m", "v"], "y", &attributes)
}

#[test]
fn parameters_of_channels_are_parameters_of_channels_whatever_spatial_says() {
    let want = [1., 2., 1., 2.];
    for attributes in [vec![], vec![int("spatial", 0)], vec![int("spatial", 1)]] {
        let model = batch_norm(8, &attributes).output("y");
        assert_eq!(judged(&model, &counted(4)), want, "{attributes:?}");
    }
    let network = batch_norm(8, &[int("spatial", 0)]);
    let network =
        network.node("GlobalAveragePool", &["y"], "p", &[]).node("Flatten", &["p"], "z", &[]);
    let imported = saved(&network.output("z")).import(&ImportOptions::default());
    imported.unwrap_or_else(|e| panic!("{e}"));
    let mut per_pixel = batch_norm(8, &[int("spatial", 0)]).output("y");
    for tensor in &mut per_pixel.graph().initializer {
        *tensor = floats(&tensor.name.clone(), &[2, 1, 2], vec![1.0; 4]);
    }
    assert!(refusal(&per_pixel).to_string().contains("spatial = 0"));
}

#[test]
fn normalising_by_the_batch_is_refused_by_name() {
    let outputs = |mut model: Model| {
        let node = &mut model.graph().node[0];
        node.output.extend(["m1", "v1", "m2", "v2"].map(String::from));
        model.output("y")
    };
    let cases = [
        ("training_mode", batch_norm(14, &[int("training_mode", 1)]).output("y")),
        ("five outputs", outputs(batch_norm(9, &[]))),
        ("is_test", batch_norm(6, &[]).output("y")),
    ];
    for (what, model) in cases {
        let line = refusal(&model).to_string();
        assert!(line.contains("training mode"), "{what}: {line}");
        assert_eq!(line.contains("5 outputs"), what == "five outputs", "{line}");
    }
    // What nothing reads does not make it one since operator set 14, which has an attribute for that.
    assert_eq!(judged(&outputs(batch_norm(15, &[])), &counted(4)), [1., 2., 1., 2.]);
    assert_eq!(
        judged(&batch_norm(6, &[int("is_test", 1)]).output("y"), &counted(4)),
        [1., 2., 1., 2.]
    );
}

fn convolved() -> Model {
    Model::new(13, &[1, 4, 9, 10])
        .weights("w", &[6, 4, 3, 3])
        .node("Conv", &["x", "w"], "c", &[])
        .node("Relu", &["c"], "r", &[])
        .pooled("r")
}

#[test]
fn nodes_may_stand_in_any_order() {
    let image = noise(1, 360);
    let want = judged(&convolved(), &image);
    for turns in 0..4 {
        let mut model = convolved();
        model.graph().node.reverse();
        model.graph().node.rotate_left(turns);
        assert_eq!(judged(&model, &image), want);
        let names = |file: &OnnxFile| -> Vec<String> {
            let checked = file.check(&ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
            assert!(checked.nodes.iter().all(|v| v.verdict.is_supported()), "{checked:?}");
            checked.nodes.into_iter().map(|v| v.name).collect()
        };
        let file_order: Vec<String> = model.graph().node.iter().map(|n| n.name.clone()).collect();
        assert_eq!(names(&saved(&model)), file_order);
    }
}

#[test]
fn sparse_constants_are_filled_up() {
    let sparse = |indices: TensorProto| SparseTensorProto {
        values: Some(floats("w", &[2], vec![0.5, -2.0])),
        indices: Some(indices),
        dims: vec![1, 2, 1, 2],
    };
    let list = |dims: &[i64], values: &[i64]| TensorProto {
        data_type: DataType::Int64 as i32,
        dims: dims.to_vec(),
        int64_data: values.to_vec(),
        ..Default::default()
    };
    let model = |indices| {
        let mut model =
            Model::new(13, &[1, 2, 1, 2]).node("Conv", &["x", "w"], "y", &[]).output("y");
        model.graph().sparse_initializer.push(sparse(indices));
        model
    };
    for indices in [list(&[2], &[1, 2]), list(&[2, 4], &[0, 0, 0, 1, 0, 1, 0, 0])] {
        // 0.5 * 2 - 2 * 3
        assert_eq!(judged(&model(indices), &counted(4)), [-5.0]);
    }
    for (dims, values) in [
        (&[2][..], &[2i64, 1][..]),
        (&[2], &[1, 1]),
        (&[2], &[1, 4]),
        (&[2], &[-1, 1]),
        (&[3], &[0, 1, 2]),
        (&[2, 4], &[0, 0, 0, 1, 0, 2, 0, 0]),
        (&[2, 2], &[0, 0, 0, 1]),
    ] {
        let line = refusal(&model(list(dims, values))).to_string();
        assert!(line.contains("sparse"), "{line}");
    }
    let mut huge = model(list(&[2], &[1, 2]));
    huge.graph().sparse_initializer[0].dims = vec![1 << 20, 1 << 20, 1 << 20];
    refusal(&huge);
}

#[test]
fn half_floats_are_floats() {
    let mut model = convolved();
    let image = noise(3, 360);
    let want = judged(&model, &image);
    let half = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
    };
    for tensor in &mut model.graph().initializer {
        let values = std::mem::take(&mut tensor.float_data);
        (tensor.raw_data, tensor.data_type) = (half(&values), DataType::Float16 as i32);
    }
    for end in ["input", "output"] {
        let graph = model.graph();
        let infos = if end == "input" { &mut graph.input } else { &mut graph.output };
        for info in infos {
            if let Some(type_proto::Value::TensorType(tensor)) =
                info.r#type.as_mut().and_then(|t| t.value.as_mut())
            {
                tensor.elem_type = DataType::Float16 as i32;
            }
        }
    }
    let model = model.node("Cast", &["y"], "z", &[int("to", DataType::Float16 as i64)]);
    let got = judged(&model, &image);
    let largest = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() < 2e-3 * largest, "{got} {want}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_folds_exactly(&model.save(folder.path()), &ImportOptions::default());
}

#[test]
fn constants_that_are_no_numbers_are_refused_wherever_they_are_read() {
    for (op, value, allowed) in [
        ("HardSwish", 0.0, true),
        ("Mul", f32::NAN, false),
        ("Mul", f32::INFINITY, false),
        ("Min", f32::INFINITY, true),
        ("Max", f32::NAN, false),
    ] {
        let inputs = if op == "HardSwish" { &["x"][..] } else { &["x", "k"] };
        let model = Model::new(14, &[1, 4, 2, 2])
            .tensor(floats("k", &[1], vec![value]))
            .node(op, inputs, "y", &[])
            .output("y");
        let proto = saved(&model).into_proto();
        match proto {
            Ok(_) => assert!(allowed, "{op} {value}"),
            Err(error) => {
                let line = error.to_string();
                assert!(!allowed && line.contains("\"k\" holds"), "{op} {value}: {line}");
            }
        }
    }
}

/// As Hugging Face keeps files: links with the names of the original, to blobs under other names.
#[cfg(unix)]
#[test]
fn external_data_lies_beside_the_link_or_beside_what_it_leads_to() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (blobs, snapshot) = (folder.path().join("blobs"), folder.path().join("snapshots/1"));
    for new in [&blobs, &snapshot] {
        std::fs::create_dir_all(new).expect("a new folder");
    }
    let mut model = convolved();
    let image = noise(5, 360);
    let want = judged(&model, &image);
    let data = {
        let tensor = &mut model.graph().initializer[0];
        let values = std::mem::take(&mut tensor.float_data);
        tensor.data_location = Some(1);
        let entry = tract_onnx::pb::StringStringEntryProto {
            key: "location".into(),
            value: "model.onnx.data".into(),
        };
        tensor.external_data = vec![entry];
        values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()
    };
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("a writable folder");
    write(&blobs.join("aaaa"), &model.proto.encode_to_vec());
    write(&blobs.join("bbbb"), &data);
    let link = snapshot.join("model.onnx");
    symlink("../../blobs/aaaa", &link).expect("a link");
    symlink("../../blobs/bbbb", snapshot.join("model.onnx.data")).expect("a link");
    let opened = |path: &Path| OnnxFile::open(path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(judged_file(&opened(&link), &image), want);
    // A link to a model that lies beside its data.
    write(&blobs.join("model.onnx.data"), &data);
    let elsewhere = folder.path().join("elsewhere.onnx");
    symlink("blobs/aaaa", &elsewhere).expect("a link");
    assert_eq!(judged_file(&opened(&elsewhere), &image), want);
    // The data's link may not lead anywhere else.
    std::fs::remove_file(snapshot.join("model.onnx.data")).expect("the link");
    write(&folder.path().join("other"), &data);
    symlink("../../other", snapshot.join("model.onnx.data")).expect("a link");
    let line = opened(&link).into_proto().unwrap_err().to_string();
    assert!(line.contains("outside the model's folder"), "{line}");
}
