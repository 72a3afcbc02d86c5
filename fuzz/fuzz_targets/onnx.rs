//! ONNX import, as far as no float network runs: check, import, fold, lower.

#![no_main]

use std::path::Path;

use fixnet_fuzz::files::check_error;
use fixnet_fuzz::onnx::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tools::import::{ImportOptions, OnnxFile};

fuzz_target!(|data: &[u8]| {
    // External data would lie in a folder that does not exist.
    let path = Path::new("/nowhere/model.onnx");
    let options = ImportOptions::default();
    let file = match OnnxFile::parse(path, data) {
        Ok(file) => file,
        Err(error) => return check_error(&error, path),
    };
    let checked = file.check(&options);
    let imported = match file.import(&options) {
        Ok(imported) => imported,
        Err(error) => return check_error(&error, path),
    };
    let checked = checked.expect("what is imported is checked");
    for node in checked.nodes.iter().filter(|node| !node.verdict.is_supported()) {
        panic!("imported, although check refuses {node:?}");
    }
    let Ok(folded) = tools::fold::fold(&imported.graph) else { return };
    assert_eq!(tools::fold::fold(&folded).as_ref(), Ok(&folded), "folding again changes more");
    let _ = tools::lower::lower(&folded);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed.is_multiple_of(5) { None } else { mutate(&data[..size], seed / 5) };
    match changed {
        Some(bytes) if bytes.len() <= max_size => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
