//! Names of the classes, one a line: what `--labels` gives.

use std::path::Path;

use super::DataError;
use crate::files;

/// Bytes of the largest file of names that is read.
const MAX_BYTES: u64 = 1 << 24;

/// Reads the names of `classes` classes. Empty lines at the end are passed over; characters that cannot be
/// printed are escaped.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is no text, has an empty line between names, or not as many.
pub fn class_names(path: &Path, classes: usize) -> Result<Vec<String>, DataError> {
    let wrong = |reason: String| DataError::ClassNames { path: path.to_path_buf(), reason };
    if classes == 0 {
        return Err(wrong("the network's first output has no classes to be named".to_string()));
    }
    let bytes = files::read(path, MAX_BYTES)
        .map_err(|reason| DataError::Io { path: path.to_path_buf(), reason })?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_string()))?;
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    if let Some(empty) = lines.iter().position(|line| line.is_empty()) {
        return Err(wrong(format!("line {} is empty", empty + 1)));
    }
    if lines.len() != classes {
        return Err(wrong(format!(
            "has {} names where the network has {classes} classes",
            lines.len()
        )));
    }
    Ok(lines.into_iter().map(crate::output::escaped).collect())
}
