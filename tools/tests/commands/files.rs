//! What is read and what is written over: nothing but files, none of the inputs, and nothing is left
//! behind, whatever ends the program.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::{TempDir, tempdir};

use crate::{
    fixnet, fixture, model, names, narrow, pictures, quantize_args, refusal, text, write_png,
};

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A device like `/dev/null` (minor 3) or `/dev/zero` (minor 5); only root makes devices.
fn mknod(path: &Path, minor: &str) -> bool {
    let made = Command::new("mknod").arg(path).args(["c", "1", minor]).output().unwrap();
    if !made.status.success() {
        crate::common::tell(&format!("NOT RUN with a device: mknod {}: not root", path.display()));
    }
    made.status.success()
}

/// All commands that write a file, each with the arguments up to its name.
fn writers() -> Vec<Vec<String>> {
    let (narrow, file) = (narrow(), text(model()));
    let commands: [&[&str]; 4] = [
        &["quantize", &narrow, "--calib-limit", "2", "--no-compare", "--out"],
        &["pack", &file, "--target", "portable", "--out"],
        &["inspect", &file, "--svg"],
        &["make-model", "resnet8", "--width-multiplier", "0.25", "--out"],
    ];
    commands.iter().map(|args| args.iter().map(|&a| a.to_owned()).collect()).collect()
}

fn with(args: &[String], out: &str) -> Vec<String> {
    args.iter().cloned().chain([out.to_owned()]).collect()
}

#[test]
fn outputs_replace_files_alone() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    mkfifo(&at("pipe"));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("pipe", at("link-to-pipe")).unwrap();
    symlink("circle", at("circle")).unwrap();
    let has_device = mknod(&at("null"), "3");
    fs::create_dir(at("folder")).unwrap();
    let before = names(folder.path());
    for writer in writers() {
        for (name, part) in [
            ("pipe", "is a named pipe"),
            ("link-to-pipe", "is a named pipe"),
            ("socket", "is a socket"),
            ("folder", "is a folder"),
            ("folder/", "is a folder"),
            ("absent/", "is a folder"),
            ("circle", "cannot be written"),
        ] {
            let out = format!("{}/{name}", text(folder.path()));
            let line = refusal(&with(&writer, &out));
            assert!(line.starts_with(&format!("error: {out}: ")) && line.contains(part), "{line}");
        }
        if has_device {
            fixnet(&with(&writer, &text(&at("null")))).assert().success();
            assert!(fs::symlink_metadata(at("null")).unwrap().file_type().is_char_device());
        }
        assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), before);
    }
}

#[test]
fn links_stay_and_what_they_lead_to_is_replaced() {
    for writer in writers() {
        let folder = tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/old"), "old").unwrap();
        fs::write(at("other-name"), "").unwrap();
        symlink("real/old", at("link")).unwrap();
        symlink("link", at("link-to-link")).unwrap();
        symlink("real/new", at("dangling")).unwrap();
        fixnet(&with(&writer, &text(&at("link-to-link")))).assert().success();
        fixnet(&with(&writer, &text(&at("dangling")))).assert().success();
        for link in ["link", "link-to-link", "dangling"] {
            assert!(at(link).is_symlink(), "{link}");
        }
        assert_eq!(names(&at("real")), ["new", "old"]);
        assert_ne!(fs::read(at("real/old")).unwrap(), b"old");
        assert_eq!(fs::read(at("real/old")).unwrap(), fs::read(at("real/new")).unwrap());
    }
}

#[test]
fn new_files_keep_the_umask_and_old_ones_their_mode() {
    let program = assert_cmd::cargo::cargo_bin("fixnet");
    for writer in writers() {
        for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664), ("027", 0o640)] {
            let folder = tempdir().unwrap();
            let (new, old) = (folder.path().join("new"), folder.path().join("old"));
            let link = folder.path().join("link");
            fs::write(&old, "old").unwrap();
            fs::set_permissions(&old, fs::Permissions::from_mode(0o606)).unwrap();
            symlink("old", &link).unwrap();
            for out in [&new, &link] {
                let script = format!(r#"umask {umask}; exec "$@""#);
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, "sh"]).arg(&program).args(with(&writer, &text(out)));
                assert!(shell.output().unwrap().status.success());
            }
            let mode_of = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!((mode_of(&new), mode_of(&old)), (mode, 0o606), "{umask}");
        }
    }
}

/// The network with its external data, and pictures with labels, in one folder.
fn everything() -> (TempDir, impl Fn(&str) -> String) {
    let folder = pictures(2);
    let root = folder.path().to_owned();
    let at = move |name: &str| text(&root.join(name));
    fs::copy(model(), at("m.fxn")).unwrap();
    let source = fixture("bottleneck-dynamo-external");
    fs::copy(&source, at("bottleneck-dynamo-external.onnx")).unwrap();
    fs::copy(format!("{source}.data"), at("bottleneck-dynamo-external.onnx.data")).unwrap();
    fs::write(at("labels.csv"), "file,label\n0.png,1\n1.png,2\n").unwrap();
    fs::copy("../models/zoo.toml", at("zoo.toml")).unwrap();
    fs::create_dir(at("narrow")).unwrap();
    fs::copy(narrow(), at("narrow/m.onnx")).unwrap();
    for name in names(folder.path()) {
        if name != "narrow" {
            fs::hard_link(at(&name), at(&format!("narrow/hard-{name}"))).unwrap();
            symlink(format!("../{name}"), at(&format!("narrow/soft-{name}"))).unwrap();
        }
    }
    fs::hard_link(at("narrow/m.onnx"), at("narrow/hard-m.onnx")).unwrap();
    (folder, at)
}

fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        match path.is_dir() {
            true => all.extend(snapshot(&path)),
            false => all.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    all
}

#[test]
fn an_output_that_is_an_input_is_refused_through_links_of_either_kind() {
    let (folder, at) = everything();
    let before = snapshot(folder.path());
    let external = at("bottleneck-dynamo-external.onnx");
    let (onnx, file, images) = (at("narrow/m.onnx"), at("m.fxn"), text(folder.path()));
    let quantize = |model: &str, more: &[&str]| {
        let args = ["quantize", model, "--calib-limit", "1", "--limit", "1"];
        [&args[..], more, &["--out"]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let strings = |args: &[&str]| args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>();
    let cases: Vec<(Vec<String>, &[&str])> = vec![
        (quantize(&onnx, &[]), &["narrow/m.onnx", "narrow/hard-m.onnx", "narrow/../narrow/m.onnx"]),
        (
            quantize(&external, &["--no-compare"]),
            &[
                "bottleneck-dynamo-external.onnx",
                "bottleneck-dynamo-external.onnx.data",
                "narrow/soft-bottleneck-dynamo-external.onnx.data",
                "narrow/hard-bottleneck-dynamo-external.onnx.data",
            ],
        ),
        (quantize(&onnx, &["--zoo", &at("zoo.toml")]), &["zoo.toml", "narrow/soft-zoo.toml"]),
        (quantize(&onnx, &["--images", &at("0.png")]), &["0.png", "narrow/hard-0.png"]),
        (
            strings(&["pack", &file, "--target", "portable", "--out"]),
            &["m.fxn", "narrow/hard-m.fxn"],
        ),
        (strings(&["inspect", &file, "--svg"]), &["m.fxn", "narrow/soft-m.fxn"]),
    ];
    for (args, outs) in cases {
        for out in outs {
            let line = refusal(&with(&args, &at(out)));
            let named = line.starts_with(&format!("error: {}: is read, as ", at(out)));
            assert!(named, "{args:?}: {line}");
        }
    }
    // A folder of images must hold nothing but those.
    fs::remove_dir_all(at("narrow")).unwrap();
    for flag in ["--calib", "--images"] {
        for out in ["0.png", "labels.csv"] {
            let line = refusal(&with(&quantize(&narrow(), &[flag, &images]), &at(out)));
            assert!(line.contains("is read, as "), "{line}");
        }
    }
    let after = snapshot(folder.path());
    assert!(before.iter().filter(|(path, _)| path.exists()).eq(after.iter()));
}

#[test]
fn a_result_may_go_to_standard_output_and_figures_then_go_to_standard_error() {
    let folder = tempdir().unwrap();
    for writer in writers() {
        let file = folder.path().join("result");
        fixnet(&with(&writer, &text(&file))).assert().success();
        let expected = fs::read(&file).unwrap();
        for name in ["-", "/dev/stdout"] {
            let output = fixnet(&with(&writer, name)).output().unwrap();
            assert!(output.status.success() && output.stdout == expected, "{writer:?}");
            let figures = String::from_utf8(output.stderr).unwrap();
            assert_eq!(figures.is_empty(), writer[0] == "make-model", "{figures}");
        }
        // A file that the shell has opened gets the same bytes, and stays the shell's.
        let redirected = folder.path().join("redirected");
        let stdout = fs::File::create(&redirected).unwrap();
        let inode = stdout.metadata().unwrap().ino();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("fixnet"));
        command.args(with(&writer, "/dev/stdout")).stdout(stdout).stderr(Stdio::null());
        assert!(command.status().unwrap().success());
        assert_eq!(fs::read(&redirected).unwrap(), expected);
        assert_eq!(fs::metadata(&redirected).unwrap().ino(), inode);
    }
}

#[test]
fn a_model_file_may_come_from_standard_input_or_a_pipe() {
    let bytes = fs::read(model()).unwrap();
    let file = fixnet(&["inspect", &text(model())]).output().unwrap();
    for name in ["-", "/dev/stdin"] {
        let pipe = fixnet(&["inspect", name]).write_stdin(bytes.clone()).output().unwrap();
        assert!(pipe.status.success() && pipe.stdout == file.stdout);
    }
    let script = r#"exec "$1" inspect <(cat "$2")"#;
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "bash"]).arg(assert_cmd::cargo::cargo_bin("fixnet")).arg(model());
    assert_eq!(shell.output().unwrap().stdout, file.stdout);
    // Something else is not read to its end, which may never come.
    let endless = r#"yes no model | timeout 60 "$1" inspect -"#;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", endless, "sh"]).arg(assert_cmd::cargo::cargo_bin("fixnet"));
    let line = crate::refusal_of(&output.output().unwrap());
    assert!(line.starts_with("error: -: ") && line.contains("not a fixnet model"), "{line}");
}

/// Every command that reads a file, with the file in each place where one can stand.
pub fn readers(path: &str) -> Vec<Vec<String>> {
    let (narrow, file) = (narrow(), text(model()));
    let commands: &[&[&str]] = &[
        &["check", path],
        &["quantize", path, "--out", "never.fxn"],
        &["quantize", path, "--partition", "--fallback", "tract", "--out", "never.fxn"],
        &["quantize", &narrow, "--calib", path, "--out", "never.fxn"],
        &["quantize", &narrow, "--images", path, "--out", "never.fxn"],
        &["quantize", &narrow, "--mean-image", path, "--out", "never.fxn"],
        &["quantize", &narrow, "--zoo", path, "--out", "never.fxn"],
        &["compare", path, &file],
        &["compare", &narrow, path],
        &["compare", &narrow, &file, "--images", path],
        &["run", path, "x.png"],
        &["run", &file, path],
        &["run", &file, path, "--backend", "tract", "--model", &narrow],
        &["inspect", path],
        &["pack", path, "--target", "portable", "--out", "never.fxn"],
        &["bench", path],
        &["bench", &file, "--against", "tract", "--model", path],
        &["boards", path],
        &["qemu", "--board", "qemu-mps2-an386", path],
        &["qemu", "--board", "qemu-mps2-an386", &file, path],
        &["flash", "--board", "nucleo-f446re", path],
        &["flash", "--board", "nucleo-f446re", &file, "--input", path, "--dry-run"],
        &["fetch", "--zoo", path],
    ];
    commands.iter().map(|args| args.iter().map(|&a| a.to_owned()).collect()).collect()
}

#[test]
fn inputs_are_files_and_what_is_none_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    mkfifo(&at("pipe"));
    mkfifo(&at("pipe.png"));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let mut inputs =
        vec![("pipe", "named pipe"), ("pipe.png", "named pipe"), ("socket", "is a socket")];
    // Its bytes never end.
    if mknod(&at("zero"), "5") {
        inputs.push(("zero", "is a device"));
    }
    for (name, part) in inputs {
        let path = text(&at(name));
        for args in readers(&path) {
            let line = refusal(&args);
            assert!(line.starts_with(&format!("error: {path}: ")), "{args:?}: {line}");
            assert!(line.contains(part), "{args:?}: {line}");
        }
    }
    assert!(!Path::new("never.fxn").exists());
}

#[test]
fn a_pipe_among_images_or_beside_a_model_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_png(&at("0.png"), 0);
    mkfifo(&at("labels.csv"));
    let args = ["compare", &narrow(), &text(model()), "--images", &text(folder.path())];
    let line = refusal(&args);
    assert!(line.contains("labels.csv: is a named pipe"), "{line}");
    fs::remove_file(at("labels.csv")).unwrap();
    mkfifo(&at("1.png"));
    let line = refusal(&args);
    assert!(line.contains("1.png: is a named pipe"), "{line}");
    let source = fixture("bottleneck-dynamo-external");
    fs::copy(&source, at("bottleneck-dynamo-external.onnx")).unwrap();
    mkfifo(&at("bottleneck-dynamo-external.onnx.data"));
    let line = refusal(&["quantize", &text(&at("bottleneck-dynamo-external.onnx"))]);
    assert!(line.contains("not a regular file"), "{line}");
}

#[test]
fn the_temporary_files_of_a_run_that_was_killed_go_with_the_next_one() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("x.fxn");
    fs::write(folder.path().join(".fixnet-abc123.tmp"), vec![0; 1 << 20]).unwrap();
    for name in [".fixnet-abc123", ".tmpabc123", "fixnet-abc123.tmp"] {
        fs::write(folder.path().join(name), "another's").unwrap();
    }
    fixnet(&quantize_args(&out)).arg("--no-compare").assert().success();
    assert_eq!(
        names(folder.path()),
        [".fixnet-abc123", ".tmpabc123", "fixnet-abc123.tmp", "x.fxn"]
    );
}
