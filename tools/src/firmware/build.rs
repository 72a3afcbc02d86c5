//! Builds a board's image with the compiler that `firmware/setup.sh` finds.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::boards::{BareMetal, Board, BoardError, Image, firmware_folder, firmware_remedy};

/// Where an image's report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// To the emulator, which also learns the exit code.
    Emulator,
    /// To the board's own console: RTT on microcontrollers, the UART on a Raspberry Pi.
    Board,
}

/// Why an image could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{what} was not built: {reason}")]
    Failed { what: String, reason: String },
}

/// Builds the image for `board` and writes it, an ELF file, to `out`. A `payload` file goes into the
/// image's flash; without one the image looks for it in the board's payload memory.
///
/// # Errors
/// [`BuildError`], with what the compiler said last.
pub fn build(
    board: &Board,
    payload: Option<&Path>,
    console: Console,
    out: &Path,
) -> Result<(), BuildError> {
    let bare_metal = board.require_bare_metal()?;
    let program = bare_metal.image.package();
    let mut command = command(board, bare_metal, program);
    if let Some(payload) = payload {
        command.env("FIXNET_PAYLOAD", payload);
    }
    match (console, bare_metal.image) {
        (Console::Emulator, _) => command.args(["--features", "semihosting"]),
        (Console::Board, Image::CortexM) => command.args(["--features", "rtt"]),
        (Console::Board, Image::Raspi) => &mut command,
    };
    finish(command, board, bare_metal, program, out)
}

/// Builds the smallest image for `board`, a Cortex-M, around a model file and writes it, an ELF file,
/// to `out`: what the budget of code is about. It has no console, and does not link if it holds a
/// panic; `features` are those of its crate.
///
/// # Errors
/// As [`build`].
pub fn build_minimal(
    board: &Board,
    model: &Path,
    features: &[&str],
    out: &Path,
) -> Result<(), BuildError> {
    let bare_metal = board.require_bare_metal()?;
    if bare_metal.image != Image::CortexM {
        let reason = "only Cortex-M boards have a minimal image".to_string();
        return Err(BuildError::Failed { what: board.name.clone(), reason });
    }
    let mut command = command(board, bare_metal, MINIMAL);
    let features = [&[MINIMAL], features].concat().join(",");
    command.env("FIXNET_MODEL", model).args(["--features", &features]);
    finish(command, board, bare_metal, MINIMAL, out)
}

/// The program of the smallest image, and the feature that asks for it.
const MINIMAL: &str = "minimal";

/// Runs a build and copies the program that it made.
fn finish(
    mut command: Command,
    board: &Board,
    bare_metal: &BareMetal,
    program: &str,
    out: &Path,
) -> Result<(), BuildError> {
    let target_folder = target_folder();
    command.env("CARGO_TARGET_DIR", &target_folder);
    // Boards of one target share the path of the image: from building to copying it is ours alone.
    let lock = lock(&target_folder)?;
    run(command, &board.name)?;
    let built = target_folder.join(&bare_metal.target).join("release").join(program);
    fs::copy(&built, out).map_err(|source| BuildError::Io { path: built, source })?;
    drop(lock);
    Ok(())
}

/// Where images are built: `FIXNET_FIRMWARE_TARGET`, else `firmware/target`.
fn target_folder() -> PathBuf {
    match std::env::var_os("FIXNET_FIRMWARE_TARGET") {
        Some(folder) => PathBuf::from(folder),
        None => firmware_folder().join("target"),
    }
}

/// Builds a program of the firmware workspace that runs on this machine, and returns its path.
///
/// # Errors
/// [`BuildError`].
pub fn host_program(package: &str) -> Result<PathBuf, BuildError> {
    let target_folder = target_folder();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--locked", "--quiet", "--package", package, "--manifest-path"])
        .arg(firmware_folder().join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target_folder);
    run(command, package)?;
    let name = format!("{package}{}", std::env::consts::EXE_SUFFIX);
    Ok(target_folder.join("debug").join(name))
}

fn lock(target_folder: &Path) -> Result<File, BuildError> {
    let path = target_folder.join("image.lock");
    let locked = || {
        fs::create_dir_all(target_folder)?;
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| BuildError::Io { path: path.clone(), source })
}

fn command(board: &Board, bare_metal: &BareMetal, program: &str) -> Command {
    let mut command = Command::new(firmware_folder().join("cargo.sh"));
    command
        .args([bare_metal.target.as_str(), "build", "--release", "--locked", "--quiet"])
        .args(["--package", bare_metal.image.package(), "--bin", program])
        .env("FIXNET_BOARD", &board.name)
        // Flags for the host are not for the board.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("FIXNET_PAYLOAD")
        .env_remove("FIXNET_MODEL");
    command
}

fn run(mut command: Command, what: &str) -> Result<(), BuildError> {
    let failed = |reason: String| BuildError::Failed { what: what.to_string(), reason };
    let output = command.output().map_err(|e| {
        let program = command.get_program().display();
        failed(format!("{program} does not start: {e}; {}", firmware_remedy()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The linker's own words stand in a note.
    let tells = |line: &&str| line.starts_with("error") || line.contains(": error: ");
    let errors = stderr.lines().map(str::trim).filter(tells);
    let reason = errors.take(3).collect::<Vec<_>>().join("; ");
    Err(failed(if reason.is_empty() { stderr.trim().to_string() } else { reason }))
}
