//! Whole commands: what they print, what they write, how they refuse, and their exit codes.

mod against;
mod backends;
mod bad_input;
mod boards;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod errors;
mod figures;
mod files;
mod inputs;
mod json;
mod limits;
mod make_images;
mod names;
mod networks;
mod outputs;
mod packing;
mod partition;
mod repeat;
mod tables;
mod verdicts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;
use tools::data::{Pixels, to_png};

/// An ONNX file of the tests: the option-A network has a 16x16 input and takes milliseconds.
fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}.onnx", env!("CARGO_MANIFEST_DIR"))
}

fn narrow() -> String {
    fixture("option-a-torchscript")
}

/// `fixnet` with a quick job's arguments.
fn fixnet<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::cargo_bin("fixnet").unwrap();
    command.args(args.iter().map(AsRef::as_ref));
    command
}

/// Arguments that quantize the narrow network to `out` in no time.
fn quantize_args(out: &Path) -> Vec<String> {
    let mut args: Vec<String> = vec!["quantize".into(), narrow()];
    args.extend(["--calib-limit", "4", "--limit", "4", "--out"].map(String::from));
    args.push(text(out));
    args
}

/// The narrow network's model file, made once.
fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("narrow.fxn");
        fixnet(&quantize_args(&path)).arg("--no-compare").assert().success();
        path
    })
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of ASCII").to_owned()
}

/// A PNG file of `size`, width first.
fn write_rgb(path: &Path, size: [usize; 2], pixel: impl Fn(usize, usize) -> [u8; 3]) {
    fs::write(path, to_png(&Pixels::from_fn(size[0], size[1], pixel)).unwrap()).unwrap();
}

/// A smooth picture of 16x16 pixels.
fn write_png(path: &Path, seed: u8) {
    write_rgb(path, [16, 16], |x, y| [x as u8 * 15, y as u8 * 15, seed.wrapping_mul(60)]);
}

/// A folder with `count` pictures `0.png`, `1.png`, ...
fn pictures(count: u8) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..count {
        write_png(&folder.path().join(format!("{index}.png")), index);
    }
    folder
}

/// Standard output of a command that must succeed, as JSON.
fn json<S: AsRef<str>>(args: &[S]) -> Value {
    let output = fixnet(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line in which a command refuses its input, after warnings; it ends with exit code 2.
fn refusal<S: AsRef<str>>(args: &[S]) -> String {
    refusal_of(&fixnet(args).output().unwrap())
}

fn refusal_of(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!stderr.contains("panicked"), "{stderr}");
    let lines = stderr.lines().filter(|line| !line.starts_with("warning: "));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{stderr}");
    lines[0].to_owned()
}

/// The first line of clap's answer to wrong usage.
fn misuse<S: AsRef<str>>(args: &[S]) -> String {
    let output = fixnet(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    stderr.lines().next().unwrap_or_default().to_owned()
}

/// All names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
