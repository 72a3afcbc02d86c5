//! The price of int8 on real networks and images, by the commands that a user runs.
//!
//! The networks and images are not part of the repository: the tests say so when they do not run.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// What a quantized network may lose.
#[derive(Debug)]
struct Verdict {
    #[expect(dead_code, reason = "for failures, which print all fields")]
    name: &'static str,
    float: f64,
    drop: f64,
    agreement: f64,
}

fn fixnet(arguments: &[&str]) -> Value {
    let mut command = Command::cargo_bin("fixnet").expect("the fixnet program");
    let output = command.args(arguments).arg("--json").output().expect("fixnet runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "fixnet {arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn verdict(name: &'static str, json: &Value, images: u64) -> Verdict {
    assert_eq!(json["images"], images, "{name}");
    let figure = |key: &str, inner: &str| json[key][inner].as_f64().expect("a figure");
    let (float, int8) = (figure("float", "top1"), figure("int8", "top1"));
    let agreement = json["agreement"].as_f64().expect("a figure");
    let verdict = Verdict {
        name,
        float: float * 100.0,
        drop: (float - int8) * 100.0,
        agreement: agreement * 100.0,
    };
    common::tell(&format!("{verdict:.2?}, {images} images"));
    verdict
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// The CIFAR-10 images to calibrate and to judge on.
fn cifar(data: &Path) -> (PathBuf, PathBuf) {
    let folder = data.join("cifar10");
    (folder.join("train-lossless-4000.bin"), folder.join("test-lossless-1625.bin"))
}

/// Quantizes with the first 256 calibration images and compares on all 1,625 test images.
fn on_cifar(name: &'static str, model: Option<&Path>, recipe: &[&str], data: &Path) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (calib, images) = cifar(data);
    let out = folder.path().join("model.fxn");
    let mut arguments = vec!["quantize"];
    arguments.extend(model.map(text));
    arguments.extend(["--calib", text(&calib), "--calib-limit", "256", "--out", text(&out)]);
    arguments.extend(["--images", text(&images), "--limit", "1625"]);
    arguments.extend(recipe);
    verdict(name, &fixnet(&arguments), 1625)
}

const CIFAR_RECIPE: [&str; 4] = ["--mean", ".485,.456,.406", "--std", ".229,.224,.225"];

#[test]
fn cifar_networks_lose_at_most_half_a_point() {
    let Some(data) = common::data_folder("cifar_networks_lose_at_most_half_a_point") else {
        return;
    };
    let model = |name: &str| data.join("models").join(name);
    let verdicts = [
        on_cifar("ResNet-20", Some(&model("resnet20-cifar10.onnx")), &CIFAR_RECIPE, &data),
        on_cifar("ResNet-56", Some(&model("resnet56-cifar10.onnx")), &CIFAR_RECIPE, &data),
        on_cifar(
            "ResNet-8",
            Some(&model("resnet8-mlperf-tiny-float-bn.onnx")),
            &["--scale", "1"],
            &data,
        ),
        on_cifar("bundled ResNet-20", None, &[], &data),
    ];
    for verdict in &verdicts {
        assert!(verdict.drop <= 0.5 && verdict.agreement >= 98.0, "{verdict:?}");
    }
    let average = verdicts.iter().map(|v| v.drop).sum::<f64>() / verdicts.len() as f64;
    assert!(average <= 0.3, "average drop {average}");
    assert!(verdicts[3].float >= 88.0, "{:?}", verdicts[3]);
}

#[test]
fn generated_images_calibrate_the_bundled_network_within_0_7_points() {
    let test = "generated_images_calibrate_the_bundled_network_within_0_7_points";
    let Some(data) = common::data_folder(test) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("model.fxn");
    let (_, images) = cifar(&data);
    let arguments = ["quantize", "--out", text(&out), "--images", text(&images), "--limit", "1625"];
    let verdict = verdict("bundled, generated images", &fixnet(&arguments), 1625);
    assert!(verdict.drop <= 0.7, "{verdict:?}");
}

#[test]
fn resnet18_with_projections_loses_at_most_0_6_points() {
    let test = "resnet18_with_projections_loses_at_most_0_6_points";
    let Some(data) = common::data_folder(test) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = common::real_model(&data, folder.path(), "resnet18-cifar10-64px.onnx.gz");
    let recipe = [&CIFAR_RECIPE[..], &["--resize", "64"]].concat();
    let verdict = on_cifar("ResNet-18", Some(&model), &recipe, &data);
    assert!(verdict.drop <= 0.6 && verdict.agreement >= 96.0, "{verdict:?}");
    assert!((verdict.float - 77.23).abs() <= 0.7, "{verdict:?}");
}

#[test]
fn activations_of_seven_bits_cost_at_most_half_a_point() {
    let test = "activations_of_seven_bits_cost_at_most_half_a_point";
    let Some(data) = common::data_folder(test) else { return };
    let model = data.join("models/resnet20-cifar10.onnx");
    let recipe = [&CIFAR_RECIPE[..], &["--activation-bits", "7"]].concat();
    let verdict = on_cifar("ResNet-20, 7-bit activations", Some(&model), &recipe, &data);
    assert!(verdict.drop <= 0.5 && verdict.agreement >= 98.0, "{verdict:?}");
}

#[test]
fn resnet50_on_photos_loses_at_most_0_8_points() {
    let test = "resnet50_on_photos_loses_at_most_0_8_points";
    let Some(data) = common::data_folder(test) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = common::real_model(&data, folder.path(), "resnet50-imagenet-pruned-fp32.onnx.gz");
    let photos = data.join("imagenet/val");
    let file = folder.path().join("model.fxn");
    let mut quantize = vec!["quantize", text(&model), "--crop", "224", "--calib", text(&photos)];
    quantize.extend(["--calib-limit", "50", "--no-compare", "--out", text(&file)]);
    quantize.extend(CIFAR_RECIPE);
    fixnet(&quantize);
    let compare = ["compare", text(&model), text(&file), "--images", text(&photos), "--skip", "50"];
    let verdict = verdict("ResNet-50", &fixnet(&compare), 600);
    assert!(verdict.drop <= 0.8 && verdict.agreement >= 95.0, "{verdict:?}");
}
