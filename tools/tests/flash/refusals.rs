//! Wrong boards, flags and models.

use std::fs;

use fixnet::format::CRC32;

use super::{fixnet, flash, model_bytes, refusal, text};

#[test]
fn an_unknown_board_gets_the_names_of_all() {
    let line = refusal(&mut flash("raspberry-pi-9", &[]));
    assert!(line.contains("raspberry-pi-9") && line.contains("raspberry-pi-4"), "{line}");
}

#[test]
fn a_board_without_its_flags_is_told_what_it_needs() {
    for (board, args, parts) in [
        ("raspberry-pi-3", &[][..], &["--firmware-dir", "--host", "--image"][..]),
        ("raspberry-pi-3", &["--out", "x.img"], &["--firmware-dir", "--image"]),
        ("jetson-nano", &["--out", "x.img", "--firmware-dir", "."], &["--host", "--image"]),
        ("jetson-nano", &["--image", "os.img"], &["--out card.img"]),
        ("nucleo-f446re", &["--host", "pi"], &["debug probe"]),
        ("qemu-mps2-an386", &[], &["fixnet qemu --board qemu-mps2-an386"]),
    ] {
        let line = refusal(&mut flash(board, args));
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn a_monitor_that_could_not_see_the_board_is_refused_before_anything_else() {
    let card = ["--firmware-dir", ".", "--out", "x.img", "--monitor"];
    assert!(refusal(&mut flash("raspberry-pi-3", &card)).contains("--serial"));
    let image = ["--image", "os.img", "--out", "x.img", "--monitor"];
    assert!(refusal(&mut flash("raspberry-pi-3", &image)).contains("--host"));
}

#[test]
fn a_model_packed_for_another_target_is_refused() {
    const TARGET_AT: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.fxn");
    let mut bytes = model_bytes();
    let bytes = bytes.as_mut_slice();
    bytes[TARGET_AT] = 7;
    let plan = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    let crc32 = CRC32.checksum(&bytes[16..plan]);
    bytes[12..16].copy_from_slice(&crc32.to_le_bytes());
    fs::write(&path, &*bytes).unwrap();
    let line = refusal(&mut fixnet(&["flash", "--board", "nucleo-f446re", text(&path)]));
    assert!(line.contains("packed for target 7") && line.contains("fixnet quantize"), "{line}");
}

#[test]
fn a_damaged_and_a_missing_model_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.fxn");
    fs::write(&path, &model_bytes()[..1000]).unwrap();
    for (path, part) in [(path, "cut.fxn"), (folder.path().join("none.fxn"), "none.fxn")] {
        let line = refusal(&mut fixnet(&["flash", "--board", "nucleo-f446re", text(&path)]));
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_both_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let (onnx, path) = (folder.path().join("large.onnx"), folder.path().join("large.fxn"));
    let make =
        ["make-model", "resnet18", "--input-size", "64", "--seed", "0", "--out", text(&onnx)];
    super::success(&mut fixnet(&make));
    let quantize = ["quantize", text(&onnx), "--calib-limit", "1", "--no-compare", "--out"];
    super::success(fixnet(&quantize).arg(&path));
    let line = refusal(&mut fixnet(&["flash", "--board", "nucleo-f446re", text(&path)]));
    assert!(line.contains("needs") && line.contains("available"), "{line}");
}
