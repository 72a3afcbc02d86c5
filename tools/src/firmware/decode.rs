//! The console of an image as text: defmt frames are decoded by `firmware/decode`, all else is text already.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use object::{Object, ObjectSection};
use thiserror::Error;

use super::build::{BuildError, host_program};
use crate::process::{ProcessError, last_line, run_limited_with};

/// Decoding takes milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Why a console's bytes cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("{path}: {reason}")]
    Image { path: PathBuf, reason: String },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the image's log cannot be decoded: {reason}")]
    Damaged { reason: String },
}

/// What the image in the file `elf` wrote to the file `console`, as text.
///
/// # Errors
/// [`DecodeError`].
pub fn console_text(elf: &Path, console: &Path) -> Result<String, DecodeError> {
    let unreadable = |path: &Path, reason: String| DecodeError::Image { path: path.into(), reason };
    if !has_defmt(elf).map_err(|reason| unreadable(elf, reason))? {
        let bytes = std::fs::read(console).map_err(|e| unreadable(console, e.to_string()))?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let decoder = host_program("fixnet-decode")?;
    let frames = File::open(console).map_err(|e| unreadable(console, e.to_string()))?;
    let mut command = Command::new(decoder);
    command.arg(elf);
    let output = run_limited_with(command, Stdio::from(frames), TIME_LIMIT)?;
    if !output.status.success() {
        let reason = last_line(&output.stderr).unwrap_or_default();
        return Err(DecodeError::Damaged { reason });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether an ELF file holds a table of defmt's strings.
fn has_defmt(elf: &Path) -> Result<bool, String> {
    let bytes = crate::files::read(elf, crate::files::PROGRAM).map_err(|e| e.to_string())?;
    let file = object::File::parse(bytes.as_slice()).map_err(|e| e.to_string())?;
    Ok(file.sections().any(|section| section.name() == Ok(".defmt")))
}
