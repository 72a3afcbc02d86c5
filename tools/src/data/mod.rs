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
pub mod dead_leaves;
mod decode;
mod embedded;
mod error;
mod folder;
mod labels;
mod npy;
mod recipe;
pub mod resample;
mod resizing;
mod source;

pub use dataset::{Dataset, OpenOptions};
pub use embedded::recipe_of;
pub use error::{DataError, RecipeError};
pub use npy::MeanImage;
pub use recipe::{ChannelOrder, Preprocessing, Recipe};
pub use resizing::Resizing;
pub use source::Source;

/// Height and width of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSize {
    pub height: usize,
    pub width: usize,
}

/// An image of 8-bit RGB pixels, row by row; `data.len() == 3 * width * height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbPixels {
    pub width: usize,
    pub height: usize,
    /// R, G, B of the top left pixel first (HWC order).
    pub data: Vec<u8>,
}

impl RgbPixels {
    /// The image with these bytes at column `x` and row `y`.
    pub fn from_fn(width: usize, height: usize, at: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let row = |y| (0..width).map(move |x| (x, y));
        let data = (0..height).flat_map(row).flat_map(|(x, y)| at(x, y)).collect();
        Self { width, height, data }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// [`DataError::Encode`] if an extent is 0 or above 2^31 - 1.
    pub fn to_png(&self) -> Result<Vec<u8>, DataError> {
        let [width, height] = [self.width, self.height].map(|n| u32::try_from(n).unwrap_or(0));
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut png| {
            png.write_image_data(&self.data)?;
            png.finish()
        });
        written.map_err(|error| DataError::Encode(error.to_string()))?;
        Ok(file)
    }

    /// The bytes of one pixel.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }
}

/// One image at the network's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// File name, or `FILE.bin:INDEX`.
    pub name: String,
    pub pixels: RgbPixels,
    pub label: Option<usize>,
}
