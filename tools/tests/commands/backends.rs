//! One table for both backends: fixnet in int8 and tract in float.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::{fixnet, fixture, json, misuse, model, narrow, pictures, refusal, text};

fn names(run: &Value) -> Vec<&str> {
    run["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect()
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

/// Quantizes the fixture `name`, whose input has `size` rows, and runs both backends on a picture.
fn both(name: &str, size: &str) -> (Value, Value) {
    let folder = pictures(1);
    let (file, onnx) = (text(&folder.path().join("x.fxn")), fixture(name));
    let quantize = ["quantize", &onnx, "--calib-limit", "4", "--no-compare", "--out", &file];
    fixnet(&[&quantize[..], &["--resize", size, "--crop", size]].concat()).assert().success();
    let image = text(&folder.path().join("0.png"));
    let run = ["run", &file, &image, "--json", "--top", "1"];
    let float = json(&[&run[..], &["--backend", "tract", "--model", &onnx]].concat());
    (json(&run), float)
}

#[test]
fn both_backends_print_the_same_layers() {
    let networks = [
        ("option-a-torchscript", "16"),
        ("basic-dynamo-dynamic", "64"),
        ("bottleneck-dynamo-external", "48"),
    ];
    for (name, size) in networks {
        let (int8, float) = both(name, size);
        assert_eq!((&int8["backend"], &float["backend"]), (&"fixnet".into(), &"tract".into()));
        assert_eq!(keys(&int8), keys(&float), "{name}");
        assert_eq!(names(&int8), names(&float), "{name}");
        assert_eq!(int8["input_crc32"], float["input_crc32"], "{name}");
        let layers = int8["layers"].as_array().unwrap();
        for (int8, float) in layers.iter().zip(float["layers"].as_array().unwrap()) {
            assert_eq!(keys(int8), keys(float), "{name}");
            assert_eq!(int8["macs"], float["macs"], "{name}");
            let kernel = float["kernel"].as_str().unwrap();
            let identity = float["name"] == "logits" && kernel == "-";
            assert!(identity || float["ns"].as_u64() > Some(0), "{name}: {float}");
        }
    }
}

#[test]
fn the_logits_of_both_backends_are_near_each_other() {
    let (int8, float) = both("option-a-torchscript", "16");
    assert_eq!(int8["top"][0]["class"], float["top"][0]["class"]);
    let score = |run: &Value| run["top"][0]["score"].as_f64().unwrap();
    assert!((score(&int8) - score(&float)).abs() < 0.05, "{} {}", int8["top"], float["top"]);
    let logits = float["logits"].as_array().unwrap();
    assert_eq!(logits.len(), int8["logits"].as_array().unwrap().len());
    assert!(logits.iter().all(Value::is_number));
}

/// Keras files turn their input around and scale it before the first layer.
#[test]
fn another_layout_is_timed_whole() {
    let (int8, float) = both("keras-resnet", "32");
    let float = names(&float);
    assert!(names(&int8).iter().all(|name| float.contains(name)), "{float:?}");
}

#[test]
fn the_bundled_network_is_the_default_of_a_file_made_from_it() {
    let folder = tempdir().unwrap();
    let file = text(&folder.path().join("cifar.fxn"));
    fixnet(&["quantize", "--no-compare", "--calib-limit", "4", "--out", &file]).assert().success();
    let batch = folder.path().join("batch.bin");
    let record: Vec<u8> = std::iter::once(3).chain((0..3072u32).map(|i| (i % 251) as u8)).collect();
    fs::write(&batch, record).unwrap();
    let run = ["run", &file, &format!("{}:0", text(&batch)), "--backend", "tract"];
    let float = json(&[&run[..], &["--json"]].concat());
    assert_eq!(float["backend"], "tract");
    let output = fixnet(&run).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let headings = ["layer", "kernel", "shape", "MACs", "µs", "MAC/ns"];
    assert!(headings.iter().all(|heading| page.contains(heading)), "{page}");
    assert!(page.contains("total"), "{page}");
}

#[test]
fn what_a_backend_lacks_is_refused_in_one_line() {
    let folder = pictures(1);
    let (file, image, onnx) = (text(model()), text(&folder.path().join("0.png")), narrow());
    let tract = ["run", &file, &image, "--backend", "tract"];
    let missing = refusal(&tract);
    assert!(missing.contains("--model MODEL.onnx") && missing.contains(&file), "{missing}");
    let with_model = [&tract[..], &["--model", &onnx]].concat();
    let checksums = refusal(&[&with_model[..], &["--checksums"]].concat());
    assert!(checksums.contains("--checksums"), "{checksums}");
    let kernels = refusal(&[&with_model[..], &["--kernels", "reference"]].concat());
    assert!(kernels.contains("--kernels"), "{kernels}");
    let threads = refusal(&[&with_model[..], &["--threads", "2"]].concat());
    assert!(threads.contains("--threads"), "{threads}");
    let other = refusal(&[&tract[..], &["--model", &fixture("basic-torchscript")]].concat());
    assert!(other.contains("was not made from basic-torchscript"), "{other}");
    let unused = refusal(&["run", &file, &image, "--model", &onnx]);
    assert!(unused.contains("--backend tract"), "{unused}");
    assert!(misuse(&["run", &file, &image, "--backend", "cuda"]).contains("cuda"));
}
