//! What `check` prints of a network that it refuses: what is the matter with each operator, what stands behind
//! it only counted, and in the end what to do.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::common::onnx::{Model, ints};
use crate::partition::nets::classifier;
use crate::{fixnet, text};

/// Three gates without an int8 form, two of them one behind the other.
fn gated() -> Model {
    let pads = [ints("pads", &[1; 4])];
    Model::new(13, &[1, 3, 8, 8])
        .weights("w0", &[8, 3, 3, 3])
        .weights("w1", &[8, 8, 3, 3])
        .node("Conv", &["x", "w0"], "a", &pads)
        .node("Relu", &["a"], "r", &[])
        .node("Atan", &["r"], "gate", &[])
        .node("Add", &["r", "gate"], "b", &[])
        .node("Conv", &["b", "w1"], "c", &pads)
        .node("Atan", &["c"], "gate2", &[])
        .node("Atan", &["r"], "gate3", &[])
        .pooled("gate2")
}

#[test]
fn a_cause_is_told_once_and_what_is_behind_it_counted() {
    let folder = tempdir().unwrap();
    let file = text(&gated().save(folder.path()));
    let output = fixnet(&["check", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!printed.contains("not checked: reads"), "{printed}");
    let rows: Vec<Vec<&str>> = printed.lines().map(|l| l.split_whitespace().collect()).collect();
    let row =
        |operator: &str| rows.iter().rev().find(|row| row.first() == Some(&operator)).unwrap();
    assert_eq!(row("Conv")[1..], ["2", "1", "0", "1"], "{printed}");
    assert_eq!(row("Atan")[1..8], ["3", "0", "3", "0", "node", "2:", "operator"], "{printed}");
    let end: Vec<&str> = printed.lines().rev().take(2).collect();
    let told = "3 of 9 nodes cannot be used, and 4 nodes stand behind them and were not checked; the first \
                is node 2 \"gate\" (Atan): ";
    assert!(end[1].starts_with(told), "{printed}");
    assert!(end[0].starts_with("what to do: "), "{printed}");
    let output = fixnet(&["check", &file, "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let operators = report["operators"].as_array().unwrap();
    let atan = operators.iter().find(|operator| operator["op"] == "Atan").unwrap();
    assert_eq!(atan["first"]["name"], "gate");
    let counts = ["nodes", "supported", "unsupported", "unchecked"].map(|key| atan[key].clone());
    assert_eq!(json!(counts), json!([3, 0, 3, 0]));
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 9, "JSON has every node");
}

/// What `check` says of `--partition` is what that does.
#[test]
fn what_splitting_does_about_it_is_said_beforehand() {
    let ends = |op: &str| {
        let model = Model::new(13, &[1, 3, 8, 8]).weights("w0", &[8, 3, 3, 3]);
        let model = model.node("Conv", &["x", "w0"], "a", &[ints("pads", &[1; 4])]);
        let model = classifier(model.node("Relu", &["a"], "r", &[]), "r");
        model.node(op, &["logits"], "z", &[]).output("z")
    };
    for (model, words) in [
        (ends("Atan"), "takes the network and leaves 1 node in float"),
        (ends("Frobnicate"), "`--partition` does not help"),
    ] {
        let folder = tempdir().unwrap();
        let file = text(&model.save(folder.path()));
        let report = fixnet(&["check", &file, "--json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let printed = fixnet(&["check", &file]).output().unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.lines().last().is_some_and(|line| line.contains(words)), "{printed}");
        let out = text(&folder.path().join("out.fxn"));
        let limits = ["--calib-limit", "1", "--limit", "1", "--out", &out];
        let split = [&["quantize", &file, "--partition"][..], &limits].concat();
        let split = fixnet(&split).output().unwrap();
        assert_eq!(report["partition"]["supported"], split.status.success(), "{report}");
        let problem = report["partition"]["problem"].as_str().unwrap_or_default();
        assert!(String::from_utf8_lossy(&split.stderr).contains(problem), "{problem}");
    }
}
