//! Names that others chose - of nodes, tensors, files, classes - are printed as text, whatever they hold,
//! and at a bounded length.

use std::fs;
use std::path::Path;
use std::process::Output;

use prost::Message;
use tempfile::{TempDir, tempdir};
use tract_onnx::pb::ModelProto;

use crate::{fixnet, narrow, text, write_png};

/// The title of a terminal, its clearing, a C1 control, both directions of text, and what is not seen.
const HOSTILE: &str =
    "x\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}y\u{2066}\u{200b}\r\nerror: z\u{feff}";
/// More than any line may have.
const MAX_LINE: usize = 30_000;

fn assert_printable(args: &[String], output: &Output) {
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let harmful = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        let found = text.find(harmful).map(|at| text[at..].chars().take(20).collect::<String>());
        assert_eq!(found, None, "{stream} of {args:?}");
        let json = args.iter().any(|arg| arg == "--json");
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(json || longest < MAX_LINE, "{stream} of {args:?}: a line of {longest}");
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(stderr.lines().filter(|line| line.starts_with("error:")).count() <= 1, "{stderr}");
}

/// The narrow network whose nodes and tensors are called `name` and a number.
fn renamed(name: &str) -> ModelProto {
    let bytes = fs::read(narrow()).unwrap();
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let rename = |old: &mut String| {
        if !old.is_empty() {
            *old = format!("{name}{old}");
        }
    };
    for node in &mut graph.node {
        rename(&mut node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(rename);
    }
    graph.initializer.iter_mut().for_each(|tensor| rename(&mut tensor.name));
    let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    values.for_each(|value| rename(&mut value.name));
    model
}

/// The network in a file of such a name, and a picture.
fn hostile(name: &str) -> (TempDir, [String; 3]) {
    let folder = tempdir().unwrap();
    let [onnx, file, image] =
        ["onnx", "fxn", "png"].map(|ending| folder.path().join(format!("{HOSTILE}.{ending}")));
    fs::write(&onnx, renamed(name).encode_to_vec()).unwrap();
    write_png(&image, 1);
    (folder, [onnx, file, image].map(|path| text(&path)))
}

fn run(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let output = fixnet(&args).output().unwrap();
    assert_printable(&args, &output);
    output
}

#[test]
fn no_command_prints_more_than_text() {
    let (folder, [onnx, file, image]) = hostile(HOSTILE);
    let few = ["--calib-limit", "2", "--limit", "2", "--out", &file];
    let quantized = run(&[&["quantize", &onnx][..], &few].concat());
    assert!(quantized.status.success(), "{}", String::from_utf8_lossy(&quantized.stderr));
    assert!(String::from_utf8_lossy(&quantized.stdout).contains("\\u{1b}"), "the names are shown");
    let (svg, packed) = (folder.path().join("x.svg"), folder.path().join("p.fxn"));
    let commands: [&[&str]; 14] = [
        &["check", &onnx],
        &["compare", &onnx, &file, "--limit", "2"],
        &["run", &file, &image],
        &["run", &file, &image, "--checksums"],
        &["run", &file, &image, "--backend", "tract", "--model", &onnx],
        &["inspect", &file, "--svg", &text(&svg)],
        &["pack", &file, "--target", "portable", "--out", &text(&packed)],
        &["bench", &file, "--runs", "1", "--against", "tract", "--model", &onnx],
        &["boards", &file],
        &["check", &onnx, "--json"],
        &["inspect", &file, "--json"],
        &["run", &file, &image, "--json"],
        &["flash", "--board", "nucleo-f446re", "--dry-run", &file, "--input", &image],
        &["flash", "--board", "jetson-nano", "--dry-run", "--host", HOSTILE, &file],
    ];
    for args in commands {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
    }
    let drawing = fs::read_to_string(svg).unwrap();
    assert!(drawing.chars().all(|c| c == '\n' || !c.is_control()), "the drawing");
}

/// What each command says when something is wrong with such files.
#[test]
fn no_error_prints_more_than_text() {
    let (folder, [onnx, file, image]) = hostile(HOSTILE);
    let mut model = renamed(HOSTILE);
    for node in &mut model.graph.as_mut().unwrap().node {
        if node.op_type == "Relu" {
            node.op_type = HOSTILE.to_owned();
        }
    }
    fs::write(&onnx, model.encode_to_vec()).unwrap();
    fs::write(folder.path().join("labels.csv"), format!("file,label\n\"{HOSTILE}\",1\n")).unwrap();
    let (narrow, images, missing) = (narrow(), text(folder.path()), format!("missing{HOSTILE}"));
    let commands: [&[&str]; 12] = [
        &["check", &onnx],
        &["check", &onnx, "--json"],
        &["quantize", &onnx, "--out", &file],
        &["quantize", &onnx, "--out", &file, "--partition"],
        &["quantize", &onnx, "--out", &file, "--board", HOSTILE],
        &["quantize", &narrow, "--images", &images, "--out", &file],
        &["quantize", &narrow, "--out", &format!("{missing}/x")],
        &["quantize", &missing],
        &["run", &missing, &image],
        &["inspect", &image],
        &["fetch", HOSTILE],
        &["make-model", HOSTILE, "--out", &file],
    ];
    for args in commands {
        assert!(!run(args).status.success(), "{args:?}");
    }
    assert!(!Path::new(&file).exists());
}

/// Names of a megabyte take no megabytes of a terminal.
#[test]
fn names_of_any_length_are_shortened() {
    let (_folder, [onnx, ..]) = hostile(&"long".repeat(1 << 18));
    run(&["check", &onnx]);
    let (_folder, [onnx, file, image]) = hostile(&"long".repeat(1 << 12));
    let few = ["--calib-limit", "1", "--no-compare", "--out", &file];
    assert!(run(&[&["quantize", &onnx][..], &few].concat()).status.success());
    run(&["inspect", &file]);
    run(&["run", &file, &image]);
}
