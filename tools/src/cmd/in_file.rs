//! The name of the file that a command's error is about.

use std::path::Path;

/// Puts the file's name in front of an error that does not begin with it.
pub trait InFile<T> {
    /// # Errors
    /// The error, with the file's name in front.
    fn in_file(self, path: &Path) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> InFile<T> for Result<T, E> {
    fn in_file(self, path: &Path) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error: anyhow::Error = error.into();
            let name = path.display().to_string();
            match format!("{error:#}").starts_with(&name) {
                true => error,
                false => error.context(name),
            }
        })
    }
}
