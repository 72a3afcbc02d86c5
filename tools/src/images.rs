//! The inputs that calibration and comparison run on: a data set, or generated ones.
//!
//! Generated are images by the dead-leaves model ([`crate::data::dead_leaves`]) where a network takes images -
//! grey ones are their luma, and alpha is the luma of another one - and noise of mean 0 and deviation 1
//! ([`values::noise`]) where it takes tensors.

use std::path::Path;

use values::noise;

use crate::data::dead_leaves::dead_leaves;
use crate::data::{Content, DataError, Dataset, OpenOptions, Pixels, Sample, Wanted};

/// Generated images for calibration and for comparison come from different parts of the sequence.
const COMPARISON_START: u64 = 1 << 32;
/// Set apart from all other images.
const ALPHA_START: u64 = 1 << 48;

/// Where images come from.
#[derive(Debug, Clone)]
pub enum Images {
    Dataset(Dataset),
    /// Of the sequence `seed`, from index `start` on.
    Generated {
        seed: u64,
        start: u64,
        count: usize,
    },
}

impl Images {
    /// The images of a data set.
    ///
    /// # Errors
    /// [`DataError`] naming the file.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        Dataset::open(path, options).map(Self::Dataset)
    }

    /// `count` generated images to calibrate on.
    #[must_use]
    pub fn for_calibration(seed: u64, count: usize) -> Self {
        Self::Generated { seed, start: 0, count }
    }

    /// `count` generated images to compare on: none of those for calibration.
    #[must_use]
    pub fn for_comparison(seed: u64, count: usize) -> Self {
        Self::Generated { seed, start: COMPARISON_START, count }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Dataset(dataset) => dataset.len(),
            Self::Generated { count, .. } => *count,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What whoever gave the images should know, a line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        match self {
            Self::Dataset(dataset) => dataset.notes(),
            Self::Generated { .. } => &[],
        }
    }

    /// The files that are read.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Dataset(dataset) => dataset.files().collect(),
            Self::Generated { .. } => Vec::new(),
        }
    }

    /// Whether every image has a label.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        matches!(self, Self::Dataset(dataset) if dataset.has_labels())
    }

    /// Whether these are arrays of the float network's own values, and no images.
    ///
    /// # Errors
    /// [`DataError`] if the first cannot be read.
    pub fn holds_reals(&self) -> Result<bool, DataError> {
        match self {
            Self::Dataset(dataset) => dataset.holds_reals(),
            Self::Generated { .. } => Ok(false),
        }
    }

    /// Input `index`, below [`Images::len`], of the network's shape.
    ///
    /// # Errors
    /// [`DataError`] naming the image.
    pub fn sample(&self, index: usize, wanted: &Wanted) -> Result<Sample, DataError> {
        match self {
            Self::Dataset(dataset) => dataset.sample(index, wanted),
            Self::Generated { seed, start, .. } => Ok(Sample {
                name: format!("generated:{index}"),
                content: generated(*seed, start + index as u64, wanted),
                label: None,
            }),
        }
    }
}

/// Input `index` of the series that `seed` starts.
#[must_use]
pub fn generated(seed: u64, index: u64, wanted: &Wanted) -> Content {
    let shape = wanted.shape;
    if wanted.recipe.is_none() || !shape.is_image() {
        return Content::Real(noise(seed, index, shape.elements()));
    }
    Content::Pixels(generated_image(seed, index, [shape.width, shape.height], shape.channels))
}

/// What a generated input is called.
#[must_use]
pub fn generated_name(wanted: &Wanted) -> &'static str {
    if wanted.recipe.is_some() { "a generated image" } else { "a generated tensor" }
}

/// A generated image in 1, 3 or 4 channels.
#[must_use]
pub fn generated_image(
    seed: u64,
    index: u64,
    [width, height]: [usize; 2],
    channels: usize,
) -> Pixels {
    let mut image = dead_leaves(seed, index, width, height).with_channels(channels);
    if channels == 4 {
        let alpha = dead_leaves(seed, index + ALPHA_START, width, height).with_channels(1);
        let places = image.data.iter_mut().skip(3).step_by(4);
        places.zip(alpha.data).for_each(|(to, alpha)| *to = alpha);
    }
    image
}
