//! Files that come in and files that go out.
//!
//! What may not be broken: an input is a regular file, or a stream of bounded length, and nothing else
//! is opened; an output is written whole or not at all, replaces nothing but a regular file, and is
//! none of the inputs; whatever ends the program, its temporary files go with it, or with the next run.

mod destination;
mod error;
mod input;
mod temporary;

pub use destination::{Destination, Pending};
pub use error::FileError;
pub use input::{ARRAY, IMAGE, ONNX, PROGRAM, TEXT, check, open, open_or_stream, read, read_text};
pub use temporary::{ScratchFolder, Temporary};

use std::path::Path;

/// Standard input or output, where a file is named.
pub const STANDARD: &str = "-";

/// Whether two names are one file, through links of either kind.
#[must_use]
pub fn same(one: &Path, other: &Path) -> bool {
    match (identity(one), identity(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<std::path::PathBuf> {
    path.canonicalize().ok()
}

/// What a path leads to, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "other systems are only asked for folders"))]
enum Kind {
    File,
    Folder,
    /// A terminal, `/dev/null`, and the like.
    Device,
    Disk,
    /// A FIFO, which has a path of its own.
    NamedPipe,
    /// A pipe between two programs, by its path under `/dev/fd`.
    Pipe,
    Socket,
}

#[cfg(unix)]
fn kind(path: &Path, metadata: &std::fs::Metadata) -> Kind {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Kind::Folder
    } else if kind.is_block_device() {
        Kind::Disk
    } else if kind.is_char_device() {
        Kind::Device
    } else if kind.is_socket() {
        Kind::Socket
    } else if kind.is_fifo() {
        // Behind such a path there is no other one.
        match path.canonicalize() {
            Ok(real) if !real.starts_with("/dev/fd") => Kind::NamedPipe,
            _ => Kind::Pipe,
        }
    } else {
        Kind::File
    }
}

#[cfg(not(unix))]
fn kind(_path: &Path, metadata: &std::fs::Metadata) -> Kind {
    if metadata.is_dir() { Kind::Folder } else { Kind::File }
}
