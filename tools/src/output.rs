//! What the program prints. Figures go to standard output, everything else to standard error, and text
//! that others wrote never reaches a terminal as more than text (`printable`). Standard output may be
//! full or closed, which is no reason to panic.

mod printable;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use thiserror::Error;

pub use printable::{escaped, line, name};

/// Why nothing was printed: one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrintError {
    #[error("standard output cannot be written; is the disk full?: {0}")]
    StandardOutput(io::Error),
    #[error("standard error cannot be written: {0}")]
    StandardError(io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Whether a result takes standard output, and what is printed goes to standard error.
static TO_STDERR: AtomicBool = AtomicBool::new(false);

/// Sends to standard error what [`print()`] would write, from now on.
pub fn print_to_stderr() {
    TO_STDERR.store(true, Ordering::Relaxed);
}

/// Whether what is printed may be bold: on a terminal that shows it, unless `NO_COLOR` is set
/// (no-color.org).
#[must_use]
pub fn is_styled() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal() && !set("NO_COLOR") && !dumb
}

/// Columns of a line: those of the terminal, or as many as `COLUMNS` says; `None` where there is no
/// edge.
#[must_use]
pub fn columns() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    let asked = asked.filter(|&columns: &usize| columns > 0);
    asked.or_else(|| comfy_table::Table::new().width().filter(|_| is_terminal()).map(usize::from))
}

fn is_terminal() -> bool {
    match TO_STDERR.load(Ordering::Relaxed) {
        true => io::stderr().is_terminal(),
        false => io::stdout().is_terminal(),
    }
}

/// Writes `text` to standard output. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// One line, if standard output cannot be written.
pub fn print(text: &str) -> Result<(), PrintError> {
    let text = printable::page(text, is_styled());
    if TO_STDERR.load(Ordering::Relaxed) {
        return io::stderr().write_all(text.as_bytes()).map_err(PrintError::StandardError);
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(PrintError::StandardOutput),
    }
}

/// Writes `value` to standard output as indented JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> Result<(), PrintError> {
    let json = serde_json::to_string_pretty(value)?;
    print(&format!("{}\n", printable::json(&json)))
}

/// Writes a line to standard error.
pub fn note(text: &str) {
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{}", line(text));
}

/// Writes a line to standard error that tells of something that is maybe not as it should be.
pub fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// Writes a line to standard error that tells why the program ends.
pub fn error(text: &str) {
    note(&format!("error: {text}"));
}
