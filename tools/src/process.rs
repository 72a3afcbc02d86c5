//! Other programs, under a time limit.
//!
//! What may not be broken: whatever a child does - hang, flood its output, leave children of its own
//! that hold the pipes - the call returns, and the child is dead by then.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

/// Most bytes that are kept of a child's output.
const MAX_OUTPUT: usize = 64 << 20;
/// How long the pipes of a child that has ended may stay open, held by children of its own.
const GRACE: Duration = Duration::from_secs(2);
/// How often an ended child is noticed whose pipes are held open.
const POLL: Duration = Duration::from_millis(50);

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    #[error("{program} is not installed, or not in PATH")]
    NotFound { program: String },
    #[error("{program} could not be started: {reason}")]
    Start { program: String, reason: io::Error },
    #[error("{program} did not end within {} s and was stopped{}", limit.as_secs_f32(), said(output))]
    TimeLimit {
        program: String,
        limit: Duration,
        /// What it wrote until then.
        output: Box<Partial>,
    },
    #[error("{program} wrote more than {limit} bytes and was stopped")]
    TooMuchOutput { program: String, limit: usize },
    #[error("{program}: {reason}")]
    Io { program: String, reason: io::Error },
}

/// What a program wrote before it was stopped.
#[derive(Debug, Default)]
pub struct Partial {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

fn said(output: &Partial) -> String {
    let last = last_line(&output.stderr).or_else(|| last_line(&output.stdout));
    last.map_or_else(|| "; it had written nothing".to_string(), |line| format!("; last: {line}"))
}

/// The last line that holds more than spaces, to be quoted in a message.
#[must_use]
pub fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// Runs a program to its end, without standard input, and collects what it writes.
///
/// # Errors
/// [`ProcessError`]; an exit code other than 0 is none.
pub fn run_limited(command: Command, limit: Duration) -> Result<Output, ProcessError> {
    run_limited_with(command, Stdio::null(), limit)
}

/// [`run_limited`] with a standard input.
///
/// # Errors
/// As [`run_limited`].
pub fn run_limited_with(
    command: Command,
    stdin: Stdio,
    limit: Duration,
) -> Result<Output, ProcessError> {
    let mut output = Partial::default();
    let status = follow(command, stdin, limit, |stream, bytes| {
        match stream {
            Stream::Stdout => output.stdout.extend_from_slice(bytes),
            Stream::Stderr => output.stderr.extend_from_slice(bytes),
        }
        ControlFlow::Continue(())
    });
    match status {
        Ok(status) => Ok(Output { status, stdout: output.stdout, stderr: output.stderr }),
        Err(ProcessError::TimeLimit { program, limit, .. }) => {
            Err(ProcessError::TimeLimit { program, limit, output: Box::new(output) })
        }
        Err(error) => Err(error),
    }
}

/// Where bytes of a program come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Runs a program and hands over what it writes as it comes; [`ControlFlow::Break`] stops it.
///
/// # Errors
/// As [`run_limited`], but for the output, which the caller has seen.
pub fn follow(
    mut command: Command,
    stdin: Stdio,
    limit: Duration,
    mut seen: impl FnMut(Stream, &[u8]) -> ControlFlow<()>,
) -> Result<ExitStatus, ProcessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let deadline = Instant::now() + limit;
    let mut running = Running::start(&mut command, stdin, &program)?;
    let mut total = 0;
    let mut ended: Option<Instant> = None;
    let failed = |reason| ProcessError::Io { program: program.clone(), reason };
    while ended.is_none_or(|since| since.elapsed() < GRACE) {
        match running.chunks.recv_timeout(POLL.min(left_until(deadline))) {
            Ok((stream, bytes)) => {
                total += bytes.len();
                if total > MAX_OUTPUT {
                    return Err(ProcessError::TooMuchOutput { program, limit: MAX_OUTPUT });
                }
                if seen(stream, &bytes).is_break() {
                    return running.stop().map_err(failed);
                }
            }
            // Both pipes are closed; the program itself may go on.
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() && running.child.try_wait().map_err(failed)?.is_some() {
            ended = Some(Instant::now());
        }
        if ended.is_none() && left_until(deadline).is_zero() {
            break;
        }
    }
    match running.child.wait_timeout(left_until(deadline)).map_err(failed)? {
        Some(status) => Ok(status),
        None => Err(ProcessError::TimeLimit { program, limit, output: Box::default() }),
    }
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A child that does not outlive this value, and the bytes that it writes.
struct Running {
    child: Child,
    chunks: Receiver<(Stream, Vec<u8>)>,
}

impl Running {
    fn start(command: &mut Command, stdin: Stdio, program: &str) -> Result<Self, ProcessError> {
        let program = || program.to_owned();
        let spawned = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => ProcessError::NotFound { program: program() },
            _ => ProcessError::Start { program: program(), reason },
        })?;
        let (sender, chunks) = mpsc::sync_channel(16);
        if let Some(pipe) = child.stdout.take() {
            forward(pipe, Stream::Stdout, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            forward(pipe, Stream::Stderr, sender);
        }
        Ok(Self { child, chunks })
    }

    fn stop(&mut self) -> io::Result<ExitStatus> {
        // An error of `kill` means that the child has ended.
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Reads a pipe in a thread of its own, which ends with the pipe or with the receiver.
fn forward(
    mut pipe: impl Read + Send + 'static,
    stream: Stream,
    sender: SyncSender<(Stream, Vec<u8>)>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send((stream, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_exit_code_are_collected() {
        // More than a pipe holds, on both at once.
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3";
        let output = run_limited(shell(script), LONG).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn standard_input_is_empty_or_what_the_caller_gives() {
        assert_eq!(run_limited(shell("cat"), LONG).unwrap().stdout, b"");
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"bytes").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        assert_eq!(run_limited_with(shell("cat"), file.into(), LONG).unwrap().stdout, b"bytes");
    }

    #[test]
    fn a_program_that_hangs_is_stopped_and_what_it_said_is_kept() {
        let error = run_limited(shell("echo on the way; exec sleep 1000"), SHORT).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("0.3 s") && text.ends_with("last: on the way"), "{text}");
        let ProcessError::TimeLimit { output, .. } = error else { panic!("{text}") };
        assert_eq!(output.stdout, b"on the way\n");
    }

    #[test]
    fn a_program_that_closes_its_pipes_and_hangs_is_stopped() {
        let error = run_limited(shell("exec sleep 1000 >&- 2>&-"), SHORT).unwrap_err();
        assert!(matches!(error, ProcessError::TimeLimit { .. }), "{error}");
    }

    #[test]
    fn children_that_hold_the_pipes_do_not_hold_the_caller() {
        let output = run_limited(shell("echo done; sleep 20 & exit 0"), LONG).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"done\n"[..]));
    }

    #[test]
    fn a_flood_is_stopped() {
        let error = run_limited(shell("exec cat /dev/zero"), LONG).unwrap_err();
        assert!(matches!(error, ProcessError::TooMuchOutput { .. }), "{error}");
    }

    #[test]
    fn the_caller_can_stop_a_program() {
        let mut lines = Vec::new();
        let status = follow(shell("echo enough; exec sleep 1000"), Stdio::null(), LONG, |_, b| {
            lines.extend_from_slice(b);
            ControlFlow::Break(())
        });
        assert!(!status.unwrap().success());
        assert_eq!(lines, b"enough\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run_limited(Command::new("no-such-program"), LONG).unwrap_err();
        assert_eq!(error.to_string(), "no-such-program is not installed, or not in PATH");
    }
}
