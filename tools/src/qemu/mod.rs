//! Runs a board's image in QEMU, under a time limit, and reads its report.
//!
//! What may not be broken: emulated time says nothing about the real board; only the count of
//! instructions, with [`Emulation::count`], is the same in every run.

mod linux;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use thiserror::Error;

use crate::boards::{Board, BoardError, Image, Qemu};
use crate::files;
use crate::firmware::{
    BoardReport, DecodeError, FlatBinaryError, ReportError, console_text, flat_binary,
};
use crate::process::{ProcessError, last_line, run_limited};

pub use linux::{LinuxEmulation, LinuxError};

/// One run of an image.
#[derive(Debug)]
pub struct Emulation<'a> {
    pub board: &'a Board,
    /// The image, an ELF file.
    pub elf: &'a Path,
    /// What lies in the board's payload memory.
    pub payload: Option<&'a Path>,
    /// Let the guest's clock follow the instructions it executes.
    pub count: bool,
    pub limit: Duration,
    /// An existing folder for files that only this run needs.
    pub scratch: &'a Path,
}

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QemuError {
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("{path}: {source}")]
    Flat { path: PathBuf, source: FlatBinaryError },
    #[error("board {board} has no memory for a model outside of its image")]
    NoPayloadMemory { board: String },
    #[error("{0}; install it with firmware/setup.sh (Debian: apt-get install qemu-system-arm)")]
    Missing(ProcessError),
    #[error(transparent)]
    Process(ProcessError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{error}{}", said(qemu))]
    Report { error: ReportError, qemu: Option<String> },
    #[error("{program} ended with {status}{}", said(qemu))]
    Status { program: &'static str, status: String, qemu: Option<String> },
}

fn said(qemu: &Option<String>) -> String {
    qemu.as_ref().map(|line| format!(" (QEMU says: {line})")).unwrap_or_default()
}

impl Emulation<'_> {
    /// Runs the image to its end.
    ///
    /// # Errors
    /// [`QemuError`]: also what the board itself refuses.
    pub fn run(&self) -> Result<BoardReport, QemuError> {
        let text = self.console()?;
        let (text, status, qemu) = text;
        match BoardReport::parse(&text) {
            Ok(report) if status.is_none() => Ok(report),
            Ok(_) => {
                let (program, status) = (self.program()?, status.unwrap_or_default());
                Err(QemuError::Status { program, status, qemu })
            }
            Err(error) => Err(QemuError::Report { error, qemu }),
        }
    }

    /// Runs the image and returns the lines it printed, QEMU's status if it is none of success, and
    /// the last words of QEMU itself.
    fn console(&self) -> Result<(String, Option<String>, Option<String>), QemuError> {
        let output = self.execute()?;
        let console = self.scratch.join("console");
        let file =
            |e: std::io::Error| QemuError::File { path: console.clone(), reason: e.to_string() };
        fs::write(&console, &output.stdout).map_err(file)?;
        let text = console_text(self.elf, &console)?;
        let status = (!output.status.success()).then(|| output.status.to_string());
        Ok((text, status, last_line(&output.stderr)))
    }

    fn execute(&self) -> Result<Output, QemuError> {
        run_limited(self.command()?, self.limit).map_err(|error| match error {
            ProcessError::NotFound { .. } => QemuError::Missing(error),
            _ => QemuError::Process(error),
        })
    }

    fn program(&self) -> Result<&'static str, QemuError> {
        Ok(match self.board.require_bare_metal()?.image {
            Image::CortexM => "qemu-system-arm",
            Image::Raspi => "qemu-system-aarch64",
        })
    }

    /// QEMU with all its arguments.
    fn command(&self) -> Result<Command, QemuError> {
        let Qemu { machine, .. } = self.board.require_qemu()?;
        let bare_metal = self.board.require_bare_metal()?;
        let mut command = Command::new(self.program()?);
        command
            .args(["-machine", machine, "-display", "none", "-monitor", "none"])
            .args(["-semihosting-config", "enable=on,target=native"]);
        match bare_metal.image {
            Image::CortexM => {
                command.args(["-serial", "none", "-kernel"]).arg(self.elf);
            }
            Image::Raspi => {
                // The flat image starts as on the board, an ELF file at a higher exception level.
                command.args(["-serial", "stdio", "-kernel"]).arg(self.kernel()?);
            }
        }
        if let Some(payload) = self.payload {
            let board = || self.board.name.clone();
            let region = bare_metal.payload;
            let region = region.ok_or_else(|| QemuError::NoPayloadMemory { board: board() })?;
            command.arg("-device").arg(loader(payload, region.origin));
        }
        if self.count {
            command.args(["-icount", "shift=0,align=off,sleep=off"]);
        }
        Ok(command)
    }

    /// The flat image that a Raspberry Pi loads.
    fn kernel(&self) -> Result<PathBuf, QemuError> {
        let unreadable = |path: &Path, e: std::io::Error| QemuError::File {
            path: path.to_path_buf(),
            reason: e.to_string(),
        };
        let elf = files::read(self.elf, files::PROGRAM).map_err(|e| unreadable(self.elf, e))?;
        let flat = flat_binary(&elf)
            .map_err(|source| QemuError::Flat { path: self.elf.to_path_buf(), source })?;
        let path = self.scratch.join("kernel8.img");
        fs::write(&path, flat).map_err(|e| unreadable(&path, e))?;
        Ok(path)
    }
}

/// The option that puts a file into the guest's memory; QEMU wants commas doubled.
fn loader(file: &Path, origin: u64) -> OsString {
    let file = file.to_string_lossy().replace(',', ",,");
    format!("loader,file={file},addr={origin:#x},force-raw=on").into()
}
