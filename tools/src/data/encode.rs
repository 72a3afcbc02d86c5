//! 8-bit pixels to image files.

use super::{DataError, Pixels};

/// The bytes of a PNG file.
///
/// # Errors
/// [`DataError::Encode`] if an extent is 0 or above 2^31 - 1.
pub fn to_png(pixels: &Pixels) -> Result<Vec<u8>, DataError> {
    let [width, height] = [pixels.width, pixels.height].map(|n| u32::try_from(n).unwrap_or(0));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(match pixels.channels {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        4 => png::ColorType::Rgba,
        _ => png::ColorType::Rgb,
    });
    let written = encoder.write_header().and_then(|mut png| {
        png.write_image_data(&pixels.data)?;
        png.finish()
    });
    written.map_err(|error| DataError::Encode(error.to_string()))?;
    Ok(file)
}
