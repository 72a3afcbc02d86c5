//! Bad input: one line that names the file, exit code 2, no panic.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::{
    fixnet, fixture, misuse, model, narrow, pictures, refusal, text, write_png, write_rgb,
};

/// Bytes 16 to 20 of a model file: where the plan ends and the weights begin.
fn plan_bytes(file: &[u8]) -> usize {
    u32::from_le_bytes(file[16..20].try_into().unwrap()) as usize
}

/// Every command that reads a model file must refuse `file` and name it.
fn all_refuse(file: &Path) -> String {
    let folder = pictures(1);
    let (name, image) = (text(file), text(&folder.path().join("0.png")));
    let commands: [&[&str]; 4] = [
        &["run", &name, &image],
        &["inspect", &name],
        &["bench", &name],
        &["compare", &narrow(), &name, "--limit", "1"],
    ];
    let lines: Vec<String> = commands.iter().map(|args| refusal(args)).collect();
    for line in &lines {
        assert!(line.contains(&name), "{line}");
    }
    lines[0].clone()
}

#[test]
fn a_truncated_model_is_refused() {
    let whole = fs::read(model()).unwrap();
    let folder = tempdir().unwrap();
    let path = folder.path().join("cut.fxn");
    for length in [0, 3, 95, 96, plan_bytes(&whole), whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        all_refuse(&path);
    }
}

#[test]
fn a_damaged_model_is_refused() {
    let whole = fs::read(model()).unwrap();
    let folder = tempdir().unwrap();
    let path = folder.path().join("damaged.fxn");
    for (at, expected) in
        [(0, "not a fixnet model"), (100, "damaged"), (plan_bytes(&whole), "weights")]
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let line = all_refuse(&path);
        assert!(line.contains(expected), "{line}");
        assert!(line.contains("fixnet quantize"), "no remedy: {line}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let (file, narrow) = (text(model()), narrow());
    all_refuse(Path::new("absent.fxn"));
    for args in [
        &["quantize", "absent.onnx"][..],
        &["check", "absent.onnx"],
        &["compare", "absent.onnx", &file],
        &["bench", &file, "--against", "tract", "--model", "absent.onnx"],
        &["run", &file, "absent.png"],
        &["quantize", &narrow, "--calib", "absent"],
        &["compare", &narrow, &file, "--images", "absent"],
    ] {
        let line = refusal(args);
        assert!(line.contains("absent"), "{line}");
    }
}

#[test]
fn a_file_that_is_no_onnx_is_refused() {
    let folder = pictures(1);
    let picture = text(&folder.path().join("0.png"));
    let file = text(model());
    for wrong in [&picture, &file] {
        for args in [&["quantize", wrong][..], &["check", wrong], &["compare", wrong, &file]] {
            let line = refusal(args);
            assert!(line.contains(wrong.as_str()), "{line}");
        }
    }
    let line = all_refuse(Path::new(&narrow()));
    assert!(line.contains("not a fixnet model"), "{line}");
}

#[test]
fn another_networks_model_is_refused() {
    let (other, file) = (fixture("basic-torchscript"), text(model()));
    let line = refusal(&["compare", &other, &file, "--limit", "1"]);
    assert!(line.contains("another network"), "{line}");
    // The same layers and classes, but half the channels: what differs are the tensors inside.
    let folder = tempfile::tempdir().unwrap();
    let [wide, thin, thin_file] =
        ["wide.onnx", "thin.onnx", "thin.fxn"].map(|n| folder.path().join(n));
    for (out, width) in [(&wide, "0.5"), (&thin, "0.25")] {
        let out = out.to_str().unwrap();
        fixnet(&["make-model", "resnet8", "--width-multiplier", width, "--out", out])
            .assert()
            .success();
    }
    let [wide, thin, thin_file] = [text(&wide), text(&thin), text(&thin_file)];
    let images = ["--calib-limit", "2", "--limit", "1"];
    let quantize = ["quantize", &thin, "--out", &thin_file];
    fixnet(&[&quantize[..], &images].concat()).assert().success();
    let line = refusal(&["compare", &wide, &thin_file, "--limit", "1"]);
    assert!(line.contains("tensor 1 of the model file has"), "{line}");
    let args = ["bench", &file, "--against", "tract"];
    let line = refusal(&args);
    assert!(line.contains("--model"), "{line}");
    let line = refusal(&[&args[..], &["--model", &other]].concat());
    assert!(line.contains("was not made from"), "{line}");
}

#[test]
fn external_data_that_is_not_there_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lonely.onnx");
    fs::copy(fixture("bottleneck-dynamo-external"), &path).unwrap();
    let line = refusal(&["quantize", &text(&path)]);
    assert!(line.contains(".onnx.data"), "{line}");
}

#[test]
fn unknown_kernels_are_refused_with_those_there_are() {
    let file = text(model());
    for args in [
        &["run", &file, "x.png", "--kernels", "abacus"][..],
        &["inspect", &file, "--kernels", "abacus"],
        &["bench", &file, "--kernels", "abacus"],
        &["quantize", "--kernels", "abacus"],
    ] {
        let line = misuse(args);
        assert!(line.contains("abacus") && line.contains("generic"), "{line}");
    }
}

#[test]
fn missing_and_empty_arguments_are_refused() {
    let file = text(model());
    for args in [
        &["run", &file][..],
        &["run"],
        &["inspect"],
        &["bench"],
        &["compare", &file],
        &["check"],
        &["make-model", "resnet18"],
        &["run", &file, "x.png", "--top", "0"],
        &["bench", &file, "--runs", "0"],
        &["bench", &file, "--threads", "0"],
        &["bench", &file, "--threads", "1000000000"],
        &["bench", &file, "--model", "x.onnx"],
        &["quantize", "--calib-limit", "0"],
        &["quantize", "--limit", "0"],
        &["quantize", "--input-shape", "1,0"],
    ] {
        misuse(args);
    }
}

#[test]
fn an_unknown_network_is_not_made() {
    let folder = tempdir().unwrap();
    let out = text(&folder.path().join("x.onnx"));
    let line = refusal(&["make-model", "resnet7", "--out", &out]);
    assert!(line.contains("resnet7"), "{line}");
    let line = refusal(&["fetch", "resnet7"]);
    assert!(line.contains("resnet7"), "{line}");
}

#[test]
fn folders_without_usable_images_are_named() {
    let (narrow, file) = (narrow(), text(model()));
    let folder = tempdir().unwrap();
    let path = text(folder.path());
    let refuse = |expected: &str| {
        for args in [
            &["quantize", &narrow, "--calib", &path, "--out", "never.fxn"][..],
            &["quantize", &narrow, "--images", &path, "--out", "never.fxn"],
            &["compare", &narrow, &file, "--images", &path],
        ] {
            let line = refusal(args);
            assert!(line.contains(&path) && line.contains(expected), "{line}");
        }
        assert!(!Path::new("never.fxn").exists());
    };
    refuse("no images");
    let picture = folder.path().join("0.png");
    fs::write(&picture, b"\x89PNG\r\n\x1a\nnot really").unwrap();
    let line = refusal(&["run", &file, &text(&picture)]);
    assert!(line.contains("unreadable image"), "{line}");
    refuse("unreadable image");
}

#[test]
fn pictures_of_the_wrong_size_are_named_with_the_remedy() {
    let folder = tempdir().unwrap();
    let picture = folder.path().join("wide.png");
    write_rgb(&picture, [40, 30], |_, _| [0; 3]);
    let (narrow, file, picture) = (narrow(), text(model()), text(&picture));
    for line in [
        refusal(&["compare", &narrow, &file, "--images", &picture]),
        refusal(&["run", &file, &picture, "--resize", "16"]),
        refusal(&["run", &file, &picture, "--crop", "8"]),
    ] {
        assert!(line.contains("wide.png") && line.contains("16x16"), "{line}");
        assert!(line.contains("--resize 16 --crop 16"), "{line}");
    }
    let line = refusal(&["run", &file, &picture, "--resize", "8", "--crop", "16"]);
    assert!(line.contains("--crop 16 is more than --resize 8"), "{line}");
}

#[test]
fn wrong_labels_are_named() {
    let folder = tempdir().unwrap();
    write_png(&folder.path().join("0.png"), 0);
    let (narrow, file, images) = (narrow(), text(model()), text(folder.path()));
    for (labels, expected) in [
        ("0.png,1\n", "file,label"),
        ("file,label\n0.png,cat\n", "cat"),
        ("file,label\n0.png,1\n0.png,2\n", "already listed"),
        ("file,label\n", "no label for 0.png"),
        ("file,label\n0.png,1\n9.png,1\n", "9.png"),
        ("file,label\n0.png,5\n", "5 classes"),
    ] {
        fs::write(folder.path().join("labels.csv"), labels).unwrap();
        let compare = refusal(&["compare", &narrow, &file, "--images", &images]);
        assert!(compare.contains(expected), "{compare}");
        let out = text(&folder.path().join("never.fxn"));
        let args = ["quantize", &narrow, "--images", &images, "--out", &out];
        assert!(refusal(&args).contains(expected));
        assert!(!Path::new(&out).exists(), "a failed run left its output");
    }
}

#[test]
fn records_that_are_not_there_are_named() {
    let folder = tempdir().unwrap();
    let batch = folder.path().join("batch.bin");
    fs::write(&batch, vec![0; 2 * 3073]).unwrap();
    let file = text(model());
    let batch = text(&batch);
    let line = refusal(&["run", &file, &format!("{batch}:2")]);
    assert!(line.contains("no record 2"), "{line}");
    let line = refusal(&["run", &file, &batch]);
    assert!(line.contains("batch.bin:0"), "{line}");
    fs::write(&batch, vec![0; 100]).unwrap();
    let line = refusal(&["run", &file, &format!("{batch}:0")]);
    assert!(line.contains("3073"), "{line}");
}

#[test]
fn a_file_larger_than_any_model_is_refused_before_it_is_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("sparse.fxn");
    fs::File::create(&path).unwrap().set_len(1 << 43).unwrap();
    let line = refusal(&["inspect", &text(&path)]);
    assert!(line.contains("larger than a model file can be"), "{line}");
}

#[cfg(unix)]
#[test]
fn a_model_may_come_from_a_pipe() {
    let bytes = fs::read(model()).unwrap();
    let inspect = |path: &str| fixnet(&["inspect", path]).write_stdin(bytes.clone()).output();
    let (pipe, file) = (inspect("/dev/stdin").unwrap(), inspect(&text(model())).unwrap());
    assert!(pipe.status.success() && pipe.stdout == file.stdout);
}
