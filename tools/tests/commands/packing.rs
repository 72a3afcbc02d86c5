//! Weights laid out for a machine: `quantize --target`, `pack`, and files for other machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fixnet::KernelSet;
use fixnet::format::Target;
use tempfile::tempdir;

use crate::{fixnet, json, misuse, refusal, text, write_rgb};

/// Targets that have packed layouts.
const TARGETS: [&str; 8] = [
    "x86-64-avx2",
    "x86-64-avxvnni",
    "x86-64-avx512vnni",
    "armv8-neon",
    "armv8-dotprod",
    "armv8-i8mm",
    "cortex-m4",
    "cortex-m3",
];

/// The bundled network, whose layers are wide enough for every layout.
fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bundled.fxn");
        let args = ["quantize", "--calib-limit", "4", "--no-compare", "--out", &text(&path)];
        fixnet(&args).assert().success();
        path
    })
}

const ONNX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/resnet20-cifar10.onnx");

fn pack(target: &str, more: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempdir().unwrap();
    let out = text(&folder.path().join("packed.fxn"));
    let args = ["pack", &text(model()), "--target", target, "--out", &out];
    fixnet(&[&args[..], more].concat()).assert().success();
    (folder, out)
}

fn runs_here(target: &str) -> bool {
    let target = Target::ALL.into_iter().find(|t| t.name() == target).unwrap();
    KernelSet::detect().family().runs(target)
}

#[test]
fn quantize_and_pack_make_the_same_file() {
    for target in TARGETS {
        let folder = tempdir().unwrap();
        let out = text(&folder.path().join("quantized.fxn"));
        let args = ["quantize", "--calib-limit", "4", "--no-compare", "--json"];
        let plan = json(&[&args[..], &["--target", target, "--out", &out]].concat());
        let version = match target {
            "x86-64-avx512vnni" => "1.3",
            "x86-64-avxvnni" | "armv8-i8mm" => "1.5",
            _ => "1.2",
        };
        assert_eq!((&plan["target"], &plan["format_version"]), (&target.into(), &version.into()));
        let (_packed, path) = pack(target, &[]);
        assert!(fs::read(&out).unwrap() == fs::read(path).unwrap(), "{target}");
        let timed = plan["layers"][0]["ns"].as_u64().is_some();
        assert_eq!(timed, runs_here(target), "{target}");
    }
}

#[test]
fn packing_for_portable_gives_back_the_file() {
    for target in TARGETS {
        let (folder, packed) = pack(target, &[]);
        let out = text(&folder.path().join("portable.fxn"));
        let args = ["pack", &packed, "--target", "portable", "--out", &out];
        fixnet(&args).assert().success();
        assert!(fs::read(&out).unwrap() == fs::read(model()).unwrap(), "{target}");
    }
}

#[test]
fn a_packed_file_gives_the_same_bytes_or_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let image = folder.path().join("0.png");
    write_rgb(&image, [32, 32], |x, y| [x as u8 * 8, y as u8 * 8, 60]);
    let image = text(&image);
    let run = |file: &str| ["run", file, &image, "--checksums", "--json"].map(str::to_string);
    let portable = json(&run(&text(model())));
    let checksums = |run: &serde_json::Value| -> Vec<serde_json::Value> {
        run["layers"].as_array().unwrap().iter().map(|l| l["crc32"].clone()).collect()
    };
    for target in TARGETS {
        let (_folder, packed) = pack(target, &[]);
        if runs_here(target) {
            let run = json(&run(&packed));
            assert_eq!(run["logits"], portable["logits"], "{target}");
            assert_eq!(checksums(&run), checksums(&portable), "{target}");
        } else {
            let error = refusal(&run(&packed));
            let wanted = format!("packed.fxn: the file is packed for {target}; the ");
            assert!(error.contains(&wanted) && error.contains("portable"), "{error}");
            assert!(refusal(&["bench", &packed]).contains(&wanted));
        }
    }
}

#[test]
fn other_machines_files_can_be_inspected_and_compared() {
    for target in TARGETS {
        let (_folder, packed) = pack(target, &[]);
        let plan = json(&["inspect", &packed, "--json"]);
        assert_eq!(plan["target"], target);
        let args = ["--limit", "2", "--layer-images", "1", "--json"];
        let compare = |file: &str| json(&[&["compare", ONNX, file], &args[..]].concat());
        let (ours, portable) = (compare(&packed), compare(&text(model())));
        assert_eq!(ours["agreement"], portable["agreement"]);
        assert_eq!(ours["layers"], portable["layers"]);
    }
}

#[test]
fn boards_refuse_files_for_other_machines() {
    let (_folder, packed) = pack("cortex-m4", &[]);
    let refused = |board: &str| json_of_refusal(&["boards", "--board", board, &packed, "--json"]);
    let refusal = refused("qemu-mps2-an385");
    let wanted =
        "the model is packed for cortex-m4, which board qemu-mps2-an385 (cortex-m3) does not run";
    assert_eq!(refusal[0]["refusals"][0], wanted);
    let args = ["boards", "--board", "qemu-mps2-an386", &packed, "--json"];
    assert_eq!(json(&args)[0]["fits"], true);
}

/// JSON of a command that ends with exit code 1.
fn json_of_refusal(args: &[&str]) -> serde_json::Value {
    let output = fixnet(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_budget_of_bytes_is_kept_or_refused() {
    let portable = fs::metadata(model()).unwrap().len();
    let (_folder, fastest) = pack("x86-64-avx2", &[]);
    let fastest = fs::metadata(fastest).unwrap().len();
    assert!(fastest > portable, "{fastest} {portable}");
    let middle = portable.midpoint(fastest);
    let (_folder, path) = pack("x86-64-avx2", &["--max-bytes", &middle.to_string()]);
    let between = fs::metadata(path).unwrap().len();
    assert!(portable < between && between <= middle, "{between} {middle}");
    let (folder, _) = pack("x86-64-avx2", &["--max-bytes", &fastest.to_string()]);
    let out = text(&folder.path().join("none.fxn"));
    let few = (portable / 2).to_string();
    let args = ["pack", &text(model()), "--target", "x86-64-avx2", "--max-bytes", &few];
    let error = refusal(&[&args[..], &["--out", &out]].concat());
    assert!(error.contains("--max-bytes allows"), "{error}");
    assert!(!folder.path().join("none.fxn").exists());
}

#[test]
fn unknown_targets_and_kernels_are_named() {
    let file = text(model());
    let error = misuse(&["pack", &file, "--target", "m4", "--out", "x.fxn"]);
    assert!(error.contains("there are portable, x86-64-avx2, armv8-neon"), "{error}");
    let error = misuse(&["bench", &file, "--kernel", "conv_magic"]);
    assert!(error.contains("this machine has") && error.contains("conv_generic"), "{error}");
    let args = ["bench", &file, "--kernels", "generic", "--kernel", "conv_reference"];
    let error = refusal(&args);
    assert!(error.contains("--kernel conv_reference: the kernels generic have conv_generic"));
}

#[test]
fn one_kernel_can_be_asked_for() {
    let bench = ["bench", &text(model()), "--runs", "1", "--json", "--kernel", "conv_generic"];
    let layers = json(&bench)["layers"].clone();
    let kernels = layers.as_array().unwrap().iter().map(|l| l["kernel"].as_str().unwrap());
    assert!(kernels.clone().any(|kernel| kernel == "conv_generic"));
    assert!(kernels.filter(|k| k.starts_with("conv_")).all(|kernel| kernel == "conv_generic"));
}

/// Layouts of the convolutions of a bottleneck network, packed for AVX2 after quantization with `bits`.
fn layouts_with_activation_bits(folder: &Path, bits: &str) -> (Vec<String>, String) {
    let (onnx, packed) = (text(&folder.join("net.onnx")), text(&folder.join(bits)));
    let size = ["--width-multiplier", "0.25", "--input-size", "32"];
    fixnet(&[&["make-model", "resnet50", "--out", &onnx], &size[..]].concat()).assert().success();
    let args =
        ["quantize", &onnx, "--calib-limit", "2", "--no-compare", "--json", "--out", &packed];
    fixnet(&[&args[..], &["--target", "x86-64-avx2", "--activation-bits", bits]].concat())
        .assert()
        .success();
    let layers = json(&["inspect", &packed, "--json"])["layers"].clone();
    let layouts = layers.as_array().unwrap().iter().filter_map(|l| l["layout"].as_str());
    (layouts.map(str::to_string).collect(), packed)
}

#[test]
fn activations_of_seven_bits_are_multiplied_as_bytes() {
    let folder = tempdir().unwrap();
    let (eight, _) = layouts_with_activation_bits(folder.path(), "8");
    assert!(!eight.iter().any(|layout| layout == "u8s8"), "{eight:?}");
    let (seven, packed) = layouts_with_activation_bits(folder.path(), "7");
    assert!(seven.iter().any(|layout| layout == "u8s8"), "{seven:?}");
    let plan = json(&["inspect", &packed, "--json"]);
    assert_eq!(plan["format_version"], "1.3");
    let portable = text(&folder.path().join("portable.fxn"));
    fixnet(&["pack", &packed, "--target", "portable", "--out", &portable]).assert().success();
    assert_ne!(json(&["inspect", &portable, "--json"])["format_version"], "1.3");
    if runs_here("x86-64-avx2") {
        let image = folder.path().join("0.png");
        write_rgb(&image, [32, 32], |x, y| [x as u8 * 8, 90, y as u8 * 8]);
        let run = |file: &str| json(&["run", file, &text(&image), "--checksums", "--json"]);
        let (packed, portable) = (run(&packed), run(&portable));
        assert_eq!(packed["logits"], portable["logits"]);
        let checksum =
            |run: &serde_json::Value, layer: usize| run["layers"][layer]["crc32"].clone();
        for layer in 0..seven.len() {
            assert_eq!(checksum(&packed, layer), checksum(&portable, layer), "layer {layer}");
        }
    }
}
