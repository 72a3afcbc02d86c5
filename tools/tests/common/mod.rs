//! What the tests of the float side share: tract as the judge, and the folder of real networks.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod boards;
pub mod onnx;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tools::fold::fold;
use tools::graph::{Graph, InputLayout};
use tools::import::{self, ImportOptions, ImportedGraph, OnnxFile};
use tools::onnx_writer;
use tract_onnx::prelude::*;

/// Uniform values in -2..2, the same on every machine.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 22) as f32 - 2.0).collect()
}

/// Runs `model` up to its tensor `output`.
fn run(mut model: InferenceModel, shape: &[usize], output: &str, image: &[f32]) -> Vec<f32> {
    let input = Tensor::from_shape(shape, image).expect("an image of the input's size");
    model.select_outputs_by_name([output]).expect("the tensor exists");
    let plan = model
        .with_input_fact(0, f32::fact(shape).into())
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .expect("tract takes the model");
    let result = plan.run(tvec!(input.into())).expect("tract runs the model");
    result[0].view().as_slice::<f32>().expect("floats").to_vec()
}

/// Logits of the ONNX file at `path`, in its canonical form, as tract computes them.
pub fn run_file(path: &Path, imported: &ImportedGraph, image: &[f32]) -> Vec<f32> {
    let proto = OnnxFile::open(path).and_then(OnnxFile::into_proto);
    let proto = proto.unwrap_or_else(|e| panic!("{e}"));
    let model = tract_onnx::onnx().parse(&proto, None).expect("tract reads the file").model;
    run(model, &imported.input_shape, &imported.outputs[0].tensor, image)
}

/// Logits of `graph`, written as ONNX, as tract computes them.
pub fn run_graph(graph: &Graph, image: &[f32]) -> Vec<f32> {
    let bytes = onnx_writer::to_bytes(graph);
    let model = tract_onnx::onnx().model_for_read(&mut bytes.as_slice()).expect("readable");
    let mut shape = graph.shape(graph.input).to_vec();
    if graph.input_layout == InputLayout::Nhwc {
        shape.rotate_left(1);
    }
    shape.insert(0, 1);
    run(model, &shape, &graph.values[graph.outputs[0].value].name, image)
}

/// Largest difference of two vectors of logits, relative to the largest logit.
pub fn relative_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let largest = left.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = left.iter().zip(right).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest.is_finite() && difference.is_finite());
    difference / largest.max(f32::MIN_POSITIVE)
}

/// Asserts that the file at `path` and its folded graph agree, and that folding left no batch norm.
pub fn assert_folds_exactly(path: &Path, options: &ImportOptions) -> Graph {
    let imported = import::load(path, options).unwrap_or_else(|e| panic!("{e}"));
    let folded = fold(&imported.graph).expect("finite statistics");
    for seed in 0..2 {
        let image = noise(seed, imported.input_shape.iter().product());
        let original = run_file(path, &imported, &image);
        let difference = relative_difference(&original, &run_graph(&folded, &image));
        assert!(difference < 1e-4, "{}: folded differs by {difference}", path.display());
    }
    folded
}

/// Writes `graph` as an ONNX file into `folder`.
pub fn write_model(folder: &Path, graph: &Graph) -> PathBuf {
    let path = folder.join("model.onnx");
    std::fs::write(&path, onnx_writer::to_bytes(graph)).expect("a writable folder");
    path
}

/// The folder of real networks and images: `FIXNET_DATA`, or `shared/data` beside the repository.
/// Says loudly if there is none.
pub fn data_folder(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("FIXNET_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    tell(&format!("!!! {test} DID NOT RUN: no folder {} (set FIXNET_DATA)", folder.display()));
    None
}

/// Writes a line to standard error; unlike `eprintln`, past the test runner, which hides what a
/// passing test prints.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The real network `name`, unpacked into `scratch` if it is compressed.
pub fn real_model(data: &Path, scratch: &Path, name: &str) -> PathBuf {
    let path = data.join("models").join(name);
    let Some(stem) = name.strip_suffix(".gz") else { return path };
    let packed = std::fs::File::open(&path).expect("a file of the data folder");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("a whole gzip file");
    let unpacked = scratch.join(stem);
    std::fs::write(&unpacked, bytes).expect("a writable folder");
    unpacked
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
