//! Where one input comes from: an image file, a `.npy` array, or one record of a CIFAR-10 binary batch.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::read_image;
use super::tensor::{self, Tensor};
use super::{Content, DataError, Pixels, Sample, Wanted};
use crate::files;

const CIFAR_SIDE: usize = 32;
const CIFAR_PLANE: usize = CIFAR_SIDE * CIFAR_SIDE;
/// One label byte, then the R, G and B planes.
const CIFAR_RECORD: usize = 1 + 3 * CIFAR_PLANE;
const CIFAR_CLASSES: u8 = 10;

/// One input that has not been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Image(PathBuf),
    Array(PathBuf),
    CifarRecord { file: Arc<Path>, index: usize },
}

impl Source {
    /// Parses the name of an image file, of a `.npy` file, `FILE.bin:INDEX`, or `FILE.bin` with a single record.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let path = Path::new(text);
        if path.is_file() {
            return Self::from_file(path);
        }
        if !path.is_dir() {
            files::check(path).map_err(|reason| io_error(path, reason))?;
        }
        let record = text.rsplit_once(':').and_then(|(file, index)| {
            let index = index.parse().ok()?;
            is_cifar_file(Path::new(file)).then_some((Path::new(file), index))
        });
        match record {
            Some((file, index)) => Self::cifar_record(file, index),
            None if path.is_dir() => Err(DataError::UnknownKind { path: path.to_owned() }),
            None => Err(DataError::Missing { path: path.to_owned() }),
        }
    }

    /// A file of one input, an array by its name or else an image by its content.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        match is_array_file(path) {
            true => Self::Array(path.to_owned()),
            false => Self::Image(path.to_owned()),
        }
    }

    fn from_file(path: &Path) -> Result<Self, DataError> {
        if is_cifar_file(path) {
            return match cifar_records(path)? {
                1 => Self::cifar_record(path, 0),
                records => Err(DataError::RecordNeeded { path: path.to_owned(), records }),
            };
        }
        if is_image_file(path) {
            return Ok(Self::Image(path.to_owned()));
        }
        if is_array_file(path) {
            return Ok(Self::Array(path.to_owned()));
        }
        Err(DataError::UnknownKind { path: path.to_owned() })
    }

    fn cifar_record(file: &Path, index: usize) -> Result<Self, DataError> {
        let records = cifar_records(file)?;
        if index >= records {
            return Err(DataError::NoSuchRecord { path: file.to_owned(), index, records });
        }
        Ok(Self::CifarRecord { file: file.into(), index })
    }

    /// File name, or `FILE.bin:INDEX`, without the folder.
    pub fn name(&self) -> String {
        let file_name = |path: &Path| match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => path.display().to_string(),
        };
        match self {
            Self::Image(path) | Self::Array(path) => file_name(path),
            Self::CifarRecord { file, index } => format!("{}:{index}", file_name(file)),
        }
    }

    /// The file that holds the image.
    pub fn file(&self) -> &Path {
        match self {
            Self::Image(path) | Self::Array(path) => path,
            Self::CifarRecord { file, .. } => file,
        }
    }

    /// Reads the input; an image is resized and cropped. What comes of it fits the network.
    pub fn load(&self, wanted: &Wanted) -> Result<Sample, DataError> {
        let (found, label) = self.read(wanted)?;
        let name = self.name();
        let content = match (found, &wanted.recipe) {
            (Tensor::Input(content), _) => content,
            (Tensor::Image(pixels), Some(recipe)) => {
                Content::Pixels(recipe.apply_geometry(&name, pixels, wanted.shape)?)
            }
            (Tensor::Image(_), None) => return Err(self.no_tensor(wanted)),
        };
        Ok(Sample { name, content, label })
    }

    /// [`Source::load`] of an image of any size: one that the recipe leaves at another size than the
    /// network's is resized until it covers that and cut from the middle, and what was done is said.
    pub fn load_fitting(&self, wanted: &Wanted) -> Result<(Sample, Option<String>), DataError> {
        let (found, label) = self.read(wanted)?;
        let name = self.name();
        let (content, note) = match (found, &wanted.recipe) {
            (Tensor::Input(content), _) => (content, None),
            (Tensor::Image(pixels), Some(recipe)) => {
                let (pixels, note) = recipe.fit(&name, pixels, wanted.shape)?;
                (Content::Pixels(pixels), note)
            }
            (Tensor::Image(_), None) => return Err(self.no_tensor(wanted)),
        };
        Ok((Sample { name, content, label }, note))
    }

    fn no_tensor(&self, wanted: &Wanted) -> DataError {
        DataError::NotATensor { path: self.file().to_owned(), wanted: wanted.shape }
    }

    /// Whether this is an array of the float network's own values.
    pub(super) fn holds_reals(&self) -> Result<bool, DataError> {
        match self {
            Self::Array(path) => tensor::holds_reals(path),
            Self::Image(_) | Self::CifarRecord { .. } => Ok(false),
        }
    }

    fn read(&self, wanted: &Wanted) -> Result<(Tensor, Option<usize>), DataError> {
        match self {
            Self::Image(path) => Ok((Tensor::Image(read_image(path)?), None)),
            Self::Array(path) => Ok((tensor::read_tensor(path, wanted)?, None)),
            Self::CifarRecord { file, index } => {
                let (pixels, label) = read_cifar_record(file, *index)?;
                Ok((Tensor::Image(pixels), Some(label)))
            }
        }
    }
}

pub(super) fn is_array_file(path: &Path) -> bool {
    has_extension(path, &["npy"])
}

pub(super) fn is_image_file(path: &Path) -> bool {
    has_extension(path, &["png", "jpg", "jpeg"])
}

pub(super) fn is_cifar_file(path: &Path) -> bool {
    has_extension(path, &["bin"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| known.iter().any(|k| e.eq_ignore_ascii_case(k)))
}

/// Number of records in a CIFAR-10 binary batch, from its size.
pub(super) fn cifar_records(path: &Path) -> Result<usize, DataError> {
    let metadata = files::open(path).and_then(|file| file.metadata());
    let bytes = metadata.map_err(|reason| io_error(path, reason))?.len();
    let record = CIFAR_RECORD as u64;
    if bytes == 0 || bytes % record != 0 {
        return Err(DataError::CifarSize { path: path.to_owned(), bytes });
    }
    usize::try_from(bytes / record)
        .map_err(|_| DataError::CifarSize { path: path.to_owned(), bytes })
}

fn read_cifar_record(path: &Path, index: usize) -> Result<(Pixels, usize), DataError> {
    let mut record = vec![0; CIFAR_RECORD];
    let offset = index as u64 * CIFAR_RECORD as u64;
    files::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut record)
        })
        .map_err(|reason| io_error(path, reason))?;
    let (label, planes) = (record[0], &record[1..]);
    if label >= CIFAR_CLASSES {
        return Err(DataError::CifarLabel { path: path.to_owned(), index, label });
    }
    let data = (0..CIFAR_PLANE)
        .flat_map(|at| [0, 1, 2].map(|colour| planes[colour * CIFAR_PLANE + at]))
        .collect();
    let pixels = Pixels { width: CIFAR_SIDE, height: CIFAR_SIDE, channels: 3, data };
    Ok((pixels, usize::from(label)))
}

fn io_error(path: &Path, reason: std::io::Error) -> DataError {
    if reason.kind() == std::io::ErrorKind::NotFound {
        return DataError::Missing { path: path.to_owned() };
    }
    DataError::Io { path: path.to_owned(), reason }
}
