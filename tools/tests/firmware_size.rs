//! The minimal Cortex-M image: it holds no panic and no heap, and its code keeps the board's budget.
//!
//! Needs what `firmware/setup.sh` finds or installs; `FIXNET_NO_QEMU=1` leaves these tests out.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::boards::wanted;
use object::{Object, ObjectSymbol};
use tools::boards::Board;
use tools::firmware::{build_minimal, image_size};

/// One board of each target.
const BOARDS: [&str; 2] = ["qemu-mps2-an385", "qemu-mps2-an386"];
/// What the panic handler of `minimal` calls.
const MARK: &str = "fixnet_panic_is_reachable";

#[test]
fn minimal_images_hold_no_panic_and_no_heap_and_keep_the_budget_of_code() {
    for board in boards("the size of minimal images") {
        let elf = build(&board, &[]).unwrap_or_else(|e| panic!("{e}"));
        let bare_metal = board.bare_metal.as_ref().expect("a Cortex-M board");
        let model = fs::read(model()).expect("a stored model");
        let size = image_size(&elf, bare_metal.ram.expect("RAM"), &model).expect("an image");
        let budget = bare_metal.budget.code.expect("a budget of code");
        println!("{}: {} bytes of code of {budget}", board.name, size.code);
        assert!(size.code <= budget, "{}: {} bytes of code", board.name, size.code);
        let names = symbols(&elf);
        // The optimiser has not found out that nobody needs the result.
        assert!(names.iter().any(|name| name.contains("CLASS")), "{names:?}");
        assert!(names.iter().any(|name| name.contains("generic") && name.contains("conv")));
        let unwanted = ["panic", "begin_unwind", "alloc"];
        let is_unwanted = |name: &&String| unwanted.iter().any(|word| name.contains(word));
        let found: Vec<&String> = names.iter().filter(is_unwanted).collect();
        assert!(found.is_empty(), "{}: {found:?}", board.name);
    }
}

#[test]
fn an_image_that_can_panic_does_not_link() {
    for board in boards("the check for panics") {
        let error = build(&board, &["deliberate-panic"]).expect_err("a panic is reachable");
        assert!(error.to_string().contains(MARK), "{}: {error}", board.name);
    }
}

fn boards(what: &str) -> Vec<Board> {
    if !wanted(what) {
        return Vec::new();
    }
    BOARDS.iter().map(|name| Board::load(name).unwrap_or_else(|e| panic!("{e}"))).collect()
}

fn build(board: &Board, features: &[&str]) -> Result<Vec<u8>, tools::firmware::BuildError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("minimal.elf");
    build_minimal(board, &model(), features, &out)?;
    Ok(fs::read(&out).expect("the image that was built"))
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/golden/small.fxn")
}

fn symbols(elf: &[u8]) -> Vec<String> {
    let file = object::File::parse(elf).expect("an ELF file");
    file.symbols().filter_map(|symbol| Some(symbol.name().ok()?.to_string())).collect()
}
