//! The same arguments give the same bytes and the same figures, on any number of threads.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::{fixnet, quantize_args};

/// The model file and all figures but the times.
fn quantized(threads: &str) -> (Vec<u8>, Value) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("x.fxn");
    let mut command = fixnet(&quantize_args(&out));
    let output = command.arg("--json").env("RAYON_NUM_THREADS", threads).output().unwrap();
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
    assert_eq!(quantized("2"), once);
}
