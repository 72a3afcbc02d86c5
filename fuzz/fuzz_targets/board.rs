//! Data of boards: `board.toml`, the report that a board prints, and images as linkers write them.

#![no_main]

use fixnet::Model;
use fixnet_fuzz::files::printed;
use libfuzzer_sys::fuzz_target;
use tools::boards::{Board, Region, fit_bare_metal};
use tools::firmware::{BoardReport, flat_binary, image_size};

fuzz_target!(|data: &[u8]| {
    let _ = flat_binary(data);
    let _ = image_size(data, Region { origin: 0x2000_0000, bytes: 1 << 17 }, b"FXN\x1a");
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = BoardReport::parse(text) {
        printed(&error);
    }
    let Ok(board) = Board::parse("fuzzed", text) else { return };
    let _ = (board.families(), board.emulator().is_ok(), board.emulated_as().is_some());
    let _ = (board.require_linux().is_ok(), board.require_bare_metal().is_ok());
    let file =
        fixnet::AlignedBytes::from_slice(include_bytes!("../../runtime/tests/golden/small.fxn"));
    let model = Model::new_checked(&file).expect("a good model");
    let _ = fit_bare_metal(&board, &model);
});
