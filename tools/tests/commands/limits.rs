//! How much work and memory a model file may ask for, and what is said of it for other machines.

use std::fs;

use fixnet::KernelFamily;
use fixnet::format::{CRC32, Header};
use tempfile::tempdir;

use crate::common::onnx::{Model, int};
use crate::{fixnet, json, model, narrow, pictures, quantize_args, refusal, text};

/// The limit is exact in every command that reads a model file; what is refused is named, with the
/// figures and the flag.
#[test]
fn work_beyond_max_macs_is_refused_by_every_command() {
    let (file, folder) = (text(model()), pictures(1));
    let (image, out) = (text(&folder.path().join("0.png")), text(&folder.path().join("out.fxn")));
    let macs = json(&["inspect", "--json", &file])["macs"].as_u64().unwrap();
    let commands: [&[&str]; 8] = [
        &["inspect", &file],
        &["run", &file, &image],
        &["bench", &file, "--runs", "1"],
        &["compare", &narrow(), &file, "--limit", "1"],
        &["pack", &file, "--target", "portable", "--out", &out],
        &["boards", &file, "--board", "raspberry-pi-4"],
        &["qemu", "--board", "qemu-mps2-an386", &file],
        &["flash", "--board", "nucleo-f446re", "--dry-run", &file],
    ];
    let less = (macs - 1).to_string();
    for command in commands {
        let line = refusal(&[command, &["--max-macs", &less]].concat());
        assert!(line.starts_with(&format!("error: {file}: ")), "{line}");
        let figures = format!("{macs} multiply-accumulates and the limit is {less}");
        assert!(line.contains(&figures), "{line}");
        assert!(line.ends_with(&format!("; --max-macs {macs} accepts it")), "{line}");
    }
    let exact = macs.to_string();
    for command in &commands[..6] {
        fixnet(&[command, &["--max-macs", &exact][..]].concat()).assert().success();
    }
}

/// Before an image is read, too: there are none where it says.
#[test]
fn a_network_beyond_max_macs_is_refused_before_anything_is_read_or_written() {
    let folder = tempdir().unwrap();
    let (out, images) = (folder.path().join("out.fxn"), text(&folder.path().join("absent")));
    let mut args = quantize_args(&out);
    args.extend(["--max-macs", "1000", "--calib", &images].map(String::from));
    let line = refusal(&args);
    assert!(line.contains("the limit is 1000; --max-macs "), "{line}");
    assert!(!out.exists());
}

#[test]
fn boards_do_not_take_a_larger_limit_than_their_programs() {
    let macs = ((1_u64 << 36) + 1).to_string();
    let args = ["flash", "--board", "nucleo-f446re", "--dry-run", &text(model())];
    let line = refusal(&[&args[..], &["--max-macs", &macs]].concat());
    assert!(line.contains(&(1_u64 << 36).to_string()), "{line}");
}

/// A small file that asks for an arena of 4 GiB is refused, and ends no command.
#[test]
fn an_arena_of_4_gib_is_refused() {
    let mut file = fs::read(model()).unwrap();
    let plan = u32::from_le_bytes(file[16..20].try_into().unwrap()) as usize;
    let at = std::mem::offset_of!(Header, arena_bytes);
    file[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = CRC32.checksum(&file[16..plan]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
    let folder = pictures(1);
    let (path, image) = (folder.path().join("large.fxn"), folder.path().join("0.png"));
    fs::write(&path, file).unwrap();
    let (path, image) = (text(&path), text(&image));
    for args in [&["run", &path, &image][..], &["bench", &path], &["inspect", &path]] {
        let line = refusal(args);
        assert!(line.contains(&path) && line.contains("4294967295 bytes"), "{line}");
    }
}

/// An image, and what makes a constant or a map of 2^40 elements of it.
fn vast() -> [(&'static str, Model); 5] {
    let image = || Model::new(13, &[1, 3, 16, 16]).ints("axes", &[1, 1]);
    let mean = || image().node("ReduceMean", &["x"], "mean", &[]);
    let scalar = || mean().node("Reshape", &["mean", "axes"], "one", &[]);
    let sides = || scalar().ints("sides", &[1 << 20, 1 << 20]);
    let doubled = (0..40).fold(scalar(), |model, n| {
        let input = if n == 0 { "one".to_string() } else { format!("c{}", n - 1) };
        model.node("Concat", &[&input, &input], &format!("c{n}"), &[int("axis", 1)])
    });
    let row = sides().ints("row", &[1, 1 << 20]).ints("column", &[1 << 20, 1]);
    [
        (
            "a constant",
            sides().node("ConstantOfShape", &["sides"], "zeros", &[]).node(
                "Add",
                &["one", "zeros"],
                "y",
                &[],
            ),
        ),
        ("expanded", sides().node("Expand", &["one", "sides"], "y", &[])),
        ("tiled", sides().node("Tile", &["one", "sides"], "y", &[])),
        ("doubled", doubled.node("Relu", &["c39"], "y", &[])),
        (
            "a product",
            row.node("Expand", &["one", "row"], "a", &[])
                .node("Expand", &["one", "column"], "b", &[])
                .node("Add", &["a", "b"], "y", &[]),
        ),
    ]
}

/// What a few bytes of ONNX ask for is known before tract allocates it.
#[test]
fn tensors_of_any_size_are_refused_before_tract_makes_them() {
    for (name, model) in vast() {
        let folder = tempdir().unwrap();
        let path = text(&model.output("y").save(folder.path()));
        let line = refusal(&["quantize", &path, "--fallback", "tract"]);
        assert!(line.contains(&path) && line.contains("too large"), "{name}: {line}");
    }
}

/// A plan can be made for the kernels of any machine, whatever this one has.
#[test]
fn inspect_plans_for_every_family_of_kernels() {
    let file = text(model());
    let bytes = fixnet::AlignedBytes::from_slice(&fs::read(model()).unwrap());
    let fxn = fixnet::Model::new_checked(&bytes).unwrap();
    for family in KernelFamily::ALL {
        let plan = json(&["inspect", "--json", "--kernels", family.name(), &file]);
        let required = fxn.required_by_family(family, 1);
        assert_eq!(plan["kernels"], family.name());
        assert_eq!(plan["arena_bytes"], required.arena());
        assert_eq!(plan["scratch_bytes"], required.scratch);
    }
    let folder = tempdir().unwrap();
    let packed = text(&folder.path().join("packed.fxn"));
    fixnet(&["pack", &file, "--target", "cortex-m4", "--out", &packed]).assert().success();
    let line = refusal(&["inspect", "--kernels", "avx2", &packed]);
    assert!(line.contains(&packed) && line.contains("packed for cortex-m4"), "{line}");
}
