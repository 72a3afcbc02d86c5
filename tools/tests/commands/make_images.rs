//! `fixnet make-images`: the images that `quantize` generates, where other programs can read them.

use std::fs;

use tempfile::tempdir;

use crate::{fixnet, json, misuse, names, narrow, refusal, text};

/// Bytes of a file that is quantized on what `more` says, and the fidelity of its layers.
fn quantized(more: &[&str]) -> (Vec<u8>, Vec<f64>) {
    let folder = tempdir().unwrap();
    let out = text(&folder.path().join("x.fxn"));
    let few = ["--calib-limit", "3", "--limit", "3", "--seed", "5", "--json", "--out", &out];
    let summary = json(&[&["quantize", &narrow()], more, &few[..]].concat());
    let layers = summary["layers"].as_array().unwrap().iter();
    (fs::read(&out).unwrap(), layers.map(|layer| layer["sqnr_db"].as_f64().unwrap()).collect())
}

#[test]
fn they_are_what_quantize_generates() {
    let folder = tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let size = json(&["inspect", &text(crate::model()), "--json"])["image"][0].to_string();
    let make =
        ["make-images", "--count", "3", "--size", &size, "--seed", "5", "--out", &at("made")];
    fixnet(&make).assert().success();
    assert_eq!(names(folder.path()), ["made"]);
    let images = ["--calib", &at("made/calibration"), "--images", &at("made/comparison")];
    assert!(quantized(&images) == quantized(&[]));
}

#[test]
fn they_have_the_channels_and_the_size_that_are_asked_for() {
    let folder = tempdir().unwrap();
    for (channels, colour) in [("1", 0), ("3", 2), ("4", 6)] {
        let out = folder.path().join(channels);
        let size = ["--size", "5x7", "--channels", channels, "--count", "1"];
        fixnet(&[&["make-images", "--out", &text(&out)], &size[..]].concat()).assert().success();
        for kind in ["calibration", "comparison"] {
            // Of a PNG file, the header: width, height, depth and type of colour.
            let bytes = fs::read(out.join(kind).join("0000.png")).unwrap();
            assert_eq!(bytes[16..26], [0, 0, 0, 7, 0, 0, 0, 5, 8, colour]);
        }
    }
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    fs::write(at("kept"), "").unwrap();
    for (out, reason) in [(text(folder.path()), "not empty"), (at("no/where"), "No such file")] {
        let line = refusal(&["make-images", "--count", "1", "--size", "4", "--out", &out]);
        assert!(line.contains(&out) && line.contains(reason), "{line}");
    }
    for size in ["0", "4x0", "8193"] {
        let line = refusal(&["make-images", "--size", size, "--out", &at("x")]);
        assert!(line.contains("--size"), "{line}");
    }
    assert!(misuse(&["make-images", "--channels", "2", "--out", &at("x")]).contains("channels"));
    assert_eq!(names(folder.path()), ["kept"]);
}
