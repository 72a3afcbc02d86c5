//! Sets of images: what is where is found out at once, each image is read when it is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::labels::{Labels, read_labels};
use super::source::{cifar_records, is_cifar_file, is_image_file};
use super::{DataError, InputSize, Recipe, Sample, Source};

const LABELS_FILE: &str = "labels.csv";

/// Which part of a set to use.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Images to leave out at the start.
    pub skip: usize,
    /// Images to use at most.
    pub limit: Option<usize>,
    /// Classes of the network: a label outside of them is an error.
    pub classes: Option<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    source: Source,
    /// Class from a folder or a label file; a CIFAR record brings its own.
    label: Option<usize>,
}

/// An index of images. It holds no pixels, so its size does not depend on that of the images, and it
/// may be read from many threads at once.
///
/// The order is that of file names, byte by byte, and of the records in a batch. Class folders are
/// taken in turn (the first image of every class, then the second), so that a limit sees every class.
#[derive(Debug, Clone)]
pub struct Dataset {
    entries: Vec<Entry>,
    classes: Option<usize>,
}

impl Dataset {
    /// Opens an image file, a folder of images (flat, with or without `labels.csv`, or one folder a
    /// class), a CIFAR-10 binary batch, a folder of such batches, or one record as `FILE.bin:INDEX`.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        let all = entries_of(path)?;
        let total = all.len();
        let limit = options.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(DataError::ZeroLimit { path: path.to_owned() });
        }
        let entries: Vec<Entry> = all.into_iter().skip(options.skip).take(limit).collect();
        if entries.is_empty() {
            return Err(DataError::EmptyRange { path: path.to_owned(), skip: options.skip, total });
        }
        let dataset = Self { entries, classes: options.classes };
        for entry in &dataset.entries {
            dataset.check_label(&entry.source, entry.label)?;
        }
        Ok(dataset)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether every image has a label.
    pub fn has_labels(&self) -> bool {
        self.entries
            .iter()
            .all(|e| e.label.is_some() || matches!(e.source, Source::CifarRecord { .. }))
    }

    /// Where each image comes from, in order.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.entries.iter().map(|entry| &entry.source)
    }

    /// Reads image `index` (below [`Dataset::len`]) at the network's input size.
    pub fn sample(
        &self,
        index: usize,
        recipe: &Recipe,
        input: InputSize,
    ) -> Result<Sample, DataError> {
        let entry = &self.entries[index];
        let mut sample = entry.source.load(recipe, input)?;
        sample.label = entry.label.or(sample.label);
        self.check_label(&entry.source, sample.label)?;
        Ok(sample)
    }

    fn check_label(&self, source: &Source, label: Option<usize>) -> Result<(), DataError> {
        match (label, self.classes) {
            (Some(label), Some(classes)) if label >= classes => {
                Err(DataError::LabelRange { name: source.name(), label, classes })
            }
            _ => Ok(()),
        }
    }
}

fn entries_of(path: &Path) -> Result<Vec<Entry>, DataError> {
    if path.is_dir() {
        return folder_entries(path);
    }
    if path.is_file() && is_cifar_file(path) {
        return batch_entries(path);
    }
    let text = path.to_str().ok_or_else(|| DataError::Missing { path: path.to_owned() })?;
    Ok(vec![unlabelled(Source::parse(text)?)])
}

fn unlabelled(source: Source) -> Entry {
    Entry { source, label: None }
}

fn folder_entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let contents = Contents::list(folder)?;
    if !contents.images.is_empty() {
        if !contents.folders.is_empty() {
            return Err(DataError::MixedFolder { path: folder.to_owned() });
        }
        return flat_entries(folder, contents.images);
    }
    if !contents.folders.is_empty() {
        return class_entries(&contents.folders);
    }
    if contents.batches.is_empty() {
        return Err(DataError::NoImages { path: folder.to_owned() });
    }
    let batches: Result<Vec<_>, _> = contents.batches.iter().map(|b| batch_entries(b)).collect();
    Ok(batches?.into_iter().flatten().collect())
}

/// What a folder holds, each list sorted by name; hidden files are left out.
#[derive(Default)]
struct Contents {
    images: Vec<PathBuf>,
    batches: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Contents {
    fn list(folder: &Path) -> Result<Self, DataError> {
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
            } else if is_cifar_file(&path) {
                contents.batches.push(path);
            }
        }
        Ok(contents)
    }
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

fn batch_entries(path: &Path) -> Result<Vec<Entry>, DataError> {
    let file: Arc<Path> = path.into();
    let record = |index| unlabelled(Source::CifarRecord { file: Arc::clone(&file), index });
    Ok((0..cifar_records(path)?).map(record).collect())
}

fn class_entries(folders: &[PathBuf]) -> Result<Vec<Entry>, DataError> {
    let mut ranked = Vec::new();
    for (class, folder) in folders.iter().enumerate() {
        let images = Contents::list(folder)?.images;
        if images.is_empty() {
            return Err(DataError::NoImages { path: folder.clone() });
        }
        ranked.extend(images.into_iter().enumerate().map(|(rank, path)| (rank, class, path)));
    }
    ranked.sort_by_key(|&(rank, class, _)| (rank, class));
    let entry = |(_, class, path)| Entry { source: Source::Image(path), label: Some(class) };
    Ok(ranked.into_iter().map(entry).collect())
}

fn flat_entries(folder: &Path, images: Vec<PathBuf>) -> Result<Vec<Entry>, DataError> {
    let file = folder.join(LABELS_FILE);
    if !file.exists() {
        return Ok(images.into_iter().map(|path| unlabelled(Source::Image(path))).collect());
    }
    let mut labels = read_labels(&file)?;
    let mut entries = Vec::with_capacity(images.len());
    for path in images {
        let source = Source::Image(path);
        let name = source.name();
        let label = labels
            .remove(&name)
            .ok_or_else(|| DataError::Unlabelled { path: file.clone(), image: name })?;
        entries.push(Entry { source, label: Some(label.class) });
    }
    check_all_used(&file, &labels)?;
    Ok(entries)
}

fn check_all_used(file: &Path, left_over: &Labels) -> Result<(), DataError> {
    match left_over.iter().min_by_key(|(_, label)| label.line) {
        None => Ok(()),
        Some((name, label)) => Err(DataError::Labels {
            path: file.to_owned(),
            line: label.line,
            problem: format!("there is no image {name} beside this file"),
        }),
    }
}
