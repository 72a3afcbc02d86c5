//! Networks that were refused though right, and such as looked right though wrong: what `check` says of
//! them, what `quantize` makes of them, and that both say the same.

use std::path::Path;

use serde_json::Value;

use crate::common::onnx::{Model, float, floats, int, ints, string};
use crate::partition::nets::{classifier, trunk};
use crate::{fixnet, json, pictures, refusal, text};

const CHANNELS: i64 = 8;

/// `stem, relu` from the image to `s`.
fn stem(opset: i64) -> Model {
    Model::new(opset, &[1, 3, 16, 16])
        .weights("w0", &[CHANNELS, 3, 3, 3])
        .node("Conv", &["x", "w0"], "a", &[ints("pads", &[1; 4])])
        .node("Relu", &["a"], "s", &[])
}

fn padded(model: Model, input: &str, output: &str) -> Model {
    let pads = [0, 0, 2, 1, 0, 0, 1, 3];
    model.ints("p", &pads).node("Pad", &[input, "p"], output, &[])
}

/// Networks with an int8 form throughout.
fn accepted() -> Vec<(&'static str, Model)> {
    let conv = |kernel: i64, pads: i64| {
        let model = stem(13).weights("w1", &[CHANNELS, CHANNELS, kernel, kernel]);
        let pads = [ints("pads", &[pads; 4])];
        let model = model.node("Conv", &["s", "w1"], "c", &pads).node("Relu", &["c"], "d", &[]);
        classifier(model, "d").output("logits")
    };
    let pool = |attributes: &[_]| {
        let window = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
        let attributes = [&window[..], attributes].concat();
        let model = stem(13).node("AveragePool", &["s"], "d", &attributes);
        classifier(model, "d").output("logits")
    };
    let swish_free_pad = padded(stem(13), "s", "q").node("Relu", &["q"], "d", &[]);
    let pad_then_pool = padded(stem(13), "a", "q").node(
        "MaxPool",
        &["q"],
        "d",
        &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
    );
    let pad_then_add = padded(stem(13), "s", "q").node("Add", &["q", "q"], "d", &[]);
    vec![
        ("a pixel padded by a pixel", conv(1, 1)),
        ("a window padded by itself", conv(3, 3)),
        ("a window padded by more", conv(3, 5)),
        ("padding before an activation function", classifier(swish_free_pad, "d").output("logits")),
        (
            "padding of negative values before a pool",
            classifier(pad_then_pool, "d").output("logits"),
        ),
        ("padding before an addition", classifier(pad_then_add, "d").output("logits")),
        ("an average without its padding", pool(&[ints("pads", &[1; 4])])),
        ("an average without its padding, uneven", pool(&[ints("pads", &[2, 0, 1, 1])])),
        ("an average with a last window over the edge", pool(&[int("ceil_mode", 1)])),
        (
            "an average padded as its file's other windows",
            pool(&[string("auto_pad", "SAME_UPPER")]),
        ),
    ]
}

/// Networks that are refused, with what the line must say.
fn refused() -> Vec<(&'static str, Model, &'static [&'static str])> {
    let ends = |op: &str, more: &[&str]| {
        let model = classifier(trunk(Model::new(13, &[1, 3, 16, 16]), "x"), "trunk");
        let attributes = if op == "ArgMin" { vec![int("axis", 1)] } else { Vec::new() };
        let model = model.ints("k", &[3]);
        model.node(op, &[&["logits"], more].concat(), "z", &attributes).output("z")
    };
    let mut nan = classifier(trunk(Model::new(13, &[1, 3, 16, 16]), "x"), "trunk").output("logits");
    let weights = nan.graph().initializer.iter_mut().find(|t| t.name == "block1.conv2.w").unwrap();
    weights.float_data[5] = f32::NAN;
    let with_lrn = |mut model: Model| {
        let lrn = [int("size", 3), float("alpha", 0.1), float("beta", 0.75)];
        model.graph().node.iter_mut().for_each(|node| {
            node.input.iter_mut().filter(|name| *name == "x").for_each(|name| *name = "lrn".into());
        });
        model.node("LRN", &["x"], "lrn", &lrn)
    };
    let over_batch = classifier(trunk(Model::new(13, &[1, 3, 16, 16]), "x"), "trunk")
        .node("Softmax", &["logits"], "z", &[int("axis", 0)])
        .output("z");
    let zero_variance = |model: Model, input: &str| {
        let parameter = |name: &str, value: f32, channels: usize| {
            floats(name, &[channels as i64], vec![value; channels])
        };
        let channels = if input == "x" { 3 } else { CHANNELS as usize };
        let model = [("g", 1.0), ("b", 0.1), ("m", 0.5), ("v", 0.0)]
            .into_iter()
            .fold(model, |model, (name, value)| model.tensor(parameter(name, value, channels)));
        let inputs = [input, "g", "b", "m", "v"];
        model.node("BatchNormalization", &inputs, "norm", &[float("epsilon", 0.0)])
    };
    let bad_norm = classifier(zero_variance(stem(13), "s"), "norm").output("logits");
    let bad_head =
        zero_variance(Model::new(17, &[1, 3, 16, 16]), "x").node("Atan", &["norm"], "h", &[]);
    let bad_head = classifier(trunk(bad_head, "h"), "trunk").output("logits");
    let overflow = Model::new(17, &[1, 3, 16, 16])
        .node("Atan", &["x"], "h", &[])
        .tensor(floats("k", &[1], vec![3e38]))
        .node("Mul", &["h", "k"], "large", &[])
        .node("Mul", &["large", "k"], "larger", &[])
        .node("Sigmoid", &["larger"], "i", &[]);
    let overflow = classifier(trunk(overflow, "i"), "trunk").output("logits");
    vec![
        ("the worst class at the end", ends("ArgMin", &[]), &["\"z\" (ArgMin)"]),
        ("a Softmax over the batch", with_lrn(over_batch), &["\"z\" (Softmax)", "all scores"]),
        ("weights that are no numbers", with_lrn(nan), &["block1.conv2", "NaN"]),
        ("a variance of 0 in int8", bad_norm, &["\"norm\" (BatchNormalization"]),
        ("a variance of 0 in float", bad_head, &["\"norm\" (BatchNormalization"]),
        ("an overflow in float", overflow, &["\"larger\" (Mul)", "inf"]),
    ]
}

struct Saved {
    folder: tempfile::TempDir,
    onnx: String,
    fxn: String,
}

impl Saved {
    fn new(model: &Model) -> Self {
        let folder = pictures(1);
        let onnx = text(&model.save(folder.path()));
        let fxn = text(&folder.path().join("test.fxn"));
        Self { folder, onnx, fxn }
    }

    fn quantize<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let args =
            ["quantize", &self.onnx, "--out", &self.fxn, "--calib-limit", "8", "--limit", "8"];
        [&args[..], more].concat()
    }
}

#[test]
fn what_is_right_is_taken_and_exact_in_every_layer() {
    for (what, model) in accepted() {
        let saved = Saved::new(&model);
        let check = json(&["check", &saved.onnx, "--json"]);
        assert_eq!(
            (&check["supported"], &check["problem"]),
            (&Value::Bool(true), &Value::Null),
            "{what}"
        );
        let summary = json(&saved.quantize(&["--json"]));
        for layer in summary["layers"].as_array().unwrap() {
            assert!(layer["sqnr_isolated_db"].as_f64() > Some(25.0), "{what}: {layer}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_by_name_however_it_is_asked_for() {
    for (what, model, words) in refused() {
        let saved = Saved::new(&model);
        let ways: [&[&str]; 4] = [
            &[],
            &["--partition"],
            &["--fallback", "tract"],
            &["--partition", "--fallback", "tract"],
        ];
        for way in ways {
            let line = refusal(&saved.quantize(way));
            let named = line.starts_with(&format!("error: {}: ", saved.onnx));
            assert!(named, "{what} {way:?}: {line}");
            // Without a flag the first node without an int8 form will do.
            let told = way.is_empty() || words.iter().all(|word| line.contains(word));
            assert!(told, "{what} {way:?}: {line}");
            assert!(!Path::new(&saved.fxn).exists(), "{what}");
        }
        let check = fixnet(&["check", &saved.onnx]).output().unwrap();
        assert_ne!(check.status.code(), Some(0), "{what}");
        drop(saved.folder);
    }
}

/// Along another axis than the channels', and a gate that is shut wherever it is looked: the node, its shape, and
/// what to do.
#[test]
fn what_has_no_int8_form_is_told_with_its_node_and_shape() {
    let end = |model: Model, input: &str| classifier(model, input).output("logits");
    let rows = stem(13).node("Concat", &["s", "s"], "rows", &[int("axis", 2)]);
    let mean = [ints("axes", &[1]), int("keepdims", 1)];
    let pixels =
        stem(13).node("ReduceMean", &["s"], "mean", &mean).node("Mul", &["s", "mean"], "m", &[]);
    let shut = stem(13)
        .tensor(floats("far", &[], vec![-60.0]))
        .node("Add", &["s", "far"], "low", &[])
        .node("Sigmoid", &["low"], "gate", &[])
        .node("Mul", &["s", "gate"], "shut", &[]);
    let cases: [(Model, [&str; 3]); 3] = [
        (
            end(rows, "rows"),
            ["\"rows\" (Concat of [1, 8, 16, 16]", "axis 2", "axis 1 of [1, C, H, W]"],
        ),
        (
            end(pixels, "m"),
            ["\"mean\" (ReduceMean of [1, 8, 16, 16])", "other axes", "--partition"],
        ),
        (end(shut, "shut"), ["layer shut, whose output is 16x16x8", "a single value", "calibrate"]),
    ];
    for (model, words) in cases {
        let saved = Saved::new(&model);
        let line = refusal(&saved.quantize(&[]));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        let check = fixnet(&["check", &saved.onnx]).output().unwrap();
        let page = String::from_utf8(check.stdout).unwrap();
        assert_eq!(check.status.code(), Some(1), "{page}");
        assert!(words[1..].iter().all(|word| page.contains(word)), "{page}");
    }
}

/// With one value there is no class to agree on.
#[test]
fn one_value_claims_no_agreement() {
    let model = stem(13)
        .weights("fc", &[1, CHANNELS])
        .node("GlobalAveragePool", &["s"], "p", &[])
        .node("Flatten", &["p"], "f", &[])
        .node("Gemm", &["f", "fc"], "y", &[int("transB", 1)]);
    let squashed = model.node("Atan", &["y"], "z", &[]).output("z");
    let saved = Saved::new(&squashed);
    let summary = json(&saved.quantize(&["--partition", "--json"]));
    assert_eq!(summary["agreement"], Value::Null);
    assert_eq!(summary["float"]["top1"], Value::Null);
    let output = fixnet(&saved.quantize(&["--partition"])).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("nothing to agree on") && !page.contains("agreement"), "{page}");
}

/// A crop in front of the trunk is computed as ONNX says, in float.
#[test]
fn a_crop_stays_in_float_and_is_one() {
    let model = Model::new(13, &[1, 3, 18, 18]).ints("p", &[0, 0, -1, -2, 0, 0, -1, 0]);
    let model = trunk(model.node("Pad", &["x", "p"], "crop", &[]), "crop");
    let saved = Saved::new(&classifier(model, "trunk").output("logits"));
    let line = refusal(&saved.quantize(&[]));
    assert!(line.contains("\"crop\" (Pad of [1, 3, 18, 18])"), "{line}");
    let size = ["--partition", "--resize", "18", "--crop", "18", "--json"];
    let summary = json(&saved.quantize(&size));
    assert_eq!(summary["float_parts"][0]["part"], "head");
    assert!(summary["agreement"].as_f64() > Some(0.6), "{}", summary["agreement"]);
}

/// The trunk is where the residual blocks are, also where a layer before them has more work.
#[test]
fn residual_blocks_are_the_trunk_whatever_is_before_them() {
    let model = Model::new(13, &[1, 3, 16, 16])
        .weights("wide", &[48, 3, 7, 7])
        .weights("narrow", &[3, 48, 1, 1])
        .node("Conv", &["x", "wide"], "a", &[ints("pads", &[3; 4])])
        .node("Conv", &["a", "narrow"], "b", &[])
        .node("Sin", &["b"], "s", &[]);
    let saved = Saved::new(&classifier(trunk(model, "s"), "trunk").output("logits"));
    let summary = json(&saved.quantize(&["--partition", "--json"]));
    let parts = summary["float_parts"].as_array().unwrap();
    assert_eq!(parts.len(), 1, "{parts:?}");
    assert_eq!(parts[0]["part"], "head");
    assert_eq!(parts[0]["nodes"].as_array().unwrap().len(), 3, "{parts:?}");
}

/// Whatever is wrong, the line begins with the file that it is about.
#[test]
fn every_refusal_names_its_file_first() {
    let folder = pictures(1);
    let good = Saved::new(&classifier(stem(13), "s").output("logits"));
    let bad = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        text(&path)
    };
    let whole = std::fs::read(&good.onnx).unwrap();
    let symbolic = Saved::new(&{
        let model = Model::new(13, &[1, 3, -1, -1]).weights("w0", &[CHANNELS, 3, 3, 3]);
        classifier(model.node("Conv", &["x", "w0"], "s", &[]), "s").output("logits")
    });
    let turned = [ints("perm", &[0, 3, 1, 2])];
    let map = Saved::new(&stem(13).node("Transpose", &["s"], "t", &turned).output("t"));
    let files = [
        bad("empty.onnx", b""),
        bad("text.onnx", b"no model at all"),
        bad("half.onnx", &whole[..whole.len() / 2]),
        text(&folder.path().join("absent.onnx")),
        text(folder.path()),
        symbolic.onnx.clone(),
        map.onnx.clone(),
    ];
    for file in &files {
        for way in [&[][..], &["--partition"], &["--fallback", "tract"]] {
            let limits = ["--calib-limit", "1", "--limit", "1", "--out", &good.fxn];
            let line = refusal(&[&["quantize", file], &limits[..], way].concat());
            assert!(line.starts_with(&format!("error: {file}: ")), "{way:?}: {line}");
            assert_eq!(line.matches(&format!("{file}: ")).count(), 1, "{line}");
        }
        let check = fixnet(&["check", file]).output().unwrap();
        assert_ne!(check.status.code(), Some(0), "{file}");
    }
    for (flag, value) in [
        ("--calib", bad("broken.png", b"no picture")),
        ("--images", text(&folder.path().join("absent"))),
    ] {
        let line = refusal(&good.quantize(&[flag, &value]));
        assert!(line.starts_with(&format!("error: {value}: ")), "{line}");
    }
}
