//! The images that calibration and comparison run on: a data set, or generated ones.

use std::path::Path;

use crate::data::dead_leaves::dead_leaves;
use crate::data::{DataError, Dataset, InputSize, OpenOptions, Recipe, Sample};

/// Generated images for calibration and for comparison come from different parts of the sequence.
const COMPARISON_START: u64 = 1 << 32;

/// Where images come from.
#[derive(Debug, Clone)]
pub enum Images {
    Dataset(Dataset),
    /// Dead leaves of the sequence `seed`, from index `start` on.
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

    /// Image `index`, below [`Images::len`], at the network's size.
    ///
    /// # Errors
    /// [`DataError`] naming the image.
    pub fn sample(
        &self,
        index: usize,
        recipe: &Recipe,
        input: InputSize,
    ) -> Result<Sample, DataError> {
        match self {
            Self::Dataset(dataset) => dataset.sample(index, recipe, input),
            Self::Generated { seed, start, .. } => Ok(Sample {
                name: format!("generated:{index}"),
                pixels: dead_leaves(*seed, start + index as u64, input.width, input.height),
                label: None,
            }),
        }
    }
}
