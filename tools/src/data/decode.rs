//! Image files to 8-bit pixels.
//!
//! Each file has the channels that it has; [`Pixels::with_channels`] makes others of them. 16-bit samples are
//! rounded to 8. The EXIF orientation is ignored, as PIL and torchvision do by default: a photo that
//! only its viewer turns upright is used as it is stored.

use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{DataError, Pixels};
use crate::files;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Start of image, and the first byte of the next marker.
const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF];
/// What an image may take in memory: a file of a few kilobytes can claim 65,535 rows and columns.
const MOST_BYTES: usize = 512 << 20;

/// Reads a .png or .jpeg file; the content decides which of the two it is.
pub fn read_image(path: &Path) -> Result<Pixels, DataError> {
    let bytes = files::read(path, files::IMAGE)
        .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
    decode(&bytes).map_err(|reason| DataError::Decode { path: path.to_owned(), reason })
}

fn decode(bytes: &[u8]) -> Result<Pixels, String> {
    let decoded = match bytes {
        _ if bytes.starts_with(PNG) => png(bytes),
        _ if bytes.starts_with(JPEG) => jpeg(bytes),
        _ => Err("it begins neither as a PNG file nor as a JPEG file".to_owned()),
    };
    decoded.map_err(|e| one_line(&e))
}

/// A buffer for the samples of an image, if they are not too many.
fn buffer(length: Option<usize>) -> Result<Vec<u8>, String> {
    match length.filter(|&length| length <= MOST_BYTES) {
        Some(length) => Ok(vec![0; length]),
        None => Err(format!("the image is larger than {} MiB", MOST_BYTES >> 20)),
    }
}

fn png(bytes: &[u8]) -> Result<Pixels, String> {
    let limits = png::Limits { bytes: MOST_BYTES };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes become RGB, and fewer bits than eight become eight.
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let mut samples = buffer(reader.output_buffer_size())?;
    let frame = reader.next_frame(&mut samples).map_err(|e| e.to_string())?;
    if frame.bit_depth == BitDepth::Sixteen {
        samples = samples.chunks_exact(2).map(|s| rounded([s[0], s[1]])).collect();
    }
    let channels = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    let [width, height] = [frame.width, frame.height].map(|pixels| pixels as usize);
    Ok(Pixels { width, height, channels, data: samples })
}

/// The nearest of 256 values to one of 65,536.
fn rounded(sample: [u8; 2]) -> u8 {
    let sample = u32::from(u16::from_be_bytes(sample));
    ((sample + 128) / 257) as u8
}

fn jpeg(bytes: &[u8]) -> Result<Pixels, String> {
    if !jpeg_is_complete(bytes) {
        return Err("the JPEG data ends early".to_owned());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let (space, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        // The decoder makes RGB of YCbCr, CMYK and YCCK.
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let length = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
    let mut samples = buffer(length)?;
    decoder.decode_into(&mut samples).map_err(|e| e.to_string())?;
    Ok(Pixels { width, height, channels, data: samples })
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
