//! What leaves the program. Files are written whole or not at all: to a temporary name beside the
//! target, then renamed. Standard output may be full or closed, which is no reason to panic.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Writes `text` to standard output. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// One line, if standard output cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output cannot be written; is the disk full?"),
    }
}

/// Writes `value` to standard output as indented JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Whether a file could be written to `path`, asked before long work.
///
/// # Errors
/// One line that names the file.
pub fn check_destination(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    anyhow::ensure!(
        folder.is_dir(),
        "{}: cannot be written; {} is not a folder",
        path.display(),
        folder.display()
    );
    anyhow::ensure!(!path.is_dir(), "{}: is a folder; name a file", path.display());
    Ok(())
}

/// Writes `bytes` to `path`; on any failure an existing file is untouched and no other is left.
///
/// # Errors
/// One line that names the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = folder_of(path);
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        make_readable(&file)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().with_context(|| {
        format!(
            "{}: cannot be written; is the folder there, writable, and the disk not full?",
            path.display()
        )
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are private; results are ordinary files.
#[cfg(unix)]
fn make_readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    Ok(())
}
