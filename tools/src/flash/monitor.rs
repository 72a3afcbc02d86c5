//! Reads a board's report from its serial console.
//!
//! A terminal device is set to 115,200 baud, 8 data bits, no parity, one stop bit, as the images use
//! it; anything else that can be read, a file or a named pipe, is read as it is.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{ControlModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use thiserror::Error;

const BAUD: u32 = 115_200;
/// A report has some hundred lines; a console that never stops talking is not one of ours.
const MAX_BYTES: usize = 16 << 20;

/// Why a report was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MonitorError {
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
    #[error(
        "{}: no whole report within {} s; {}", path.display(), limit.as_secs_f32(), said(last)
    )]
    TimeLimit { path: PathBuf, limit: Duration, last: Option<String> },
    #[error("{}: more than {MAX_BYTES} bytes without a report", path.display())]
    TooMuch { path: PathBuf },
}

fn said(last: &Option<String>) -> String {
    match last {
        Some(line) => format!("the last line was `{line}`"),
        None => "nothing came: is the board switched on, and its TX on our RX?".to_string(),
    }
}

/// Collects the lines of a report until it ends.
#[derive(Debug, Default)]
pub struct Lines {
    text: String,
    rest: Vec<u8>,
    begun: bool,
}

impl Lines {
    /// Takes bytes as they come; [`ControlFlow::Break`] after the report's last line.
    pub fn push(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            self.begun |= line.starts_with("board ");
            self.text.push_str(line);
            self.text.push('\n');
            let ends = ["refused ", "fault ", "panic "].iter().any(|kind| line.starts_with(kind));
            if self.begun && (line == "done" || ends) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The last line that holds something.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.text.lines().rfind(|line| !line.is_empty()).map(str::to_string)
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.rest.len()
    }
}

/// Reads a report from a serial device.
///
/// # Errors
/// [`MonitorError`], with what came last.
pub fn read_serial(path: &Path, limit: Duration) -> Result<String, MonitorError> {
    let deadline = Instant::now() + limit;
    let chunks = forward(path.to_owned());
    let mut lines = Lines::default();
    loop {
        let path = || path.to_owned();
        match chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(bytes)) => {
                if lines.push(&bytes).is_break() {
                    return Ok(lines.text);
                }
                if lines.bytes() > MAX_BYTES {
                    return Err(MonitorError::TooMuch { path: path() });
                }
            }
            Ok(Err(reason)) => return Err(MonitorError::Io { path: path(), reason }),
            // A file has ended; what it holds is all that there is.
            Err(RecvTimeoutError::Disconnected) => return Ok(lines.text),
            Err(RecvTimeoutError::Timeout) => {
                return Err(MonitorError::TimeLimit { path: path(), limit, last: lines.last() });
            }
        }
    }
}

/// Opens and reads in a thread of its own: either may block for ever.
fn forward(path: PathBuf) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, chunks) = mpsc::sync_channel(16);
    thread::spawn(move || {
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(error) => return drop(sender.send(Err(error))),
        };
        let mut buffer = vec![0; 4096];
        loop {
            let sent = match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => sender.send(Ok(buffer[..count].to_vec())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return drop(sender.send(Err(error))),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    chunks
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if isatty(&file) {
        let mut settings = tcgetattr(&file)?;
        settings.make_raw();
        settings.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
        settings.set_speed(BAUD)?;
        tcsetattr(&file, OptionalActions::Flush, &settings)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "firmware noise\r\ndone\r\nboard b\r\nclock c 1\r\ndone\r\n";

    #[test]
    fn a_report_ends_with_its_last_line_however_it_is_cut() {
        for size in 1..REPORT.len() {
            let mut lines = Lines::default();
            let bytes = format!("{REPORT}after");
            let end = bytes.as_bytes().chunks(size).position(|chunk| lines.push(chunk).is_break());
            assert!(end.is_some());
            assert_eq!(lines.text(), "firmware noise\ndone\nboard b\nclock c 1\ndone\n");
        }
    }

    #[test]
    fn refusals_and_faults_end_a_report() {
        for line in ["refused Model(BadMagic)", "fault x", "panic y"] {
            assert!(Lines::default().push(format!("board b\n{line}\n").as_bytes()).is_break());
        }
    }

    #[test]
    fn a_silent_console_is_an_error_after_the_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let error = read_serial(&pipe, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, MonitorError::TimeLimit { last: None, .. }), "{error}");
        // The reader's thread waits for a writer.
        drop(File::options().write(true).open(&pipe).unwrap());
    }

    #[test]
    fn a_missing_device_is_named() {
        let error = read_serial(Path::new("/no/such/tty"), Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/tty: "), "{error}");
    }
}
