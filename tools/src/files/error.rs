//! Why something cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file or folder cannot be written: one line that begins with its name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("an empty name is no file to write")]
    NoName,
    /// What is there is nothing that can be written to.
    #[error("{}: {what}", path.display())]
    WrongKind { path: PathBuf, what: &'static str },
    #[error("{}: is read, as {}; name another file to write", path.display(), input.display())]
    IsInput { path: PathBuf, input: PathBuf },
    #[error("{}: cannot be written; {} is not a folder", path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("{}: cannot be written; its links lead in a circle", path.display())]
    Links { path: PathBuf },
    #[error("{}: cannot be written; {reason}", path.display())]
    Unknown { path: PathBuf, reason: io::Error },
    #[error(
        "{}: cannot be written; is the folder there, writable, and the disk not full?: {reason}",
        path.display()
    )]
    Write { path: PathBuf, reason: io::Error },
    #[error(
        "{}: a temporary folder cannot be made; TMPDIR names another place: {reason}",
        path.display()
    )]
    Temporary { path: PathBuf, reason: io::Error },
}

impl FileError {
    pub(super) fn wrong_kind(path: &Path, what: &'static str) -> Self {
        Self::WrongKind { path: path.to_owned(), what }
    }
}
