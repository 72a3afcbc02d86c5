//! Inputs of networks: images and tensors in, 8-bit pixels or real values out.
//!
//! Whatever the source (photos, CIFAR-10 batches, `.npy` files, generated ones), a sample is one of two things:
//! the resized and cropped 8-bit pixels that the network sees, or the values of its float input. Both the float
//! reference and the integer preprocessor start from those very values, so the two never disagree about an
//! input.
//!
//! What may not be broken: everything after decoding is the same on every machine. Resampling works
//! on integers ([`resample`]), generated images use no `libm` function ([`dead_leaves`]), and the
//! order of samples depends on file names alone. Decoded JPEG pixels are the decoder's.

mod class_names;
mod dataset;
mod decode;
mod embedded;
mod encode;
mod error;
mod folder;
mod labels;
mod mean_image;
mod npy;
mod recipe;
mod resizing;
mod sample;
mod source;
mod tensor;

pub use class_names::class_names;
pub use dataset::{Dataset, OpenOptions};
pub use embedded::recipe_of;
pub use encode::to_png;
pub use error::{DataError, RecipeError};
pub use mean_image::MeanImage;
pub use npy::{Array, Elements};
pub use recipe::{ChannelOrder, Preprocessing, Recipe};
pub use resizing::Resizing;
pub use sample::{Content, Grid, InputShape, Sample, Wanted};
pub use source::Source;
pub use tensor::to_npy;
pub use values::{Pixels, dead_leaves, resample};
