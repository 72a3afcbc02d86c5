//! Images in, 8-bit RGB pixels out.
//!
//! Whatever the source (photos, CIFAR-10 batches, generated images), a sample is the same thing: the
//! resized and cropped 8-bit pixels that the network sees. Both the float reference
//! ([`Recipe::float_input`]) and the integer preprocessor start from those very bytes, so the two
//! never disagree about an image.
//!
//! What may not be broken: everything after decoding is the same on every machine. Resampling works
//! on integers ([`resample`]), generated images use no `libm` function ([`dead_leaves`]), and the
//! order of samples depends on file names alone. Decoded JPEG pixels are the decoder's.

mod dataset;
mod decode;
mod embedded;
mod encode;
mod error;
mod folder;
mod labels;
mod npy;
mod recipe;
mod resizing;
mod source;

pub use dataset::{Dataset, OpenOptions};
pub use embedded::recipe_of;
pub use encode::to_png;
pub use error::{DataError, RecipeError};
pub use npy::MeanImage;
pub use recipe::{ChannelOrder, Preprocessing, Recipe};
pub use resizing::Resizing;
pub use source::Source;
pub use values::{RgbPixels, dead_leaves, resample};

/// Height and width of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSize {
    pub height: usize,
    pub width: usize,
}

/// One image at the network's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// File name, or `FILE.bin:INDEX`.
    pub name: String,
    pub pixels: RgbPixels,
    pub label: Option<usize>,
}
