//! `bench --against`: other runtimes beside fixnet, measured in turn.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::common::tell;
use crate::{fixnet, json, misuse, model, narrow, refusal, text};

/// A program that stands in for Python: it is given the worker and its arguments, and runs `script`.
fn stand_in(script: &str) -> (TempDir, String) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("python");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let name = text(&path);
    (folder, name)
}

fn bench(python: &str, rivals: &[&str]) -> Vec<String> {
    let (file, narrow) = (text(model()), narrow());
    let fixed = ["bench", &file, "--runs", "3", "--threads", "2", "--json", "--model", &narrow];
    let against = rivals.iter().flat_map(|rival| ["--against", rival]);
    fixed.into_iter().chain(["--python", python]).chain(against).map(String::from).collect()
}

#[test]
fn the_worker_is_told_what_to_run_and_its_times_are_printed() {
    let folder = tempdir().unwrap();
    let told = text(&folder.path().join("told"));
    let (_program, python) = stand_in(&format!(
        "shift 2; echo \"$@\" >>{told}; echo '{{\"version\": \"7.8\"}}'\n\
         while read n; do echo [2000000]; done"
    ));
    let figures = json(&bench(&python, &["onnxruntime", "tract", "onnxruntime-float"]));
    assert!(figures["against"]["tract"]["median_ms"].as_f64() > Some(0.0), "{figures}");
    for rival in ["onnxruntime", "onnxruntime-float"] {
        let rival = &figures["against"][rival];
        assert_eq!((&rival["version"], &rival["threads"]), (&"7.8".into(), &2.into()));
        assert_eq!((&rival["median_ms"], &rival["p90_ms"]), (&2.0.into(), &2.0.into()));
        let ratio = 2.0 / figures["median_ms"].as_f64().unwrap();
        assert!((rival["ratio"].as_f64().unwrap() / ratio - 1.0).abs() < 1e-9, "{figures}");
    }
    let told = fs::read_to_string(told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    for line in &lines {
        assert!(line.starts_with(&format!("onnxruntime {} 2 --shape 1,3,16,16 ", narrow())));
    }
    assert!(lines[0].ends_with(" --int8 u8s8") && !lines[1].contains("--int8"), "{told}");
}

#[test]
fn a_python_that_is_not_there_or_fails_is_named_in_one_line() {
    let missing = refusal(&bench("no-such-python", &["onnxruntime"]));
    assert!(missing.contains("no-such-python") && missing.contains("--python"), "{missing}");
    let (_program, python) = stand_in("echo '{\"error\": \"pip install it\"}'");
    let refused = refusal(&bench(&python, &["onnxruntime"]));
    assert_eq!(refused, "error: --against onnxruntime: pip install it");
    let (_program, python) = stand_in("echo '{}'; read n; echo some trouble >&2");
    let ended = refusal(&bench(&python, &["onnxruntime-float"]));
    assert!(ended.ends_with("ended without an answer; last: some trouble"), "{ended}");
    let file = text(model());
    misuse(&["bench", &file, "--python", "python3"]);
}

fn python3() -> Option<PathBuf> {
    let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let found = found.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(found.stdout).ok()?.trim().into())
}

/// `-S` leaves out everything that was installed.
#[test]
fn a_missing_onnxruntime_is_one_line_with_the_command_that_installs_it() {
    let Some(python) = python3() else {
        tell("\n!!! bench without onnxruntime DID NOT RUN: there is no python3");
        return;
    };
    let (_program, bare) = stand_in(&format!("exec {} -S \"$@\"", python.display()));
    let line = refusal(&bench(&bare, &["onnxruntime"]));
    assert!(line.contains("-m pip install onnxruntime"), "{line}");
}

#[test]
fn onnxruntime_itself_is_measured() {
    let python = std::env::var("FIXNET_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python).args(["-c", "import onnxruntime, onnx"]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        tell(&format!(
            "\n!!! bench --against onnxruntime DID NOT RUN: {python} has no onnxruntime and onnx \
             (name one that has in FIXNET_PYTHON)"
        ));
        return;
    }
    let rivals = ["onnxruntime", "onnxruntime-float"];
    let figures = json(&bench(&python, &rivals));
    for rival in rivals {
        let rival: &Value = &figures["against"][rival];
        assert!(rival["median_ms"].as_f64() > Some(0.0) && rival["version"].is_string());
    }
}

#[test]
fn bench_measures_on_request_as_a_worker_does() {
    let (file, narrow) = (text(model()), narrow());
    let worker = ["bench", &file, "--worker", "--threads", "2"];
    let against = [&worker[..], &["--against", "tract", "--model", &narrow]].concat();
    for (args, name) in [(&worker[..], "fixnet"), (&against[..], "tract")] {
        let output = fixnet(args).write_stdin("2\n1\n").output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(output.status.success() && lines[0]["runtime"] == name, "{stdout}");
        let counts: Vec<_> = lines[1..].iter().map(|l| l.as_array().unwrap().len()).collect();
        assert_eq!(counts, [2, 1], "{stdout}");
    }
    let output = fixnet(&worker).write_stdin("all\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("error: ") && line.contains("\"all\""), "{line}");
    misuse(&["bench", &file, "--worker", "--json"]);
}
