//! `fixnet boards` and `fixnet qemu`: the contract of their JSON, and every way they refuse.

use std::env::{join_paths, split_paths, var_os};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::{fixnet, json, model, pictures, refusal, refusal_of, text};

pub const BOARD: &str = "qemu-mps2-an386";

/// Whether to build images and run QEMU; says so, loudly, where not.
pub fn wanted(what: &str) -> bool {
    let unwanted = var_os("FIXNET_NO_QEMU").is_some_and(|value| value == "1");
    if unwanted {
        // Past the test harness, which swallows what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "\n!!! {what} DID NOT RUN: FIXNET_NO_QEMU=1 is set");
    }
    !unwanted
}

#[test]
fn all_boards_are_listed_and_one_can_be_asked_for() {
    let boards = json(&["boards", "--json"]);
    let names: Vec<&str> =
        boards.as_array().unwrap().iter().map(|b| b["board"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 13, "{names:?}");
    let one = json(&["boards", "--json", "--board", BOARD]);
    assert_eq!(one[0]["qemu"], "mps2-an386");
    assert_eq!(one[0].get("fits"), None);
}

#[test]
fn a_model_fits_or_is_refused_with_needed_and_available_bytes() {
    let file = text(model());
    let fits = json(&["boards", "--json", "--board", BOARD, &file]);
    assert_eq!((&fits[0]["fits"], &fits[0]["refusals"]), (&true.into(), &Value::Array(vec![])));
    let needs = &fits[0]["needs"]["bare_metal"];
    assert_eq!((&needs["kernels"], &needs["payload_in"]), (&"cortex-m4".into(), &"flash".into()));
    let planned = json(&["inspect", "--json", "--kernels", "cortex-m4", &file]);
    assert_eq!(needs["arena_bytes"], planned["arena_bytes"]);
    let length = fs::metadata(model()).unwrap().len();
    assert!(needs["payload_bytes"].as_u64().unwrap() > length);
    let linux = json(&["boards", "--json", "--board", "raspberry-pi-5", &file]);
    let needs = &linux[0]["needs"]["linux"];
    assert_eq!(needs["disk_bytes"], length);
    assert!(needs["ram_bytes"].as_u64().unwrap() > length);

    let folder = tempdir().unwrap();
    let large = large_model(folder.path());
    let output = fixnet(&["boards", "--board", "nucleo-f446re", &large]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    let line = table.lines().find(|line| line.starts_with("the model does not fit")).unwrap();
    assert!(line.contains("bytes and 98304 are available"), "{line}");
}

/// A model file whose activations need more than a microcontroller has.
fn large_model(folder: &Path) -> String {
    let onnx = text(&folder.join("large.onnx"));
    let file = text(&folder.join("large.fxn"));
    fixnet(&["make-model", "resnet18", "--input-size", "160", "--out", &onnx]).assert().success();
    let quantize = ["quantize", &onnx, "--no-compare", "--calib-limit", "1", "--out", &file];
    fixnet(&quantize).assert().success();
    file
}

#[test]
fn a_model_too_large_for_the_board_is_refused_before_anything_is_built() {
    let folder = tempdir().unwrap();
    let onnx = text(&folder.path().join("large.onnx"));
    let file = text(&folder.path().join("large.fxn"));
    let size = ["--input-size", "480", "--out", &onnx];
    fixnet(&["make-model", "resnet18"]).args(size).assert().success();
    let quantize = ["quantize", &onnx, "--no-compare", "--calib-limit", "1", "--out", &file];
    fixnet(&quantize).assert().success();
    // With no compiler in sight, only a check before the build can answer.
    let mut command = fixnet(&["qemu", "--board", BOARD, &file]);
    let line = refusal_of(&command.env("PATH", folder.path()).output().unwrap());
    assert!(line.contains("the arena needs "), "{line}");
    assert!(line.contains(" bytes and 1310720 are available"), "{line}");
}

#[test]
fn boards_that_cannot_be_emulated_are_refused() {
    let file = text(model());
    let unknown = refusal(&["qemu", "--board", "pdp-11", &file]);
    assert!(unknown.contains("no board `pdp-11`") && unknown.contains(BOARD), "{unknown}");
    for board in ["stm32h743", "nucleo-f446re"] {
        let line = refusal(&["qemu", "--board", board, &file]);
        assert!(line.contains("QEMU does not emulate board"), "{line}");
        assert!(line.contains(BOARD), "no remedy: {line}");
    }
    let missing = refusal(&["qemu", "--board", BOARD, "nothing.fxn"]);
    assert!(missing.contains("nothing.fxn"), "{missing}");
    let linux_only = ["qemu", "--board", BOARD, &file, "--count", "--against", "tract"];
    assert!(refusal(&linux_only).contains("--against is for boards that run Linux"));
    let bare_only = ["qemu", "--board", "raspberry-pi-5", &file, "--save-image", "image.elf"];
    let line = refusal(&bare_only);
    assert!(line.contains("--save-image is for boards without an operating system"), "{line}");
    let image = refusal(&["qemu", "--board", BOARD, &file, "nothing.png"]);
    assert!(image.contains("nothing.png"), "{image}");
}

/// The JSON keys are a contract; the counted instructions are the same in every run.
#[test]
fn the_emulated_board_gives_the_bytes_of_the_host_in_every_run() {
    if !wanted("fixnet qemu") {
        return;
    }
    let (file, folder) = (text(model()), pictures(2));
    let images: Vec<String> =
        ["0.png", "1.png"].iter().map(|name| text(&folder.path().join(name))).collect();
    let elf = text(&folder.path().join("image.elf"));
    let args = [
        "qemu",
        "--board",
        BOARD,
        &file,
        &images[0],
        &images[1],
        "--checksums",
        "--count",
        "--json",
    ];
    let runs = json(&[&args[..], &["--save-image", &elf]].concat());
    let host = json(&["run", &file, &images[0], &images[1], "--checksums", "--json"]);
    for (run, host) in runs.as_array().unwrap().iter().zip(host.as_array().unwrap()) {
        assert_eq!((&run["board"], &run["emulated"]), (&BOARD.into(), &true.into()));
        assert_eq!(run["equals_host"], true);
        for key in ["input_crc32", "logits"] {
            assert_eq!(run[key], host[key], "{key}");
        }
        assert!(run["arena_bytes"].as_u64().unwrap() > 0);
        assert!(run["stack_bytes"].as_u64().unwrap() > 0);
        let mut sum = 0;
        let layers = run["layers"].as_array().unwrap();
        assert_eq!(layers.len(), host["layers"].as_array().unwrap().len());
        for (layer, host) in layers.iter().zip(host["layers"].as_array().unwrap()) {
            for key in ["name", "macs", "crc32"] {
                assert_eq!(layer[key], host[key], "{key}");
            }
            assert!(layer["kernel"].is_string());
            let instructions = layer["instructions"].as_u64().unwrap();
            assert!(instructions > 0, "{layer}");
            sum += instructions;
        }
        assert!(run["instructions"].as_u64().unwrap() >= sum);
    }
    assert_eq!(json(&args), runs, "a second run");
    let taken = json(&[&args[..], &["--image", &elf]].concat());
    for (taken, run) in taken.as_array().unwrap().iter().zip(runs.as_array().unwrap()) {
        for key in ["logits", "input_crc32", "arena_bytes"] {
            assert_eq!(taken[key], run[key], "{key}");
        }
    }
    let line = refusal(&["qemu", "--board", BOARD, &file, &images[1], "--image", &elf]);
    assert!(line.contains("inputs of its own"), "{line}");
    emulators_that_fail(&file, &elf);
}

/// An emulator that hangs, babbles, fails or is missing: one line, within the time limit.
fn emulators_that_fail(file: &str, elf: &str) {
    let folder = tempdir().unwrap();
    let run = |script: Option<&str>| {
        let program = folder.path().join("qemu-system-arm");
        match script {
            Some(script) => {
                fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            }
            None => fs::remove_file(&program).unwrap(),
        }
        let mut command =
            fixnet(&["qemu", "--board", BOARD, file, "--image", elf, "--time-limit", "1"]);
        let path = if script.is_some() { in_front(folder.path()) } else { folder.path().into() };
        refusal_of(&command.env("PATH", path).output().unwrap())
    };
    let hung = run(Some("exec sleep 600"));
    assert!(hung.contains("did not end within 1 s"), "{hung}");
    let silent = run(Some("echo cannot open the machine >&2; exit 1"));
    assert!(silent.contains("cannot open the machine"), "{silent}");
    let babbling = run(Some("echo this is no frame of a log"));
    assert!(babbling.contains("log cannot be decoded") || babbling.contains("breaks off"));
    let missing = run(None);
    assert!(missing.contains("qemu-system-arm is not installed"), "{missing}");
    assert!(missing.contains("firmware/setup.sh"), "no remedy: {missing}");
}

fn in_front(folder: &Path) -> OsString {
    let path = var_os("PATH").unwrap_or_default();
    join_paths([folder.to_path_buf()].into_iter().chain(split_paths(&path))).unwrap()
}

#[test]
fn the_size_of_code_is_told_for_cortex_m_only() {
    let file = text(model());
    let line = refusal(&["boards", "--board", "qemu-raspi3b", "--code", &file]);
    assert!(line.contains("no budget of code"), "{line}");
    let line = refusal(&["boards", "--board", "jetson-nano", "--code", &file]);
    assert!(line.contains("it runs Linux"), "{line}");
    if !wanted("fixnet boards --code") {
        return;
    }
    let size = json(&["boards", "--board", BOARD, "--code", &file, "--json"]);
    let (code, budget) =
        (size["code_bytes"].as_u64().unwrap(), size["code_budget"].as_u64().unwrap());
    assert!((4096..=budget).contains(&code), "{size}");
    assert_eq!(budget, 48 << 10);
}
