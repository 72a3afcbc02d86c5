//! A microcontroller behind a debug probe, by the program `probe-rs`.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use thiserror::Error;

use super::monitor::Lines;
use crate::process::{ProcessError, Stream, follow, run_limited};

/// Why a microcontroller was not flashed or did not report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    #[error("{0}; install it with `cargo install probe-rs-tools` (https://probe.rs)")]
    Missing(ProcessError),
    #[error(transparent)]
    Process(ProcessError),
    #[error("probe-rs: {reason}")]
    Failed { reason: String },
    #[error("no whole report within {} s; {}", limit.as_secs_f32(), said(last))]
    TimeLimit { limit: Duration, last: Option<String> },
}

fn said(last: &Option<String>) -> String {
    last.as_ref()
        .map_or_else(|| "nothing came".into(), |line| format!("the last line was `{line}`"))
}

impl From<ProcessError> for ProbeError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::NotFound { .. } => Self::Missing(error),
            error => Self::Process(error),
        }
    }
}

/// The commands that flash `elf` and start it.
#[must_use]
pub fn flash_commands(chip: &str, elf: &Path) -> [Command; 2] {
    let mut download = probe_rs("download", chip);
    download.arg("--disable-progressbars").arg(elf);
    [download, probe_rs("reset", chip)]
}

/// The command that flashes `elf`, starts it and prints its log, one message a line.
#[must_use]
pub fn monitor_command(chip: &str, elf: &Path) -> Command {
    let mut run = probe_rs("run", chip);
    run.args(["--disable-progressbars", "--no-location", "--log-format", "{s}"]).arg(elf);
    run
}

fn probe_rs(command: &str, chip: &str) -> Command {
    let mut probe_rs = Command::new("probe-rs");
    probe_rs.args([command, "--non-interactive", "--chip", chip]).env("NO_COLOR", "1");
    probe_rs
}

/// Flashes `elf` and starts it.
///
/// # Errors
/// [`ProbeError`], with what probe-rs says.
pub fn flash(chip: &str, elf: &Path, limit: Duration) -> Result<(), ProbeError> {
    for command in flash_commands(chip, elf) {
        let output = run_limited(command, limit)?;
        if !output.status.success() {
            return Err(failed(&output.stderr));
        }
    }
    Ok(())
}

/// Flashes `elf`, starts it and returns its report.
///
/// # Errors
/// As [`flash`], and if the report does not end within the time limit.
pub fn run(chip: &str, elf: &Path, limit: Duration) -> Result<String, ProbeError> {
    let mut lines = Lines::default();
    let mut stderr = Vec::new();
    let mut ended = false;
    let status = follow(monitor_command(chip, elf), Stdio::null(), limit, |stream, bytes| {
        match stream {
            Stream::Stderr => stderr.extend_from_slice(bytes),
            Stream::Stdout => ended = lines.push(bytes).is_break(),
        }
        if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match status {
        _ if ended => Ok(lines.text().to_string()),
        Err(ProcessError::TimeLimit { limit, .. }) => {
            Err(ProbeError::TimeLimit { limit, last: lines.last() })
        }
        Err(error) => Err(error.into()),
        Ok(status) if status.success() => Ok(lines.text().to_string()),
        Ok(_) => Err(failed(&stderr)),
    }
}

/// What probe-rs says, in one line without its decoration.
fn failed(stderr: &[u8]) -> ProbeError {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| line.trim().trim_start_matches("Error:").trim());
    let said: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let reason = if said.is_empty() { "it failed without a word".into() } else { said.join(" ") };
    ProbeError::Failed { reason }
}
