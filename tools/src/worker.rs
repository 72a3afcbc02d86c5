//! Another runtime in a process of its own, which measures inferences when it is asked to
//! (`bench/worker.py` has the protocol).
//!
//! What may not be broken: whatever the process does - end, hang, write nonsense - a call returns
//! within its limit with an error of one line, and the process does not outlive the value.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::last_line;

/// Longest answer that is read; a worker's are far shorter.
const MAX_LINE: u64 = 1 << 16;
/// Characters of an answer that an error quotes.
const QUOTED: usize = 60;

/// Why a worker did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    #[error("{program} is not installed, or not in PATH")]
    NotFound { program: String },
    #[error("{program} could not be started: {reason}")]
    Start { program: String, reason: io::Error },
    /// The worker's own words.
    #[error("{0}")]
    Refused(String),
    #[error("{program} ended without an answer{said}")]
    Ended { program: String, said: String },
    #[error("{program} did not answer within {} s", limit.as_secs_f32())]
    TimeLimit { program: String, limit: Duration },
    #[error("{program} answered {line:?}, not {expected}")]
    Answer { program: String, line: String, expected: &'static str },
}

/// A runtime that is ready.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    stderr: File,
    program: String,
    limit: Duration,
    /// What the worker says of itself.
    pub facts: Value,
}

impl Worker {
    /// Starts a worker and waits until it is ready; `limit` holds for this and for every answer.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn start(mut command: Command, limit: Duration) -> Result<Self, WorkerError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |reason: io::Error| match reason.kind() {
            io::ErrorKind::NotFound => WorkerError::NotFound { program: program.clone() },
            _ => WorkerError::Start { program: program.clone(), reason },
        };
        let stderr = tempfile::tempfile().map_err(failed)?;
        let errors = stderr.try_clone().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let (lines, facts) = (lines_of(stdout), Value::Null);
        let mut worker = Self { child, stdin, lines, stderr, program, limit, facts };
        worker.facts = worker.ready()?;
        Ok(worker)
    }

    fn ready(&mut self) -> Result<Value, WorkerError> {
        let line = self.answer()?;
        let facts: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(reason) = facts["error"].as_str() {
            return Err(WorkerError::Refused(reason.to_owned()));
        }
        if !facts.is_object() {
            return Err(self.nonsense(&line, "a JSON object"));
        }
        Ok(facts)
    }

    /// The time of one inference, by the worker's clock.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn time_one(&mut self) -> Result<Duration, WorkerError> {
        if self.stdin.write_all(b"1\n").is_err() {
            return Err(self.ended());
        }
        let line = self.answer()?;
        match serde_json::from_str::<[u64; 1]>(&line) {
            Ok([nanoseconds]) => Ok(Duration::from_nanos(nanoseconds)),
            _ => Err(self.nonsense(&line, "one time in nanoseconds")),
        }
    }

    fn answer(&mut self) -> Result<String, WorkerError> {
        match self.lines.recv_timeout(self.limit) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(WorkerError::TimeLimit { program: self.program.clone(), limit: self.limit })
            }
        }
    }

    fn nonsense(&self, line: &str, expected: &'static str) -> WorkerError {
        let line = line.chars().take(QUOTED).collect();
        WorkerError::Answer { program: self.program.clone(), line, expected }
    }

    fn ended(&mut self) -> WorkerError {
        let mut bytes = Vec::new();
        let read = self.stderr.rewind().and_then(|()| self.stderr.read_to_end(&mut bytes));
        let said = read.ok().and_then(|_| last_line(&bytes));
        let said = said.map_or_else(String::new, |line| format!("; last: {line}"));
        WorkerError::Ended { program: self.program.clone(), said }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error of `kill` means that the child has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread of its own, which ends with the pipe or with the receiver.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        loop {
            let mut line = String::new();
            let read = reader.by_ref().take(MAX_LINE).read_line(&mut line);
            if !matches!(read, Ok(1..)) || sender.send(line.trim().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn error(script: &str) -> String {
        let worker = Worker::start(shell(script), LIMIT);
        worker.and_then(|mut worker| worker.time_one()).unwrap_err().to_string()
    }

    #[test]
    fn a_worker_tells_what_it_is_and_measures() {
        let script = r#"echo '{"version": "1.2"}'; while read n; do echo "[$((n * 1500))]"; done"#;
        let mut worker = Worker::start(shell(script), LIMIT).unwrap();
        assert_eq!(worker.facts["version"], "1.2");
        assert_eq!(worker.time_one().unwrap(), Duration::from_nanos(1500));
        assert_eq!(worker.time_one().unwrap(), Duration::from_nanos(1500));
    }

    #[test]
    fn a_refusal_is_quoted() {
        assert_eq!(error(r#"echo '{"error": "install it"}'"#), "install it");
    }

    #[test]
    fn a_worker_that_ends_is_quoted() {
        assert_eq!(error("echo broken >&2"), "sh ended without an answer; last: broken");
        assert_eq!(error("echo '{}'; read n; exit 1"), "sh ended without an answer");
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(error("echo hello"), r#"sh answered "hello", not a JSON object"#);
        let times = error("echo '{}'; read n; echo '[1, 2]'");
        assert_eq!(times, r#"sh answered "[1, 2]", not one time in nanoseconds"#);
        assert!(error("echo '{}'; read n; echo '[-1]'").contains("nanoseconds"));
    }

    #[test]
    fn a_flood_without_a_line_is_cut() {
        let line = "x".repeat(QUOTED);
        let expected = format!("sh answered {line:?}, not a JSON object");
        assert_eq!(error("exec tr '\\0' x </dev/zero"), expected);
    }

    #[test]
    fn a_worker_that_hangs_is_stopped() {
        let limit = Duration::from_millis(300);
        let error = Worker::start(shell("exec sleep 1000"), limit).unwrap_err();
        assert_eq!(error.to_string(), "sh did not answer within 0.3 s");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Worker::start(Command::new("no-such-program"), LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "no-such-program is not installed, or not in PATH");
    }
}
