//! The program that a Linux board runs: built for the board's target, or given as a file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use object::{Architecture, Object};
use thiserror::Error;

use crate::boards::{firmware_folder, firmware_remedy};
use crate::files::{self, PROGRAM};
use crate::process::{ProcessError, last_line, run_limited};

/// Its name on the board.
pub const NAME: &str = "fixnet-board";
const PACKAGE: &str = "fixnet-linux-board";
/// A first build with the float network takes many minutes on a small machine.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Why there is no program for a board.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProgramError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: is a program for {found:?}, and the board needs one for {target}", path.display())]
    WrongMachine { path: PathBuf, found: Architecture, target: String },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("{NAME} was not built for {target}: {reason}; --program takes one that is built")]
    Failed { target: String, reason: String },
}

/// The command that builds the program for `target`.
#[must_use]
pub fn build_command(target: &str) -> Command {
    let mut command = Command::new(firmware_folder().join("cargo.sh"));
    command.args([target, "build", "--release", "--locked", "--quiet", "-p", PACKAGE]);
    if !target.starts_with("aarch64") {
        // The float network is for 64-bit boards.
        command.arg("--no-default-features");
    }
    command.env("CARGO_TARGET_DIR", target_folder());
    command
}

fn target_folder() -> PathBuf {
    firmware_folder().join("../target")
}

/// Builds the program for `target` and returns where it lies.
///
/// # Errors
/// [`ProgramError`] with the compiler's first error.
pub fn build(target: &str) -> Result<PathBuf, ProgramError> {
    let output = run_limited(build_command(target), TIME_LIMIT).map_err(|error| match error {
        ProcessError::NotFound { program } => ProgramError::Failed {
            target: target.to_string(),
            reason: format!("there is no {program}; {}", firmware_remedy()),
        },
        error => error.into(),
    })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let error = stderr.lines().find(|line| line.starts_with("error")).map(str::to_string);
        let reason = error.or_else(|| last_line(&output.stderr)).unwrap_or_default();
        return Err(ProgramError::Failed { target: target.to_string(), reason });
    }
    Ok(target_folder().join(target).join("release").join(NAME))
}

/// Reads a program and checks that it is one for `target`, a Rust target.
///
/// # Errors
/// [`ProgramError`].
pub fn read(path: &Path, target: &str) -> Result<Vec<u8>, ProgramError> {
    let unreadable = |reason: String| ProgramError::Unreadable { path: path.to_owned(), reason };
    let bytes = files::read(path, PROGRAM).map_err(|error| unreadable(error.to_string()))?;
    let file = object::File::parse(bytes.as_slice());
    let found = file.map_err(|_| unreadable("is no program (ELF)".to_string()))?.architecture();
    let right = match target.split('-').next() {
        Some("aarch64") => found == Architecture::Aarch64,
        Some("armv7") => found == Architecture::Arm,
        Some("x86_64") => found == Architecture::X86_64,
        _ => false,
    };
    match right {
        true => Ok(bytes),
        false => {
            Err(ProgramError::WrongMachine { path: path.to_owned(), found, target: target.into() })
        }
    }
}
