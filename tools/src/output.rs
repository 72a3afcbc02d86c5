//! Files are written whole or not at all: to a temporary name beside the target, then renamed.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Writes `bytes` to `path`; on any failure an existing file is untouched and no other is left.
///
/// # Errors
/// One line that names the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
