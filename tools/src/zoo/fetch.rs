//! Downloads of zoo entries.
//!
//! What may not be broken: a file gets its name only after its size and SHA-256 were verified, so
//! whatever lies under that name is either what the zoo promises or what the user put there; and an
//! archive never writes outside of its folder.

mod unpack;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::files::{self, Destination, FileError};
use crate::output;
use crate::zoo::Entry;

pub use self::unpack::unpack;

/// Largest download of an entry that states no size.
const MAX_BYTES: u64 = 1 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for the answer to begin, or for its next bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an entry was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    #[error(
        "{url}: {reason}; fetch it with another machine, put it at {} and run the command again",
        destination.display()
    )]
    Network { url: String, reason: String, destination: PathBuf },
    #[error("{url}: sha256 {found}, expected {expected}; the download was discarded")]
    WrongDigest { url: String, found: String, expected: String },
    #[error("{url}: {found} bytes, expected {expected}; the download was discarded")]
    WrongSize { url: String, found: u64, expected: u64 },
    #[error("{url}: more than {limit} bytes; the download was discarded")]
    TooLarge { url: String, limit: u64 },
    #[error("{name} is not downloaded but exported; run in Python: {recipe}")]
    Exported { name: String, recipe: String },
    #[error("{name} has nothing to download; use it as --preset {name}")]
    PresetOnly { name: String },
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
    #[error(transparent)]
    Output(#[from] FileError),
    #[error("{}: {reason}; nothing more was unpacked", path.display())]
    Archive { path: PathBuf, reason: String },
}

impl FetchError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io { path, reason }
    }
}

/// A file that lies where it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    pub sha256: String,
    /// It was there already, so nothing was downloaded.
    pub present: bool,
}

/// An HTTP client that gives up on a silent network.
pub fn agent() -> Agent {
    Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .build()
        .into()
}

/// Downloads an entry's file into `folder`, unless a file with the right digest is there.
pub fn fetch(agent: &Agent, entry: &Entry, folder: &Path) -> Result<Fetched, FetchError> {
    let (Some(url), Some(file)) = (&entry.url, &entry.file) else {
        return Err(nothing_to_download(entry));
    };
    let destination = folder.join(file);
    if let Some(sha256) = present_digest(entry, &destination)? {
        return Ok(Fetched { path: destination, sha256, present: true });
    }
    std::fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
    let pending = Destination::file(&destination)?.begin()?;
    let body = request(agent, url, &destination)?;
    let received = receive(body, entry.size, url, &destination, pending.file())?;
    let sha256 = verify(entry, url, &received)?;
    pending.commit()?;
    Ok(Fetched { path: destination, sha256, present: false })
}

fn nothing_to_download(entry: &Entry) -> FetchError {
    let name = entry.name.clone();
    match &entry.export {
        Some(recipe) => FetchError::Exported { name, recipe: recipe.trim().replace('\n', "; ") },
        None => FetchError::PresetOnly { name },
    }
}

/// The digest of a file that is there already, if it is the one that the entry asks for.
fn present_digest(entry: &Entry, path: &Path) -> Result<Option<String>, FetchError> {
    let Some(expected) = &entry.sha256 else {
        return Ok(None);
    };
    if !path.is_file() {
        return Ok(None);
    }
    let mut file = files::open(path).map_err(FetchError::io(path))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(FetchError::io(path))?;
    let found = hex(&hasher.finalize());
    Ok((found == *expected).then_some(found))
}

fn request(agent: &Agent, url: &str, destination: &Path) -> Result<ureq::Body, FetchError> {
    match agent.get(url).call() {
        Ok(response) => Ok(response.into_body()),
        Err(error) => Err(network(url, destination, &error)),
    }
}

fn network(url: &str, destination: &Path, reason: &dyn std::fmt::Display) -> FetchError {
    FetchError::Network {
        url: url.to_owned(),
        reason: reason.to_string().replace('\n', " "),
        destination: destination.to_owned(),
    }
}

struct Received {
    bytes: u64,
    sha256: String,
}

/// Copies the answer to the file, hashing on the way; one byte too many ends it.
fn receive(
    body: ureq::Body,
    size: Option<u64>,
    url: &str,
    destination: &Path,
    mut file: &std::fs::File,
) -> Result<Received, FetchError> {
    let limit = size.unwrap_or(MAX_BYTES);
    let progress = progress_bar(size.or(body.content_length()), destination);
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(network(url, destination, &error)),
        };
        bytes += count as u64;
        if bytes > limit {
            let url = url.to_owned();
            return Err(FetchError::TooLarge { url, limit });
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(FetchError::io(destination))?;
        progress.set_position(bytes);
    }
    progress.finish_and_clear();
    let sha256 = hex(&hasher.finalize());
    Ok(Received { bytes, sha256 })
}

/// Shown on a terminal only.
fn progress_bar(size: Option<u64>, destination: &Path) -> ProgressBar {
    let template = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}";
    let bar = ProgressBar::new(size.unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let name = destination.file_name().unwrap_or_default();
    bar.with_message(output::name(&name.to_string_lossy()))
}

fn verify(entry: &Entry, url: &str, received: &Received) -> Result<String, FetchError> {
    match entry.size {
        Some(expected) if expected != received.bytes => {
            return Err(FetchError::WrongSize {
                url: url.to_owned(),
                found: received.bytes,
                expected,
            });
        }
        _ => {}
    }
    match &entry.sha256 {
        Some(expected) if *expected != received.sha256 => Err(FetchError::WrongDigest {
            url: url.to_owned(),
            found: received.sha256.clone(),
            expected: expected.clone(),
        }),
        _ => Ok(received.sha256.clone()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
