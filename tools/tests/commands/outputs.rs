//! Networks of several outputs and of other kinds than scores, through every command that reads or prints
//! outputs; names of classes.

use std::fs;

use serde_json::{Value, json};
use tools::data::to_npy;

use super::boards::{BOARD, wanted};
use super::{fixnet, json, pictures, refusal, text};

/// A narrow AlphaZero, its model file, and a position on an 8x8 board.
struct Job {
    folder: tempfile::TempDir,
    onnx: String,
    fxn: String,
    position: String,
}

impl Job {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| text(&folder.path().join(name));
        let (onnx, fxn, position) = (path("az.onnx"), path("az.fxn"), path("position.npy"));
        let size = ["--blocks", "1", "--width-multiplier", "0.0625", "--input-size", "8"];
        let made = json(
            &[
                &["make-model", "alphazero", "--classes", "65"],
                &size[..],
                &["--out", &onnx, "--json"],
            ]
            .concat(),
        );
        assert_eq!(made["outputs"], json!([[65], [1]]));
        fs::create_dir(path("games")).unwrap();
        for game in 0..32 {
            let stones = (0..8 * 8 * 17).map(|i| (i * (2 * game + 7) % 13 % 3) as f32 - 1.0);
            let file = to_npy(&[1, 17, 8, 8], &stones.collect::<Vec<_>>());
            fs::write(path(&format!("games/{game}.npy")), &file).unwrap();
            fs::write(&position, file).unwrap();
        }
        Self { folder, onnx, fxn, position }
    }

    fn quantize(&self, more: &[&str]) -> Value {
        let games = text(&self.folder.path().join("games"));
        let args = ["quantize", &self.onnx, "--out", &self.fxn, "--json", "--calib", &games];
        json(&[&args[..], &["--calib-limit", "24", "--limit", "8"], more].concat())
    }
}

fn kinds(outputs: &Value) -> Vec<(&str, &str)> {
    let outputs = outputs.as_array().unwrap().iter();
    outputs.map(|o| (o["name"].as_str().unwrap(), o["kind"].as_str().unwrap())).collect()
}

const BOTH: [(&str, &str); 2] = [("policy", "scores"), ("value", "vector")];

#[test]
fn two_outputs_go_through_every_command() {
    let job = Job::new();
    let summary = job.quantize(&[]);
    assert_eq!(kinds(&summary["outputs"]), BOTH);
    assert_eq!((&summary["classes"], &summary["format_version"]), (&json!(65), &json!("1.9")));
    // What the file says of an output, and how it compares, side by side.
    let policy = &summary["outputs"][0];
    assert_eq!((&policy["shape"], &policy["zero_point"]), (&json!([65]), &json!(0)));
    assert!(policy["sqnr_db"].is_number() && policy["scale"].is_number(), "{policy}");
    let compared = json(&["compare", &job.onnx, &job.fxn, "--limit", "8", "--json"]);
    assert_eq!(kinds(&compared["outputs"]), BOTH);
    assert_eq!(compared["outputs"][0]["agreement"], compared["agreement"]);
    assert_eq!(compared["outputs"][1]["agreement"], Value::Null);
    let run = json(&["run", &job.fxn, &job.position, "--json", "--checksums"]);
    assert_eq!(kinds(&run["outputs"]), BOTH);
    assert_eq!((&run["logits"], &run["top"]), (&Value::Null, &Value::Null));
    let value = run["outputs"][1]["values"][0].as_f64().unwrap();
    assert!(value.abs() <= 1.0, "{value}");
    let float = ["--backend", "tract", "--model", &job.onnx, "--json"];
    let float = json(&[&["run", &job.fxn, &job.position], &float[..]].concat());
    assert_eq!(kinds(&float["outputs"]), BOTH);
    let exact = float["outputs"][1]["values"][0].as_f64().unwrap();
    assert!((exact - value).abs() < 0.2, "{exact} {value}");
    let page = fixnet(&["run", &job.fxn, &job.position]).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("policy: scores 65") && page.contains("value: vector 1"), "{page}");
    let inspected = fixnet(&["inspect", &job.fxn]).output().unwrap();
    let inspected = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.contains("output  value, vector: 1x1x1 int8"), "{inspected}");
    // Packed for another machine it gives the same.
    let packed = text(&job.folder.path().join("packed.fxn"));
    let pack = json(&["pack", &job.fxn, "--target", "cortex-m4", "--out", &packed, "--json"]);
    assert_eq!(kinds(&pack["outputs"]), BOTH);
    if wanted("fixnet qemu") {
        let board = json(&["qemu", &job.fxn, &job.position, "--board", BOARD, "--json"]);
        assert_eq!(board["equals_host"], true);
        let crc32s = run["outputs"].as_array().unwrap().iter().map(|o| o["crc32"].clone());
        assert_eq!(board["outputs"], Value::Array(crc32s.collect()));
    }
}

#[test]
fn one_of_several_outputs_can_be_asked_for() {
    let job = Job::new();
    let summary = job.quantize(&["--output", "value"]);
    assert_eq!(kinds(&summary["outputs"]), [("value", "vector")]);
    assert_eq!((&summary["classes"], &summary["agreement"]), (&json!(0), &Value::Null));
    // The file says which, and the comparison asks for no more.
    let compared = json(&["compare", &job.onnx, &job.fxn, "--limit", "8", "--json"]);
    assert_eq!(kinds(&compared["outputs"]), [("value", "vector")]);
    let check = json(&["check", &job.onnx, "--output", "policy", "--json"]);
    assert_eq!(check["supported"], true);
    let quantize =
        |output: &str| refusal(&["quantize", &job.onnx, "--out", &job.fxn, "--output", output]);
    let unknown = quantize("winner");
    assert!(
        unknown.contains("no output \"winner\"; its outputs are \"policy\", \"value\""),
        "{unknown}"
    );
    let wrong = quantize("value=scores");
    assert!(wrong.contains("output \"value\" is vector"), "{wrong}");
    let split = refusal(&[
        "quantize",
        &job.onnx,
        "--out",
        &job.fxn,
        "--fallback",
        "tract",
        "--output",
        "nobody",
    ]);
    assert!(split.contains("no output \"nobody\""), "{split}");
}

#[test]
fn names_of_classes_go_into_the_file_and_are_printed() {
    let folder = pictures(2);
    let at = |name: &str| text(&folder.path().join(name));
    let names = |lines: &[&str]| {
        fs::write(at("names.txt"), lines.join("\n")).unwrap();
        at("names.txt")
    };
    let five = ["tench", "goldfish", "white shark", "d", "die Möwe\n"];
    let narrow = super::narrow();
    let args = [
        "quantize",
        &narrow,
        "--out",
        &at("x.fxn"),
        "--calib-limit",
        "2",
        "--limit",
        "2",
        "--labels",
    ];
    let summary = json(&[&args[..], &[&names(&five), "--json"]].concat());
    let told: Vec<&str> =
        summary["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((told.len(), told[2], told[4]), (5, "white shark", "die Möwe"));
    let run = json(&["run", &at("x.fxn"), &at("0.png"), "--json"]);
    let best = &run["top"][0];
    assert_eq!(best["label"].as_str(), Some(told[best["class"].as_u64().unwrap() as usize]));
    let page = fixnet(&["run", &at("x.fxn"), &at("0.png")]).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains(best["label"].as_str().unwrap()), "{page}");
    // Through packing and back.
    let packed =
        json(&["pack", &at("x.fxn"), "--target", "x86-64-avx2", "--out", &at("p.fxn"), "--json"]);
    assert_eq!(packed["labels"], summary["labels"]);
    let refused = |lines: &[&str]| refusal(&[&args[..], &[&names(lines)]].concat());
    assert!(refused(&five[..4]).contains("has 4 names where the network has 5 classes"));
    assert!(refused(&["a", "", "c"]).contains("line 2 is empty"));
    fs::write(at("names.txt"), b"\xff\xfe").unwrap();
    let line = refusal(&[&args[..], &[&at("names.txt")]].concat());
    assert!(
        line.starts_with(&format!("error: {}: ", at("names.txt"))) && line.contains("UTF-8"),
        "{line}"
    );
}
