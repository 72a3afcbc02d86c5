//! Opens and reads inputs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Kind, STANDARD, kind};

/// Maximum bytes of an ONNX file: protobuf has no larger messages.
pub const ONNX: u64 = i32::MAX as u64;
/// Maximum bytes of an image file.
pub const IMAGE: u64 = 1 << 28;
/// Maximum bytes of a `.npy` file.
pub const ARRAY: u64 = 1 << 30;
/// Maximum bytes of a text: labels, a zoo, a board.
pub const TEXT: u64 = 1 << 26;
/// Maximum bytes of a program, or of a file for a card.
pub const PROGRAM: u64 = 1 << 30;

/// Opening a named pipe blocks until somebody writes to it, so it is refused.
const NAMED_PIPE: &str = "is a named pipe; name a file";

/// Refuses a path that is there but is no regular file. One that does not exist passes: opening it fails.
///
/// # Errors
/// What it is, and what to do.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => refuse(kind(path, &metadata), "is a pipe; name a file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path != Path::new(STANDARD) => {
            Ok(())
        }
        Err(_) if path == Path::new(STANDARD) => {
            Err(io::Error::other("standard input cannot be read here; name a file"))
        }
        Err(error) => Err(error),
    }
}

/// Opens a regular file.
///
/// # Errors
/// Those of the system, and that it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    check(path)?;
    File::open(path)
}

/// Opens a regular file, or a stream: a pipe, or standard input as `-`.
///
/// # Errors
/// As [`open`].
pub fn open_or_stream(path: &Path) -> io::Result<File> {
    let standard = path == Path::new(STANDARD);
    let path = if standard { PathBuf::from("/dev/stdin") } else { path.to_owned() };
    let metadata = fs::metadata(&path)?;
    match kind(&path, &metadata) {
        Kind::Pipe => {}
        Kind::NamedPipe => {
            return Err(io::Error::other(
                "is a named pipe; give `-` and redirect standard input to it",
            ));
        }
        Kind::Device if standard => {
            return Err(io::Error::other("standard input is a device; give it a file or a pipe"));
        }
        kind => refuse(kind, "")?,
    }
    File::open(path)
}

fn refuse(kind: Kind, pipe: &'static str) -> io::Result<()> {
    let reason = match kind {
        Kind::File => return Ok(()),
        Kind::Folder => "is a folder; name a file",
        Kind::Device | Kind::Disk => "is a device; name a file",
        Kind::NamedPipe => NAMED_PIPE,
        Kind::Pipe => pipe,
        Kind::Socket => "is a socket; name a file",
    };
    Err(io::Error::other(reason))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and that it is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    let too_long = |bytes: u64| {
        io::Error::other(format!("has {bytes} bytes, more than the {most} that it may have"))
    };
    if bytes > most {
        return Err(too_long(bytes));
    }
    // A file may grow while it is read, and some have no length.
    let mut contents = Vec::new();
    contents.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    let read = file.take(most + 1).read_to_end(&mut contents)? as u64;
    if read > most {
        return Err(too_long(read));
    }
    Ok(contents)
}

/// Reads a regular file of UTF-8, at most [`TEXT`] bytes.
///
/// # Errors
/// As [`read`], and that it is no text.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path, TEXT)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("is no text (UTF-8)"))
}
