//! A folder of files for readers that take paths.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder of this process.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// # Panics
    /// Without a folder for temporary files there is nothing to fuzz with.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and returns its path.
    ///
    /// # Panics
    /// If the folder is not writable.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("a writable folder");
        path
    }
}

/// An error as it is printed is one line of characters that are seen, and names its file.
///
/// # Panics
/// If it does not.
pub fn check_error(error: &impl std::fmt::Display, path: &Path) {
    let line = printed(error);
    assert!(line.contains(&*path.to_string_lossy()), "{line}");
}

/// An error as it is printed.
///
/// # Panics
/// If a character of it is not seen.
pub fn printed(error: &impl std::fmt::Display) -> String {
    let line = tools::output::line(&error.to_string());
    assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
    line
}
