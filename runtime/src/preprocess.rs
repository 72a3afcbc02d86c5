//! From 8-bit RGB pixels to the int8 input, in integers, the same on host and board.
//!
//! Without a mean image a 256-entry table per channel holds the whole recipe. With one,
//! `q = clamp((x * gains[c] + pixel_offsets[y][x][c]) >> 16)`, the offset carrying mean, zero point
//! and rounding. Mean and std are not folded into the first convolution: its zero padding means
//! real 0, not a black pixel.

use crate::error::SessionError;
use crate::format::{Model, PreprocessRecord};

/// Fraction bits of [`PreprocessRecord::gains`] and the per-pixel offsets.
pub const GAIN_FRACTION_BITS: u32 = 16;

/// Converts `rgb` (HWC, red first) to the network's int8 input (HWC, in its channel order).
///
/// # Errors
/// [`SessionError::InputLength`], or [`SessionError::NoPreprocessing`].
pub fn rgb_to_input(model: &Model<'_>, rgb: &[u8], input: &mut [i8]) -> Result<(), SessionError> {
    let record = model.preprocess().ok_or(SessionError::NoPreprocessing)?;
    let (needed, available) = (input.len(), rgb.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    match model.pixel_offsets() {
        Some(offsets) => with_mean_image(record, rgb, offsets, input),
        None => with_tables(record, rgb, input),
    }
    Ok(())
}

/// Converts `rgb` (HWC, red first) to real values (HWC, in the network's channel order), for a float
/// head: `((x - mean_image) * scale - mean) / std`.
///
/// # Errors
/// As [`rgb_to_input`].
#[cfg(feature = "tract")]
pub fn rgb_to_real(model: &Model<'_>, rgb: &[u8], real: &mut [f32]) -> Result<(), SessionError> {
    let record = model.preprocess().ok_or(SessionError::NoPreprocessing)?;
    let (needed, available) = (real.len(), rgb.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    let order = if record.bgr == 0 { [0, 1, 2] } else { [2, 1, 0] };
    let mean_image = model.mean_image();
    for (at, (pixel, out)) in rgb.chunks_exact(3).zip(real.chunks_exact_mut(3)).enumerate() {
        for (out, colour) in out.iter_mut().zip(order) {
            let mean = mean_image.and_then(|image| image.get(3 * at + colour));
            let x = f32::from(pixel[colour]) - mean.copied().unwrap_or(0.0);
            *out = (x * record.scale - record.mean[colour]) / record.std[colour];
        }
    }
    Ok(())
}

/// The pixel's channels in the network's order.
#[inline(always)]
fn ordered(pixel: &[u8], bgr: bool) -> [u8; 3] {
    match (pixel, bgr) {
        (&[r, g, b], false) => [r, g, b],
        (&[r, g, b], true) => [b, g, r],
        _ => [0; 3],
    }
}

fn with_tables(record: &PreprocessRecord, rgb: &[u8], input: &mut [i8]) {
    for (pixel, out) in rgb.chunks_exact(3).zip(input.chunks_exact_mut(3)) {
        let values = ordered(pixel, record.bgr != 0);
        for ((out, value), table) in out.iter_mut().zip(values).zip(&record.tables) {
            *out = table[usize::from(value)];
        }
    }
}

fn with_mean_image(record: &PreprocessRecord, rgb: &[u8], offsets: &[i32], input: &mut [i8]) {
    let pixels = rgb.chunks_exact(3).zip(offsets.chunks_exact(3));
    for ((pixel, offsets), out) in pixels.zip(input.chunks_exact_mut(3)) {
        let values = ordered(pixel, record.bgr != 0);
        for (((out, value), &gain), &offset) in
            out.iter_mut().zip(values).zip(&record.gains).zip(offsets)
        {
            let scaled = i32::from(value).wrapping_mul(gain).wrapping_add(offset);
            *out = (scaled >> GAIN_FRACTION_BITS).clamp(-128, 127) as i8;
        }
    }
}
