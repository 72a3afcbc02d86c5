//! `fixnet flash`: cards, system images, ssh, debug probes, and everything that it must refuse.
//!
//! Needs e2fsprogs, OpenSSH with its server and, for the emulated Raspberry Pi, what `qemu_raspi` needs;
//! `firmware/setup.sh` finds or installs them or says what is missing. `FIXNET_NO_QEMU=1` leaves out
//! the tests that need any of it.

mod block_devices;
mod cards;
mod os_images;
mod probes;
mod refusals;
mod ssh;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, PoisonError};

use fixnet::{AlignedBytes, Model};
use tools::flash::smoke::Smoke;

/// A small network's model file, made once.
fn model() -> &'static Path {
    static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flash");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("narrow.fxn");
        let onnx =
            format!("{}/tests/fixtures/option-a-torchscript.onnx", env!("CARGO_MANIFEST_DIR"));
        let args = ["quantize", &onnx, "--calib-limit", "4", "--no-compare", "--out"];
        let output = fixnet(&args).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        path
    });
    &MODEL
}

fn model_bytes() -> AlignedBytes {
    AlignedBytes::from_slice(&fs::read(model()).unwrap())
}

/// The generated image and what this machine makes of it.
fn smoke() -> Smoke {
    let bytes = model_bytes();
    let model = Model::new_checked(&bytes).unwrap();
    Smoke::new(&model, None).unwrap()
}

fn fixnet(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fixnet"));
    command.args(args);
    command
}

/// `fixnet flash` of the small network.
fn flash(board: &str, args: &[&str]) -> Command {
    let mut command = fixnet(&["flash", "--board", board]);
    command.arg(model()).args(args);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The command where no file may be longer than 2 KiB: its writes fail half-way, as on a full disk.
fn on_a_full_disk(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$@""#, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// Standard output of a command that must succeed.
fn success(command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// The one line of a command that refuses, with exit code 2.
fn refusal(command: &mut Command) -> String {
    let output = run(command);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{}{text}", stdout(&output));
    assert!(!text.contains("panicked"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{text}");
    lines[0].to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ASCII")
}

/// All names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Finds or installs what `firmware/setup.sh PART` is about; `false`, loudly, if that is not wanted.
fn have(part: &str, test: &str) -> bool {
    if std::env::var_os("FIXNET_NO_QEMU").is_some_and(|value| value == "1") {
        // Past the test harness, which swallows what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "\n!!! {test} DID NOT RUN: FIXNET_NO_QEMU=1 is set");
        return false;
    }
    // Packages are installed by one test at a time.
    static SETUP: Mutex<()> = Mutex::new(());
    let _guard = SETUP.lock().unwrap_or_else(PoisonError::into_inner);
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/setup.sh");
    let output = run(Command::new(setup).arg(part));
    assert!(output.status.success(), "{}", stderr(&output).trim_end());
    true
}
