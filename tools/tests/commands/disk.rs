//! Outputs that cannot be written: nothing is left behind, nothing that was there is touched.

use std::fs;
use std::process::Output;

use tempfile::tempdir;

use crate::{fixnet, model, names, narrow, quantize_args, refusal, refusal_of, text};

#[test]
fn outputs_beneath_a_file_or_in_a_missing_folder_are_refused() {
    let folder = tempdir().unwrap();
    let occupied = folder.path().join("file");
    fs::write(&occupied, "kept").unwrap();
    for out in [occupied.join("x"), folder.path().join("absent/x")] {
        let out = text(&out);
        for args in [
            &["quantize", &narrow(), "--calib-limit", "1", "--out", &out][..],
            &["inspect", &text(model()), "--svg", &out],
            &["make-model", "resnet20", "--out", &out],
        ] {
            let line = refusal(args);
            assert!(line.contains(&out), "{line}");
        }
    }
    assert!(refusal(&quantize_args(folder.path())).contains("is a folder"));
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read_to_string(occupied).unwrap(), "kept");
}

/// `fixnet` that may not write files longer than 2 KiB: its writes fail half-way, as on a full disk.
#[cfg(unix)]
fn on_a_full_disk(args: &[String]) -> Output {
    let program = assert_cmd::cargo::cargo_bin("fixnet");
    let script = r#"trap "" XFSZ; ulimit -f 4; exec "$@""#;
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program).args(args).output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_existing_outputs_alone() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("kept");
    fs::write(&out, "kept").unwrap();
    let file = text(&out);
    let strings = |args: &[&str]| args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>();
    let commands = [
        quantize_args(&out),
        strings(&["inspect", &text(model()), "--svg", &file]),
        strings(&["make-model", "resnet20", "--out", &file]),
    ];
    for args in commands {
        let line = refusal_of(&on_a_full_disk(&args));
        assert!(line.contains(&file) && line.contains("disk"), "{line}");
        assert_eq!(names(folder.path()), ["kept"]);
        assert_eq!(fs::read_to_string(&out).unwrap(), "kept");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error_and_a_closed_one_is_not() {
    use std::process::{Command, Stdio};
    let program = assert_cmd::cargo::cargo_bin("fixnet");
    for args in [&["inspect", &text(model())][..], &["check", &narrow()], &["fetch"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(&program).args(args).stdout(full).output().unwrap();
        assert!(refusal_of(&output).contains("standard output"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(&program);
        let output = command.args(args).stdout(Stdio::from(writer)).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn results_replace_older_ones_whole() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("x.fxn");
    fs::write(&out, vec![0; 1 << 20]).unwrap();
    fixnet(&quantize_args(&out)).arg("--no-compare").assert().success();
    assert_eq!(fs::read(&out).unwrap(), fs::read(model()).unwrap());
    assert_eq!(names(folder.path()), ["x.fxn"]);
}
