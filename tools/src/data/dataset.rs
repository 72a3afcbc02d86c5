//! Sets of images or arrays: opening one lists its files and labels; what is in them is read when it is asked
//! for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{Contents, class_numbers};
use super::labels::{Labels, read_labels};
use super::source::{cifar_records, is_cifar_file};
use super::{DataError, Sample, Source, Wanted};
use crate::output;

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
/// taken in turn (the first image of every class, then the second), so that a limit sees every class;
/// they are numbered in the order of their names, unless all names are numbers, which then are the
/// classes.
#[derive(Debug, Clone)]
pub struct Dataset {
    entries: Vec<Entry>,
    labels: Option<PathBuf>,
    classes: Option<usize>,
    notes: Vec<String>,
}

/// What a name stands for.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    /// The file that labels come from.
    labels: Option<PathBuf>,
    /// How many folders are classes, and whether their names are the numbers.
    class_folders: Option<(usize, bool)>,
    /// Names of files that are no images.
    passed_over: Vec<String>,
}

impl Dataset {
    /// Opens an image or `.npy` file, a folder of such (flat, with or without `labels.csv`, or one folder a
    /// class), a CIFAR-10 binary batch, a folder of such batches, or one record as `FILE.bin:INDEX`.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        let found = Found::at(path)?;
        let notes = found.notes(path, options.classes);
        let Found { entries: all, labels, .. } = found;
        let total = all.len();
        let limit = options.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(DataError::ZeroLimit { path: path.to_owned() });
        }
        let entries: Vec<Entry> = all.into_iter().skip(options.skip).take(limit).collect();
        if entries.is_empty() {
            return Err(DataError::EmptyRange { path: path.to_owned(), skip: options.skip, total });
        }
        let dataset = Self { entries, labels, classes: options.classes, notes };
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

    /// Whether the first of the set is an array of the float network's own values, and no image.
    ///
    /// # Errors
    /// [`DataError`] if that cannot be read.
    pub fn holds_reals(&self) -> Result<bool, DataError> {
        self.entries.first().map_or(Ok(false), |entry| entry.source.holds_reals())
    }

    /// Warnings about the set, one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files that are read: of each image, and of labels.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources().map(Source::file).chain(self.labels.as_deref())
    }

    /// Where each image comes from, in order.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.entries.iter().map(|entry| &entry.source)
    }

    /// Reads image `index` (below [`Dataset::len`]) at the network's input size.
    pub fn sample(&self, index: usize, wanted: &Wanted) -> Result<Sample, DataError> {
        let entry = &self.entries[index];
        let mut sample = entry.source.load(wanted)?;
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

impl Found {
    fn at(path: &Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return Self::in_folder(path);
        }
        let entries = if path.is_file() && is_cifar_file(path) {
            batch_entries(path)?
        } else {
            let text = path.to_str().ok_or_else(|| DataError::Missing { path: path.to_owned() })?;
            vec![unlabelled(Source::parse(text)?)]
        };
        Ok(Self { entries, ..Self::default() })
    }

    fn in_folder(folder: &Path) -> Result<Self, DataError> {
        let contents = Contents::list(folder)?;
        let passed_over = contents.passed_over();
        let inputs = contents.inputs();
        if !inputs.is_empty() {
            if !contents.folders.is_empty() {
                return Err(DataError::MixedFolder { path: folder.to_owned() });
            }
            let found = flat_entries(folder, inputs)?;
            return Ok(Self { passed_over, ..found });
        }
        if !contents.folders.is_empty() {
            let mut found = class_entries(&contents.folders)?;
            found.passed_over.splice(0..0, passed_over);
            return Ok(found);
        }
        if contents.batches.is_empty() {
            return Err(DataError::NoImages {
                path: folder.to_owned(),
                passed_over: passed_over.len(),
            });
        }
        let batches: Result<Vec<_>, _> =
            contents.batches.iter().map(|b| batch_entries(b)).collect();
        let entries = batches?.into_iter().flatten().collect();
        Ok(Self { entries, passed_over, ..Self::default() })
    }

    /// Warnings: files that are no images, and class folders that may be numbered otherwise than meant.
    fn notes(&self, path: &Path, classes: Option<usize>) -> Vec<String> {
        let path = path.display();
        let mut notes = Vec::new();
        if let Some(first) = self.passed_over.first() {
            let (count, first) = (self.passed_over.len(), output::name(first));
            let files = if count == 1 { "file is" } else { "files are" };
            notes.push(format!(
                "{path}: {count} {files} passed over, as no .png or .jpeg image: {first}{}",
                if count > 1 { ", ..." } else { "" }
            ));
        }
        match (self.class_folders, classes) {
            (Some((folders, true)), Some(classes)) if folders != classes => notes.push(format!(
                "{path}: {folders} class folders for {classes} classes; their names are the numbers \
                 of classes"
            )),
            (Some((folders, false)), Some(classes)) if folders != classes => notes.push(format!(
                "{path}: {folders} class folders for {classes} classes; they count as classes 0 to {} \
                 in the order of their names, which is right only if none is missing before them: \
                 name them by class number, or give labels.csv",
                folders.saturating_sub(1)
            )),
            _ => {}
        }
        notes
    }
}

fn unlabelled(source: Source) -> Entry {
    Entry { source, label: None }
}

fn batch_entries(path: &Path) -> Result<Vec<Entry>, DataError> {
    let file: Arc<Path> = path.into();
    let record = |index| unlabelled(Source::CifarRecord { file: Arc::clone(&file), index });
    Ok((0..cifar_records(path)?).map(record).collect())
}

fn class_entries(folders: &[PathBuf]) -> Result<Found, DataError> {
    let numbers = class_numbers(folders)?;
    let named_by_number = numbers.is_some();
    let classes = numbers.unwrap_or_else(|| (0..folders.len()).collect());
    let mut ranked = Vec::new();
    let mut passed_over = Vec::new();
    for (class, folder) in classes.into_iter().zip(folders) {
        let contents = Contents::list(folder)?;
        let others = contents.passed_over();
        let inputs = contents.inputs();
        if inputs.is_empty() {
            return Err(DataError::NoImages { path: folder.clone(), passed_over: others.len() });
        }
        passed_over.extend(others);
        ranked.extend(inputs.into_iter().enumerate().map(|(rank, input)| (rank, class, input)));
    }
    ranked.sort_by_key(|(rank, class, _)| (*rank, *class));
    let entry = |(_, class, source)| Entry { source, label: Some(class) };
    let entries = ranked.into_iter().map(entry).collect();
    let class_folders = Some((folders.len(), named_by_number));
    Ok(Found { entries, labels: None, class_folders, passed_over })
}

fn flat_entries(folder: &Path, inputs: Vec<Source>) -> Result<Found, DataError> {
    let file = folder.join(LABELS_FILE);
    if !file.exists() {
        let entries = inputs.into_iter().map(unlabelled).collect();
        return Ok(Found { entries, ..Found::default() });
    }
    let mut labels = read_labels(&file)?;
    let mut entries = Vec::with_capacity(inputs.len());
    for source in inputs {
        let name = source.name();
        let label = labels
            .remove(&name)
            .ok_or_else(|| DataError::Unlabelled { path: file.clone(), image: name })?;
        entries.push(Entry { source, label: Some(label.class) });
    }
    check_all_used(&file, &labels)?;
    Ok(Found { entries, labels: Some(file), ..Found::default() })
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
