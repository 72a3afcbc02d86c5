//! Runs the program for Linux boards in QEMU's user mode, which emulates a processor without a machine,
//! and counts the instructions between the marks that the program sets.
//!
//! What may not be broken: a count is of one thread between two marks, and the same in every run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use thiserror::Error;

use crate::boards::firmware_folder;
use crate::process::{ProcessError, last_line, run_limited};

const PROGRAM: &str = "qemu-aarch64";

/// One run of the program.
#[derive(Debug, Clone, Copy)]
pub struct LinuxEmulation<'a> {
    /// The processor, as QEMU names it.
    pub cpu: &'a str,
    /// The program for Linux boards.
    pub program: &'a Path,
    pub limit: Duration,
    /// An existing folder for files that only this run needs.
    pub scratch: &'a Path,
}

/// Why there is no output, or no count.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinuxError {
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("{0}; install it with firmware/setup.sh (Debian: apt-get install qemu-user)")]
    Missing(ProcessError),
    #[error(transparent)]
    Process(ProcessError),
    #[error("{path} was not compiled: {reason}")]
    Plugin { path: PathBuf, reason: String },
    #[error("{PROGRAM} ended with {status}: {said}")]
    Status { status: String, said: String },
    #[error("the program set {found} marks, and {expected} were expected")]
    Marks { found: usize, expected: usize },
}

impl LinuxEmulation<'_> {
    /// Runs the program with `args` and returns what it printed.
    ///
    /// # Errors
    /// [`LinuxError`]: also what the program itself refuses.
    pub fn run(&self, args: &[OsString]) -> Result<String, LinuxError> {
        self.printed(self.command(), args)
    }

    /// Runs the program with `args`, which make it set marks before and after each of `parts`; returns
    /// what it printed, and the instructions of each part.
    ///
    /// # Errors
    /// [`LinuxError`]: also what the program itself refuses.
    pub fn count(&self, args: &[OsString], parts: usize) -> Result<(String, Vec<u64>), LinuxError> {
        let plugin = self.plugin()?;
        let marks = self.scratch.join("marks");
        let mut option = plugin.into_os_string();
        option.push(",out=");
        option.push(&marks);
        let mut command = self.command();
        command.arg("-plugin").arg(option);
        let printed = self.printed(command, args)?;
        let text = fs::read_to_string(&marks)
            .map_err(|e| LinuxError::File { path: marks, reason: e.to_string() })?;
        let marks: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let (found, expected) = (marks.len(), parts * 2);
        if found != expected {
            return Err(LinuxError::Marks { found, expected });
        }
        Ok((printed, marks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["-cpu", self.cpu]);
        command
    }

    fn printed(&self, mut command: Command, args: &[OsString]) -> Result<String, LinuxError> {
        command.arg(self.program).args(args);
        let output = run_limited(command, self.limit).map_err(|error| match error {
            ProcessError::NotFound { .. } => LinuxError::Missing(error),
            _ => LinuxError::Process(error),
        })?;
        let Output { status, stdout, stderr } = output;
        if !status.success() {
            let said = last_line(&stderr).unwrap_or_else(|| "it said nothing".to_string());
            return Err(LinuxError::Status { status: status.to_string(), said });
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Compiles the plugin that counts, and returns where it lies.
    fn plugin(&self) -> Result<PathBuf, LinuxError> {
        let source = firmware_folder().join("count/count.c");
        let path = self.scratch.join("libcount.so");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-std=c11", "-O2", "-shared", "-fPIC", "-o"]).arg(&path).arg(&source);
        let output = run_limited(command, self.limit).map_err(LinuxError::Process)?;
        match output.status.success() {
            true => Ok(path),
            false => {
                let reason = last_line(&output.stderr).unwrap_or_default();
                Err(LinuxError::Plugin { path: source, reason })
            }
        }
    }
}
