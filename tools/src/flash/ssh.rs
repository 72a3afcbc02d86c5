//! A board that runs Linux, over the system's `ssh`.
//!
//! What may not be broken: a board keeps the program and model that it had until the new ones have
//! given the right answer; every name is quoted; nothing asks for a password, and nothing waits
//! longer than the time limit.

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crc::{CRC_32_CKSUM, Crc};
use thiserror::Error;

use super::shell::quote;
use super::survey::{self, Administrator, MARK, Survey, Systemd, marked};
use super::unit;
use crate::process::{ProcessError, last_line, run_limited_with};

/// The exit code of ssh when ssh itself fails.
const SSH_FAILED: i32 = 255;
/// For connecting and the exchange of keys.
const CONNECT_SECONDS: u32 = 10;
const UNIT_FOLDER: &str = "/etc/systemd/system";
/// Space for folders and the ends of blocks, on top of the files.
const OVERHEAD: u64 = 256 << 10;

/// Where a board is.
#[derive(Debug, Clone)]
pub struct Address {
    /// `HOST` or `USER@HOST`, or a name of ssh's configuration.
    pub host: String,
    pub port: Option<u16>,
    pub identity: Option<PathBuf>,
    /// As after ssh's `-o`.
    pub options: Vec<String>,
}

/// Why a board was not reached, or did not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SshError {
    #[error("{0}; install the OpenSSH client (Debian: apt-get install openssh-client)")]
    NoSsh(ProcessError),
    #[error("{host}: {source}")]
    Process { host: String, source: ProcessError },
    #[error("{host} cannot be reached: {reason}{}", remedy(reason))]
    Connection { host: String, reason: String },
    #[error("{host}: {what} failed: {reason}")]
    Remote { host: String, what: &'static str, reason: String },
    #[error("{host}: its answer to `{what}` cannot be understood: {answer}")]
    Answer { host: String, what: &'static str, answer: String },
    #[error("{host}: {needed} bytes are needed in {folder} and {available} are free")]
    Full { host: String, folder: String, needed: u64, available: u64 },
    #[error("{host}: the time limit of {} s is over", limit.as_secs())]
    TimeLimit { host: String, limit: Duration },
    #[error("a temporary file cannot be written: {0}")]
    Temporary(#[from] std::io::Error),
}

fn remedy(reason: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 5] = [
        ("Host key verification failed", "; connect once by hand with ssh and accept its key"),
        ("Permission denied", "; copy your key with ssh-copy-id, or name one with --identity"),
        ("Connection refused", "; is sshd running there, and is it this port (--port)?"),
        ("Could not resolve", "; is the name right, and the board on the network?"),
        ("timed out", "; is the board switched on and on the network?"),
    ];
    REMEDIES.iter().find(|(sign, _)| reason.contains(sign)).map_or("", |(_, remedy)| remedy)
}

/// A file for the board.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Below the deployment's folder.
    pub path: String,
    pub bytes: Vec<u8>,
    pub program: bool,
}

/// What became of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitState {
    Installed,
    /// Not installed, for this reason.
    Left(String),
}

/// A board within a time limit.
#[derive(Debug)]
pub struct Board {
    address: Address,
    limit: Duration,
    deadline: Instant,
}

impl Board {
    #[must_use]
    pub fn new(address: Address, limit: Duration) -> Self {
        Self { address, limit, deadline: Instant::now() + limit }
    }

    fn host(&self) -> String {
        self.address.host.clone()
    }

    /// ssh with a script for the board.
    fn command(&self, script: &str) -> Command {
        let Address { host, port, identity, options } = &self.address;
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes"]);
        for option in options {
            command.args(["-o", option]);
        }
        command.args(["-o", &format!("ConnectTimeout={CONNECT_SECONDS}")]);
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(identity) = identity {
            command.arg("-i").arg(identity);
        }
        // The user's own shell may be any; the script is for a POSIX one.
        command.args(["--", host, &format!("exec sh -c {}", always_quote(script))]);
        command.env("LC_ALL", "C");
        command
    }

    fn run(&self, what: &'static str, script: &str, stdin: Stdio) -> Result<Output, SshError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SshError::TimeLimit { host: self.host(), limit: self.limit });
        }
        let output = run_limited_with(self.command(script), stdin, left);
        let output = output.map_err(|source| match source {
            ProcessError::NotFound { .. } => SshError::NoSsh(source),
            ProcessError::TimeLimit { .. } => {
                SshError::TimeLimit { host: self.host(), limit: self.limit }
            }
            source => SshError::Process { host: self.host(), source },
        })?;
        if output.status.success() {
            return Ok(output);
        }
        let reason = last_line(&output.stderr).unwrap_or_else(|| output.status.to_string());
        Err(match output.status.code() {
            Some(SSH_FAILED) => SshError::Connection { host: self.host(), reason },
            _ => SshError::Remote { host: self.host(), what, reason },
        })
    }

    /// Asks the board what it is; `folder` is where to deploy, relative to the user's home.
    ///
    /// # Errors
    /// [`SshError`].
    pub fn survey(&self, folder: &str) -> Result<Survey, SshError> {
        let output = self.run("looking at the system", &survey::script(folder), Stdio::null())?;
        let text = String::from_utf8_lossy(&output.stdout);
        survey::read(&text).ok_or_else(|| SshError::Answer {
            host: self.host(),
            what: "uname, id, df",
            answer: last_line(&output.stdout).unwrap_or_default(),
        })
    }

    /// Checks that `uploads` fit.
    ///
    /// # Errors
    /// [`SshError::Full`] with the bytes that are needed and available.
    pub fn check_space(&self, survey: &Survey, uploads: &[Upload]) -> Result<(), SshError> {
        let needed = uploads.iter().map(|upload| upload.bytes.len() as u64).sum::<u64>() + OVERHEAD;
        let available = survey.free_bytes;
        if needed <= available {
            return Ok(());
        }
        let folder = survey.folder.clone();
        Err(SshError::Full { host: self.host(), folder, needed, available })
    }

    /// Makes a new folder beside what is deployed.
    ///
    /// # Errors
    /// [`SshError`].
    pub fn stage(&self, survey: &Survey) -> Result<Stage<'_>, SshError> {
        let script = format!(
            "set -e; umask 022; mkdir -p {folder}; d=$(mktemp -d {folder}/.incoming-XXXXXX); \
             chmod 755 \"$d\"; printf '%s%s\\n' {MARK} \"$d\"",
            folder = quote(&survey.folder),
        );
        let output = self.run("making a folder", &script, Stdio::null())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let folder = marked(&text).next().filter(|folder| folder.starts_with('/'));
        let folder = folder.ok_or_else(|| SshError::Answer {
            host: self.host(),
            what: "mktemp",
            answer: last_line(&output.stdout).unwrap_or_default(),
        })?;
        Ok(Stage {
            board: self,
            folder: folder.to_string(),
            destination: survey.folder.clone(),
            done: false,
        })
    }

    /// Installs the unit, which lies in the deployment's folder, to run at every boot.
    ///
    /// # Errors
    /// [`SshError`]. No running systemd, or no right to administer it, is [`UnitState::Left`].
    pub fn install_unit(&self, survey: &Survey) -> Result<UnitState, SshError> {
        let lies = format!("{}/{}", survey.folder, unit::NAME);
        match survey.systemd {
            Systemd::Absent => {
                return Ok(UnitState::Left(format!("the board has no systemd; it lies at {lies}")));
            }
            Systemd::NotRunning => {
                return Ok(UnitState::Left(format!(
                    "systemd does not run on the board; it lies at {lies}"
                )));
            }
            Systemd::Running => {}
        }
        let script = install_script(&lies, UNIT_FOLDER);
        let script = match survey.administrator {
            Administrator::Root => script,
            Administrator::Sudo => format!("sudo -n sh -c {}", always_quote(&script)),
            Administrator::No => {
                return Ok(UnitState::Left(format!(
                    "{} is not root and sudo asks for a password; on the board run: \
                     sudo cp {} {UNIT_FOLDER}/ && sudo systemctl enable {}",
                    survey.user,
                    quote(&lies),
                    unit::NAME
                )));
            }
        };
        self.run("installing the unit", &script, Stdio::null())?;
        Ok(UnitState::Installed)
    }
}

/// Files on the board that nothing uses yet; dropped without [`Stage::activate`], it removes them.
#[derive(Debug)]
pub struct Stage<'b> {
    board: &'b Board,
    folder: String,
    destination: String,
    done: bool,
}

impl Stage<'_> {
    /// A staged file's path on the board.
    #[must_use]
    pub fn path(&self, upload: &Upload) -> String {
        format!("{}/{}", self.folder, upload.path)
    }

    /// Uploads a file and compares its checksum, as the board computes it, with this machine's.
    ///
    /// # Errors
    /// [`SshError`].
    pub fn upload(&self, upload: &Upload) -> Result<(), SshError> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&upload.bytes)?;
        file.seek(SeekFrom::Start(0))?;
        let path = self.path(upload);
        let mode = if upload.program { "755" } else { "644" };
        let script = format!(
            "set -e; f={file}; mkdir -p \"$(dirname \"$f\")\"; cat >\"$f\"; chmod {mode} \"$f\"; \
             printf '%s' {MARK}; cksum <\"$f\"",
            file = quote(&path),
        );
        let output = self.board.run("an upload", &script, Stdio::from(file))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let expected = format!("{} {}", cksum(&upload.bytes), upload.bytes.len());
        let found = marked(&text).next().unwrap_or_default();
        if found.split_whitespace().eq(expected.split_whitespace()) {
            return Ok(());
        }
        let reason = format!("{} arrived with checksum and length {found}, not {expected}", path);
        Err(SshError::Remote { host: self.board.host(), what: "an upload", reason })
    }

    /// Runs a staged program and returns what it wrote to standard output.
    ///
    /// # Errors
    /// [`SshError`], also if it does not end within the time limit or with an error of its own.
    pub fn run(&self, program: &Upload, arguments: &[&str]) -> Result<String, SshError> {
        let seconds =
            self.board.deadline.saturating_duration_since(Instant::now()).as_secs().max(1);
        let words: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
        let program = quote(&self.path(program));
        // Ending the connection would not end a program that hangs.
        let script = format!(
            "l=; command -v timeout >/dev/null 2>&1 && l='timeout {seconds}'; \
             printf '%s\\n' {MARK}; $l {program} {words}; s=$?; \
             [ $s != 124 ] || echo 'it did not end within {seconds} s' >&2; exit $s",
            words = words.join(" ")
        );
        let output = self.board.run("the smoke run", &script, Stdio::null())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let start = text.find(&format!("{MARK}\n")).map_or(0, |at| at + MARK.len() + 1);
        Ok(text[start..].to_string())
    }

    /// Replaces what is deployed, file by file, each as a whole.
    ///
    /// # Errors
    /// [`SshError`].
    pub fn activate(mut self, uploads: &[Upload]) -> Result<(), SshError> {
        let mut script = String::from("set -e; umask 022");
        for upload in uploads {
            let to = format!("{}/{}", self.destination, upload.path);
            let (from, to) = (quote(&self.path(upload)), quote(&to));
            script.push_str(&format!("; mkdir -p \"$(dirname {to})\"; mv -f {from} {to}"));
        }
        script.push_str(&format!("; rm -rf {}; sync", quote(&self.folder)));
        self.board.run("putting the files in place", &script, Stdio::null())?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.done {
            // If the board is gone, there is nobody to tell.
            let script = format!("rm -rf {}", quote(&self.folder));
            let board = Board::new(self.board.address.clone(), Duration::from_secs(15));
            let _ = board.run("cleaning up", &script, Stdio::null());
        }
    }
}

/// Quotes also what would not need it: the script is read by two shells.
fn always_quote(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

/// Copies the unit from `file` into `folder`, whole, and enables it.
fn install_script(file: &str, folder: &str) -> String {
    let unit = format!("{folder}/{}", unit::NAME);
    format!(
        "set -e; cp {file} {unit}.new; chmod 644 {unit}.new; mv -f {unit}.new {unit}; \
         systemctl daemon-reload; systemctl enable --quiet {name}",
        file = quote(file),
        unit = quote(&unit),
        name = unit::NAME,
    )
}

/// The checksum of POSIX `cksum`: a CRC-32 over the bytes and their number.
fn cksum(bytes: &[u8]) -> u32 {
    let crc = Crc::<u32>::new(&CRC_32_CKSUM);
    let mut digest = crc.digest();
    digest.update(bytes);
    let length = (bytes.len() as u64).to_le_bytes();
    let used = length.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    digest.update(&length[..used]);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sh(script: &str, path: Option<&str>) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        command.output().unwrap()
    }

    #[test]
    fn the_checksum_is_that_of_cksum() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, 255, 256, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let file = folder.path().join("bytes");
            fs::write(&file, &bytes).unwrap();
            let output = sh(&format!("cksum <{}", quote(file.to_str().unwrap())), None);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.trim(), format!("{} {length}", cksum(&bytes)));
        }
    }

    #[test]
    fn the_unit_is_copied_whole_and_enabled() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(at("bin")).unwrap();
        fs::create_dir(at("units of it's")).unwrap();
        fs::write(at("unit"), "[Unit]\n").unwrap();
        let systemctl = format!("#!/bin/sh\necho \"$*\" >>{}\n", at("log"));
        fs::write(at("bin/systemctl"), systemctl).unwrap();
        fs::set_permissions(at("bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
        let output = sh(&install_script(&at("unit"), &at("units of it's")), Some(&path));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let installed = at("units of it's/fixnet.service");
        assert_eq!(fs::read_to_string(installed).unwrap(), "[Unit]\n");
        let log = fs::read_to_string(at("log")).unwrap();
        assert_eq!(log, "daemon-reload\nenable --quiet fixnet.service\n");
        assert_eq!(fs::read_dir(at("units of it's")).unwrap().count(), 1);
    }
}
