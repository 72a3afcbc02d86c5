//! Good input: the JSON keys that scripts rely on, and that the figures agree with each other.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::{
    fixnet, fixture, json, misuse, model, narrow, pictures, quantize_args, text, write_rgb,
};

const COMMANDS: [&str; 9] = [
    "quantize",
    "compare",
    "run",
    "inspect",
    "bench",
    "check",
    "make-model",
    "make-images",
    "fetch",
];

/// Asserts that `value` has these keys, with numbers.
fn numbers(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value[key].is_number(), "{key}: {}", value[key]);
    }
}

fn inspect_keys(plan: &Value) {
    numbers(plan, &["arena_bytes", "scratch_bytes", "weight_bytes", "file_bytes", "macs"]);
    for layer in plan["layers"].as_array().unwrap() {
        assert!(layer["name"].is_string() && layer["kernel"].is_string(), "{layer}");
        assert!(layer["macs"].is_u64(), "{layer}");
        assert_eq!(layer["shape"].as_array().unwrap().len(), 3, "{layer}");
    }
}

fn compare_keys(comparison: &Value) {
    numbers(comparison, &["images", "agreement"]);
    for layer in comparison["layers"].as_array().unwrap() {
        assert!(layer["name"].is_string(), "{layer}");
        numbers(layer, &["sqnr_db", "cosine", "sqnr_isolated_db"]);
    }
}

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let output = fixnet(&[command, "--help"]).output().unwrap();
        assert!(output.status.success(), "{command}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: fixnet"), "{command}");
    }
    fixnet(&["--version"]).assert().success();
    assert!(misuse(&["quantise"]).contains("quantise"));
}

#[test]
fn quantize_gives_what_inspect_and_compare_give() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("narrow.fxn");
    let mut args = quantize_args(&out);
    args.push("--json".into());
    let summary = json(&args);
    inspect_keys(&summary);
    compare_keys(&summary);
    assert!(summary["float"]["top1"].is_null() && summary["int8"]["top5"].is_null());
    let plan = json(&["inspect", &text(&out), "--json"]);
    for key in ["arena_bytes", "weight_bytes", "file_bytes", "macs"] {
        assert_eq!(summary[key], plan[key], "{key}");
    }
    assert_eq!(summary["file_bytes"], fs::metadata(&out).unwrap().len());
}

#[test]
fn quantize_without_labels_does_not_speak_of_accuracy() {
    let folder = tempdir().unwrap();
    let output = fixnet(&quantize_args(&folder.path().join("x.fxn"))).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("4 generated images, not accuracy"), "{stdout}");
    assert!(output.stderr.is_empty(), "a progress bar without a terminal");
}

#[test]
fn compare_counts_labels_where_there_are_some() {
    let folder = pictures(3);
    let images = text(folder.path());
    let args = ["compare", &narrow(), &text(model()), "--images", &images, "--json"];
    let without = json(&args);
    compare_keys(&without);
    assert!(without["images"] == 3 && without["float"]["top1"].is_null());
    fs::write(folder.path().join("labels.csv"), "file,label\n0.png,1\n1.png,2\n2.png,0\n").unwrap();
    let with = json(&args);
    for side in ["float", "int8"] {
        numbers(&with[side], &["top1", "top5"]);
    }
    assert_eq!(json(&[&args[..], &["--skip", "1", "--limit", "1"]].concat())["images"], 1);
}

#[test]
fn a_drop_above_the_limit_ends_with_1() {
    let folder = pictures(2);
    fs::write(folder.path().join("labels.csv"), "file,label\n0.png,1\n1.png,2\n").unwrap();
    let (narrow, file, images) = (narrow(), text(model()), text(folder.path()));
    let args = ["compare", &narrow, &file, "--images", &images, "--max-drop=-200"];
    let output = fixnet(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with(&format!("error: {file}: top-1 drops by")), "{line}");
}

#[test]
fn run_tells_logits_classes_and_layers() {
    let folder = pictures(2);
    let first = text(&folder.path().join("0.png"));
    let second = text(&folder.path().join("1.png"));
    let one = json(&["run", &text(model()), &first, "--json"]);
    assert_eq!(one["input_crc32"].as_str().unwrap().len(), 8);
    let logits: Vec<i64> =
        one["logits"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect();
    let top = one["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    let best = logits.iter().max().unwrap();
    assert_eq!(&logits[top[0]["class"].as_u64().unwrap() as usize], best);
    let scores: Vec<f64> = top.iter().map(|t| t["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.iter().sum::<f64>() <= 1.0 + 1e-9);
    for layer in one["layers"].as_array().unwrap() {
        assert!(layer["name"].is_string() && layer["kernel"].is_string(), "{layer}");
        assert!(layer["macs"].is_u64() && layer["ns"].is_u64(), "{layer}");
        assert!(layer["crc32"].is_null(), "checksums only when asked for");
    }
    let both = json(&["run", &text(model()), &first, &second, "--json", "--top", "1"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(both[0]["logits"], one["logits"]);
    assert_eq!(both[1]["top"].as_array().unwrap().len(), 1);
    assert_ne!(both[0]["input_crc32"], both[1]["input_crc32"]);
}

#[test]
fn all_kernels_give_the_same_checksums() {
    let folder = pictures(1);
    let image = text(&folder.path().join("0.png"));
    let result = |more: &[&str]| {
        let run = json(&[&["run", &text(model()), &image, "--checksums", "--json"], more].concat());
        let layers = run["layers"].as_array().unwrap().clone();
        let checksums: Vec<String> =
            layers.iter().map(|l| l["crc32"].as_str().unwrap().to_owned()).collect();
        (run["logits"].clone(), checksums)
    };
    let fastest = result(&[]);
    assert_eq!(result(&["--kernels", "reference"]), fastest);
    assert_eq!(result(&["--kernels", "generic"]), fastest);
    for threads in ["1", "2", "5"] {
        assert_eq!(result(&["--threads", threads]), fastest);
        assert_eq!(result(&["--kernels", "generic", "--threads", threads]), fastest);
    }
}

#[test]
fn run_reads_records_of_a_batch() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("cifar.fxn");
    let args = ["quantize", "--no-compare", "--calib-limit", "4", "--out", &text(&file)];
    fixnet(&args).assert().success();
    let batch = folder.path().join("batch.bin");
    let record: Vec<u8> = std::iter::once(3).chain((0..3072u32).map(|i| (i % 251) as u8)).collect();
    fs::write(&batch, record.repeat(2)).unwrap();
    let run = json(&["run", &text(&file), &format!("{}:1", text(&batch)), "--json"]);
    assert_eq!(run["image"], "batch.bin:1");
    let against = json(&["bench", &text(&file), "--runs", "2", "--against", "tract", "--json"]);
    numbers(&against["against"]["tract"], &["median_ms", "p90_ms", "ratio"]);
}

#[test]
fn inspect_places_every_tensor_in_the_arena() {
    let plan = json(&["inspect", &text(model()), "--json"]);
    inspect_keys(&plan);
    let steps = plan["layers"].as_array().unwrap().len() as u64;
    let tensors = plan["tensors"].as_array().unwrap();
    assert_eq!(tensors.len() as u64, steps + 1, "the input and one a step");
    for tensor in tensors {
        let number = |key: &str| tensor[key].as_u64().unwrap();
        assert!(number("offset") + number("bytes") <= plan["activation_bytes"].as_u64().unwrap());
        assert!(number("first") <= number("last") && number("last") < steps, "{tensor}");
    }
    assert!(tensors.iter().any(|t| t["in_place"] == true));
    let output = fixnet(&["inspect", &text(model())]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let bytes = fs::metadata(model()).unwrap().len();
    assert!(page.contains(&format!("file    {bytes:>11} B")), "{page}");
}

#[test]
fn inspect_draws_every_tensor() {
    let folder = tempdir().unwrap();
    let drawing = folder.path().join("arena.svg");
    fixnet(&["inspect", &text(model()), "--svg", &text(&drawing)]).assert().success();
    let svg = fs::read_to_string(&drawing).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    let plan = json(&["inspect", &text(model()), "--json"]);
    for tensor in plan["tensors"].as_array().unwrap() {
        let (name, bytes) = (tensor["name"].as_str().unwrap(), &tensor["bytes"]);
        assert!(svg.contains(&format!("<title>{name}: {bytes} B at")), "{name}");
    }
    assert!(svg.contains("activations "), "the peak has its label");
}

#[test]
fn bench_gives_medians_and_ratios() {
    let (file, narrow) = (text(model()), narrow());
    let args = ["bench", &file, "--runs", "3", "--json"];
    let alone = json(&args);
    numbers(&alone, &["threads", "runs", "median_ms", "p90_ms"]);
    assert!(alone["runs"] == 3 && alone["threads"] == 1);
    assert_eq!(alone["against"], serde_json::json!({}));
    let threads = json(&[&args[..], &["--threads", "2"]].concat());
    assert_eq!(threads["threads"], 2);
    let plan = json(&["inspect", &file, "--json"]);
    for bench in [&alone, &threads] {
        let layers = bench["layers"].as_array().unwrap();
        assert_eq!(layers.len(), plan["layers"].as_array().unwrap().len());
        assert!(layers.iter().all(|layer| layer["ns"].as_u64() > Some(0)), "{bench}");
    }
    let both = json(&[&args[..], &["--against", "tract", "--model", &narrow]].concat());
    numbers(&both["against"]["tract"], &["median_ms", "p90_ms", "ratio"]);
}

#[test]
fn generated_models_go_the_whole_way() {
    let folder = tempdir().unwrap();
    let (onnx, file) = (folder.path().join("tiny.onnx"), folder.path().join("tiny.fxn"));
    let (onnx, file) = (text(&onnx), text(&file));
    let make = ["make-model", "resnet18", "--width-multiplier", "0.125", "--input-size", "32"];
    fixnet(&[&make[..], &["--out", &onnx]].concat()).assert().success();
    fixnet(&["check", &onnx]).assert().success();
    let args = ["quantize", &onnx, "--out", &file, "--calib-limit", "2", "--limit", "2", "--json"];
    compare_keys(&json(&args));
}

#[test]
fn resnet8_has_the_macs_of_mlperf_tinys() {
    let folder = tempdir().unwrap();
    let (onnx, file) = (folder.path().join("8.onnx"), folder.path().join("8.fxn"));
    let (onnx, file) = (text(&onnx), text(&file));
    fixnet(&["make-model", "resnet8", "--out", &onnx]).assert().success();
    let quantize = ["quantize", &onnx, "--calib-limit", "2", "--no-compare", "--out", &file];
    assert_eq!(json(&[&quantize[..], &["--json"]].concat())["macs"], 12_501_632);
}

#[test]
fn an_unsupported_network_fails_its_check_and_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("unsupported.onnx");
    // A Relu renamed in place to an operator of four letters that nobody has.
    let mut bytes = fs::read(narrow()).unwrap();
    let at = bytes.windows(6).position(|w| w == b"\x22\x04Relu").expect("a Relu node");
    bytes[at + 2..at + 6].copy_from_slice(b"Yelu");
    fs::write(&path, bytes).unwrap();
    let output = fixnet(&["check", &text(&path)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Yelu"));
    assert!(crate::refusal(&["quantize", &text(&path)]).contains("Yelu"));
}

#[test]
fn both_exporters_and_layouts_quantize() {
    for name in ["basic-dynamo-dynamic", "bottleneck-dynamo-external", "keras-resnet"] {
        let folder = tempdir().unwrap();
        let out = text(&folder.path().join("x.fxn"));
        let args = ["quantize", &fixture(name), "--calib-limit", "2", "--limit", "2", "--json"];
        compare_keys(&json(&[&args[..], &["--out", &out]].concat()));
    }
}

#[test]
fn fetch_lists_what_is_known() {
    let output = fixnet(&["fetch"]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("cifar10"));
}

/// A stem that is streamed holds its input, some rows of its map and the pool's output at once.
#[test]
fn the_arena_map_shows_a_streamed_stem_as_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let [onnx, file] = ["m.onnx", "m.fxn"].map(|name| crate::text(&folder.path().join(name)));
    let make = ["make-model", "resnet18", "--input-size", "96", "--out", &onnx];
    crate::fixnet(&make).assert().success();
    let quantize = ["quantize", &onnx, "--no-compare", "--calib-limit", "1", "--out", &file];
    crate::fixnet(&quantize).assert().success();
    let plan = crate::json(&["inspect", &file, "--json"]);
    let span = |index: usize| {
        let tensor = &plan["tensors"][index];
        (tensor["first"].as_u64(), tensor["last"].as_u64())
    };
    assert_eq!([span(0), span(1)], [(Some(0), Some(1)), (Some(0), Some(1))]);
    assert_eq!(span(2), (Some(0), Some(3)));
}

/// A photo goes into a network as it would with the flags that say so, and the program tells.
#[test]
fn photos_of_any_size_are_resized_with_a_note() {
    let folder = tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    write_rgb(&photo, [99, 75], |x, y| [x as u8, (y * 2) as u8, (x ^ y) as u8]);
    let (file, photo) = (text(model()), text(&photo));
    let run = |more: &[&str]| {
        let output = fixnet(&[&["run", &file, &photo, "--json"], more].concat()).output().unwrap();
        assert!(output.status.success());
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (value, String::from_utf8(output.stderr).unwrap())
    };
    let (fitted, note) = run(&[]);
    let (asked, silence) = run(&["--resize", "16", "--crop", "16"]);
    for key in ["input_crc32", "logits"] {
        assert_eq!(fitted[key], asked[key], "{key}");
    }
    assert!(note.starts_with("photo.png: 99x75 pixels were resized to 21x16"), "{note}");
    assert_eq!(note.lines().count(), 1);
    assert_eq!(fitted["notes"], serde_json::json!([note.trim_end()]));
    assert_eq!((silence.as_str(), &asked["notes"]), ("", &serde_json::json!([])));
}
