//! What a folder of images holds.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::{is_array_file, is_cifar_file, is_image_file};
use super::{DataError, Source};

/// Each list is sorted by name; hidden files are left out, and so are texts.
#[derive(Default)]
pub(super) struct Contents {
    pub images: Vec<PathBuf>,
    /// `.npy` files.
    pub arrays: Vec<PathBuf>,
    pub batches: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
    /// Files of other kinds.
    others: Vec<PathBuf>,
}

impl Contents {
    pub fn list(folder: &Path) -> Result<Self, DataError> {
        let mut paths = list_folder(folder)
            .map_err(|reason| DataError::Io { path: folder.to_owned(), reason })?;
        paths
            .sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        let mut contents = Self::default();
        for path in paths {
            if path.is_dir() {
                contents.folders.push(path);
            } else if is_image_file(&path) {
                contents.images.push(path);
            } else if is_array_file(&path) {
                contents.arrays.push(path);
            } else if is_cifar_file(&path) {
                contents.batches.push(path);
            } else if !is_beside_images(&path) {
                contents.others.push(path);
            }
        }
        Ok(contents)
    }

    /// The images, or the arrays where there are no images: a mean image may lie beside some.
    pub fn inputs(&self) -> Vec<Source> {
        match self.images.is_empty() {
            false => self.images.iter().cloned().map(Source::Image).collect(),
            true => self.arrays.iter().cloned().map(Source::Array).collect(),
        }
    }

    /// Names of the files that are not used: arrays, too, where there are images, and batches where there are
    /// these or folders.
    pub fn passed_over(&self) -> Vec<String> {
        let inputs = !self.images.is_empty() || !self.arrays.is_empty();
        let batches = self.batches.iter().filter(|_| inputs || !self.folders.is_empty());
        let arrays = self.arrays.iter().filter(|_| !self.images.is_empty());
        let batches = arrays.chain(batches);
        let name =
            |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        batches.chain(&self.others).map(name).collect()
    }
}

/// Whether a file is expected beside images though it is none: labels and notes.
fn is_beside_images(path: &Path) -> bool {
    const TEXTS: [&str; 8] = ["csv", "html", "json", "md", "toml", "txt", "xml", "yaml"];
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| TEXTS.iter().any(|text| extension.eq_ignore_ascii_case(text)))
}

fn list_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// The classes of folders that are all named by numbers; `None` if one is not.
///
/// # Errors
/// [`DataError::SameClass`].
pub(super) fn class_numbers(folders: &[PathBuf]) -> Result<Option<Vec<usize>>, DataError> {
    let number = |folder: &PathBuf| {
        let name = folder.file_name()?.to_str()?;
        name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
    };
    let Some(classes) = folders.iter().map(number).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    for (at, class) in classes.iter().enumerate() {
        if let Some(earlier) = classes[..at].iter().position(|other| other == class) {
            let (path, other) = (folders[at].clone(), folders[earlier].clone());
            return Err(DataError::SameClass { path, other, class: *class });
        }
    }
    Ok(Some(classes))
}
