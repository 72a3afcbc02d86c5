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
const BOARDS: [&str; 3] = ["qemu-mps2-an385", "qemu-mps2-an386", "qemu-mps2-an505"];
/// What names of functions of the fast kernels begin with.
const FAST: &str = "fixnet_m";
/// Bytes of all fast kernels of one target.
const FAST_BUDGET: usize = 40 << 10;
/// What the panic handler of `minimal` calls.
const MARK: &str = "fixnet_panic_is_reachable";

#[test]
fn minimal_images_hold_no_panic_and_no_heap_and_keep_the_budget_of_code() {
    for board in boards("the size of minimal images") {
        let elf = build(&board, &[]).unwrap_or_else(|e| panic!("{e}"));
        let code = code_bytes(&board, &elf);
        let budget = board.bare_metal.as_ref().and_then(|b| b.budget.code);
        let budget = budget.expect("a budget of code");
        println!("{}: {code} bytes of code of {budget}", board.name);
        assert!(code <= budget, "{}: {code} bytes of code", board.name);
        let names = symbols(&elf);
        assert!(names.iter().any(|name| name.contains("generic") && name.contains("conv")));
        check_symbols(&board, &names);
        // Nor the fast kernels, which it has no use for.
        assert!(!names.iter().any(|name| name.contains(FAST)), "{names:?}");
    }
}

#[test]
fn fast_kernels_hold_no_panic_and_keep_their_budget_of_code() {
    for board in boards("the size of fast kernels") {
        let without = build(&board, &[]).unwrap_or_else(|e| panic!("{e}"));
        let with = build(&board, &["cortex-m-kernels"]).unwrap_or_else(|e| panic!("{e}"));
        let names = symbols(&with);
        assert!(names.iter().any(|name| name.contains(FAST)), "{names:?}");
        check_symbols(&board, &names);
        let code = code_bytes(&board, &with) - code_bytes(&board, &without);
        println!("{}: {code} bytes of fast kernels of {FAST_BUDGET}", board.name);
        assert!(code < FAST_BUDGET, "{}: {code} bytes of fast kernels", board.name);
    }
}

#[test]
fn an_image_that_can_panic_does_not_link() {
    for board in boards("the check for panics") {
        let error = build(&board, &["deliberate-panic"]).expect_err("a panic is reachable");
        assert!(error.to_string().contains(MARK), "{}: {error}", board.name);
    }
}

/// Code and constants of an image that holds the model.
fn code_bytes(board: &Board, elf: &[u8]) -> usize {
    let bare_metal = board.bare_metal.as_ref().expect("a Cortex-M board");
    let model = fs::read(model()).expect("a stored model");
    image_size(elf, bare_metal.ram.expect("RAM"), &model).expect("an image").code
}

fn check_symbols(board: &Board, names: &[String]) {
    // The optimiser has not found out that nobody needs the result.
    assert!(names.iter().any(|name| name.contains("CLASS")), "{names:?}");
    let unwanted = ["panic", "begin_unwind", "alloc"];
    let is_unwanted = |name: &&String| unwanted.iter().any(|word| name.contains(word));
    let found: Vec<&String> = names.iter().filter(is_unwanted).collect();
    assert!(found.is_empty(), "{}: {found:?}", board.name);
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
