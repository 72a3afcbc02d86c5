//! Takes the board, the model and the inputs from the environment.
//!
//! `FIXNET_BOARD` names a folder of `boards/`, whose `memory.x` the linker reads. `FIXNET_MODEL` is
//! a model file, `FIXNET_INPUTS` a file of raw RGB images one after the other; both go into flash.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    if let Err(message) = configure() {
        println!("cargo::error={message}");
    }
}

fn configure() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR", "cargo sets it")?);
    let board = variable("FIXNET_BOARD", "name a folder of firmware/boards")?;
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
    copy(&boards.join(&board).join("memory.x"), &out.join("memory.x"))?;
    for name in ["FIXNET_MODEL", "FIXNET_INPUTS"] {
        let file = variable(name, "give the absolute path of a file")?;
        let path = Path::new(&file).canonicalize().map_err(|e| format!("{name}: {file}: {e}"))?;
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-env={name}={}", path.display());
    }
    println!("cargo::rustc-env=FIXNET_BOARD={board}");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    Ok(())
}

fn variable(name: &str, remedy: &str) -> Result<String, String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).map_err(|_| format!("{name} is not set: {remedy}"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", from.display());
    fs::copy(from, to).map(drop).map_err(|e| format!("{}: {e}", from.display()))
}
