//! Every error names its file first, in one line, with exit code 2.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::files::readers;
use crate::{fixture, misuse, model, narrow, refusal, text, write_png, write_rgb};

#[test]
fn every_command_names_the_file_that_is_wrong_first() {
    let folder = tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    fs::write(at("empty"), "").unwrap();
    fs::write(at("noise"), (0..4096u32).map(|i| ((i * i) >> 3) as u8).collect::<Vec<_>>()).unwrap();
    fs::write(at("noise.png"), b"\x89PNG\r\n\x1a\nand no more").unwrap();
    fs::write(at("noise.bin"), "x").unwrap();
    fs::write(at("text"), "[[entry]]\nname = 3\n").unwrap();
    fs::create_dir(at("folder")).unwrap();
    for name in ["missing", "empty", "noise", "noise.png", "noise.bin", "text", "folder", "empty/x"]
    {
        for args in readers(&at(name)) {
            let line = refusal(&args);
            // A position in a text follows its name.
            let named = [": ", ":1: ", ":2: "].map(|end| format!("error: {}{end}", at(name)));
            assert!(named.iter().any(|named| line.starts_with(named)), "{args:?}: {line}");
        }
    }
}

/// Files that are what they should be, and do not go together.
#[test]
fn files_that_do_not_go_together_are_named_first() {
    let folder = tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let (narrow, other, file) = (narrow(), fixture("basic-torchscript"), text(model()));
    write_rgb(Path::new(&at("wide.png")), [40, 30], |_, _| [0; 3]);
    write_png(&folder.path().join("0.png"), 0);
    let cases: &[(&str, &[&str])] = &[
        (&file, &["compare", &other, &file, "--limit", "1"]),
        (&file, &["bench", &file, "--against", "tract"]),
        (&file, &["run", &file, &at("0.png"), "--backend", "tract", "--model", &other]),
        (&narrow, &["quantize", &narrow, "--board", "pdp-11", "--out", &at("x")]),
        (&narrow, &["quantize", &narrow, "--input-shape", "1,3,999,999", "--out", &at("x")]),
        (&narrow, &["quantize", &narrow, "--layout", "nhwc", "--out", &at("x")]),
        (&file, &["pack", &file, "--target", "x86-64-avx2", "--max-bytes", "1", "--out", &at("x")]),
    ];
    for (named, args) in cases {
        let line = refusal(args);
        let shown = line.starts_with(&format!("error: {named}: "));
        // What is wrong with a flag is said of the flag.
        let flag = args
            .iter()
            .any(|arg| arg.starts_with("--") && line.starts_with(&format!("error: {arg}")));
        let board = line.starts_with("error: there is no board");
        assert!(shown || flag || board, "{args:?}: {line}");
    }
    misuse(&["run", &file]);
}
