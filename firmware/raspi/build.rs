//! Takes the board's figures from `boards/<name>/board.toml`; `FIXNET_BOARD` names it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

#[derive(Deserialize)]
struct Board {
    core: String,
    bare_metal: BareMetal,
}

#[derive(Deserialize)]
struct BareMetal {
    image: String,
    payload: Region,
    budget: Budget,
}

#[derive(Deserialize)]
struct Region {
    origin: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Budget {
    arena: u64,
}

fn main() {
    if let Err(message) = configure() {
        println!("cargo::error={message}");
    }
}

fn configure() -> Result<(), String> {
    let name = variable("FIXNET_BOARD", "name a folder of firmware/boards")?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../boards").join(&name).join("board.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let board: Board = toml::from_str(&text)
        .map_err(|e| format!("{}: no board for this image: {}", path.display(), e.message()))?;
    let BareMetal { image, payload, budget } = board.bare_metal;
    if image != "raspi" {
        return Err(format!("{}: board {name} runs the image {image}", path.display()));
    }
    let constants = format!(
        "pub const BOARD: &str = {name:?};\n\
         pub const CORE: &str = {core:?};\n\
         pub const PAYLOAD_ORIGIN: usize = {origin:#x};\n\
         pub const PAYLOAD_BYTES: usize = {bytes:#x};\n\
         pub const ARENA_BYTES: usize = {arena:#x};\n",
        core = board.core,
        origin = payload.origin,
        bytes = payload.bytes,
        arena = budget.arena,
    );
    let out = PathBuf::from(variable("OUT_DIR", "cargo sets it")?);
    fs::write(out.join("board.rs"), constants).map_err(|e| format!("board.rs: {e}"))?;
    let script = here.join("link.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    println!("cargo::rustc-link-arg-bins=--no-eh-frame-hdr");
    // Cortex-A53 MPCore Software Developers Errata Notice: a load or store behind an ADRP at the end
    // of a page might access a wrong address.
    println!("cargo::rustc-link-arg-bins=--fix-cortex-a53-843419");
    check_flags()
}

/// What `firmware/cargo.sh` asks of the compiler: speed of vectors, and right sums on the Pi 3.
fn check_flags() -> Result<(), String> {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS", "cargo sets it")?;
    let bare_metal = variable("CARGO_CFG_TARGET_OS", "cargo sets it")? == "none";
    let needed = ["-strict-align", "+fix-cortex-a53-835769"];
    match needed.iter().find(|feature| bare_metal && !flags.contains(**feature)) {
        Some(feature) => Err(format!(
            "RUSTFLAGS lack the target feature {feature}: build with firmware/cargo.sh, without \
             RUSTFLAGS of your own"
        )),
        None => Ok(()),
    }
}

fn variable(name: &str, remedy: &str) -> Result<String, String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).map_err(|_| format!("{name} is not set: {remedy}"))
}
