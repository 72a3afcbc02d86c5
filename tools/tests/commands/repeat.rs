//! The same arguments give the same bytes and the same figures, on any number of threads.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::{fixnet, misuse, model, narrow, pictures, text};

/// More than one chunk of calibration images, and a last chunk that is not full.
const IMAGES: &str = "19";

/// The model file and all figures but the times.
fn quantized(threads: &str) -> (Vec<u8>, Value) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("x.fxn");
    let (narrow, file) = (narrow(), text(&out));
    let quantize =
        ["quantize", &narrow, "--calib-limit", IMAGES, "--limit", IMAGES, "--out", &file];
    let output = fixnet(&quantize).args(["--threads", threads, "--json"]).output().unwrap();
    let mut figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    figures["file"].take();
    for layer in figures["layers"].as_array_mut().unwrap() {
        layer["ns"].take();
    }
    (fs::read(&out).unwrap(), figures)
}

#[test]
fn quantizing_twice_gives_the_same_bytes_and_figures() {
    let once = quantized("1");
    assert_eq!(quantized("1"), once);
    assert_eq!(quantized("3"), once);
}

/// What `compare` prints, byte for byte.
fn compared(images: &str, threads: &[&str]) -> Vec<u8> {
    let (narrow, file) = (narrow(), text(model()));
    let compare = ["compare", &narrow, &file, "--images", images, "--layer-images", "4", "--json"];
    let output = fixnet(&[&compare[..], threads].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn comparing_gives_the_same_figures_on_any_number_of_threads() {
    let folder = pictures(13);
    let images = text(folder.path());
    let once = compared(&images, &["--threads", "1"]);
    assert_eq!(compared(&images, &["--threads", "3"]), once);
    assert_eq!(compared(&images, &[]), once);
}

#[test]
fn a_number_of_threads_that_no_machine_has_is_refused() {
    for threads in ["0", "1000000000", "all"] {
        misuse(&["compare", &narrow(), &text(model()), "--threads", threads]);
        misuse(&["quantize", "--threads", threads]);
    }
}
