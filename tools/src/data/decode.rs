//! Image files to 8-bit RGB.
//!
//! Grey images get three equal channels, alpha is dropped (not blended) and 16-bit samples are
//! rounded to 8. The EXIF orientation is ignored, as PIL and torchvision do by default: a photo that
//! only its viewer turns upright is used as it is stored.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, ImageReader};

use super::{DataError, RgbPixels};
use crate::files;

/// Reads a .png or .jpeg file; the content decides which of the two it is.
pub fn read_image(path: &Path) -> Result<RgbPixels, DataError> {
    let bytes = files::read(path, files::IMAGE)
        .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
    decode(&bytes).map_err(|reason| DataError::Decode { path: path.to_owned(), reason })
}

fn decode(bytes: &[u8]) -> Result<RgbPixels, String> {
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_is_complete(bytes) {
        return Err("the JPEG data ends early".to_owned());
    }
    let image = reader.decode().map_err(|e| one_line(&e.to_string()))?;
    let rgb = image.to_rgb8();
    Ok(RgbPixels {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        data: rgb.into_raw(),
    })
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the marker segments of a JPEG file (ITU-T T.81, annex B) lead to an end-of-image marker.
/// Decoders fill what is missing with grey, which would go unnoticed.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xD9;
    const START_OF_SCAN: u8 = 0xDA;
    let mut at = 2;
    while let Some((marker, after)) = next_marker(bytes, at) {
        if marker == END_OF_IMAGE {
            return true;
        }
        let Some(length) = bytes.get(after..after + 2) else {
            return false;
        };
        at = after + usize::from(u16::from_be_bytes([length[0], length[1]]));
        if marker == START_OF_SCAN {
            at = skip_scan(bytes, at);
        }
    }
    false
}

/// The marker code at `at` and the position after it; fill bytes are skipped.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let start = rest.iter().position(|&b| b == 0xFF)?;
    let code = rest[start..].iter().position(|&b| b != 0xFF)? + start;
    Some((rest[code], at + code + 1))
}

/// Position of the first marker after entropy-coded data, in which 0xFF is followed by 0x00 or by a
/// restart marker.
fn skip_scan(bytes: &[u8], mut at: usize) -> usize {
    while let Some(pair) = bytes.get(at..at + 2) {
        let data = pair[0] != 0xFF || matches!(pair[1], 0x00 | 0xD0..=0xD7);
        if !data {
            return at;
        }
        at += 1;
    }
    bytes.len()
}
