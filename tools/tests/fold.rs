//! Folding promises: the folded graph computes what the file computes, and merges all it may.

mod common;

use tools::import::{ImportOptions, load};
use tools::onnx_writer;

use common::*;

#[test]
fn real_networks_fold_exactly() {
    let Some(data) = data_folder("real_networks_fold_exactly") else { return };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    for name in [
        "resnet20-cifar10.onnx",
        "resnet56-cifar10.onnx",
        "resnet8-mlperf-tiny-float-bn.onnx",
        "resnet18-cifar10-64px.onnx.gz",
        "resnet50-imagenet-pruned-fp32.onnx.gz",
    ] {
        let path = real_model(&data, scratch.path(), name);
        let folded = assert_folds_exactly(&path, &ImportOptions::default());
        let copy = scratch.path().join("folded.onnx");
        std::fs::write(&copy, onnx_writer::to_bytes(&folded)).expect("a writable folder");
        let again = load(&copy, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        assert!(again.graph == folded, "{name}: written and read back is not the same graph");
    }
}
