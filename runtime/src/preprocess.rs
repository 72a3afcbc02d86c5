//! From 8-bit pixels - grey, RGB, or RGB and alpha - to the int8 input, in integers, the same on host and
//! board.
//!
//! Without a mean image a 256-entry table per channel holds the whole recipe. With one,
//! `q = clamp((x * gains[c] + pixel_offsets[y][x][c]) >> 16)`, the offset carrying mean, zero point
//! and rounding. Mean and std are not folded into the first convolution: its zero padding means
//! real 0, not a black pixel.

use crate::error::SessionError;
use crate::format::{AlphaRecord, Model, PreprocessRecord};

/// Fraction bits of [`PreprocessRecord::gains`] and the per-pixel offsets.
pub const GAIN_FRACTION_BITS: u32 = 16;

/// Whether images have so many channels: grey, RGB, or RGB and alpha.
#[must_use]
pub const fn is_image(channels: usize) -> bool {
    matches!(channels, 1 | 3 | 4)
}

/// Converts `pixels` (HWC, as many channels as the model's image has, red first, alpha last) to the
/// network's int8 input (HWC, in its channel order).
///
/// # Errors
/// [`SessionError::InputLength`], or [`SessionError::NoPreprocessing`].
pub fn pixels_to_input(
    model: &Model<'_>,
    pixels: &[u8],
    input: &mut [i8],
) -> Result<(), SessionError> {
    let record = model.preprocess().ok_or(SessionError::NoPreprocessing)?;
    let (needed, available) = (input.len(), pixels.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    let offsets = model.pixel_offsets();
    match model.image_shape()[2] {
        1 => convert::<1>(record, None, pixels, offsets, input),
        3 => convert::<3>(record, None, pixels, offsets, input),
        _ => convert::<4>(record, model.alpha(), pixels, offsets, input),
    }
    Ok(())
}

/// Converts `pixels`, as [`pixels_to_input`] takes them, to real values (HWC, in the network's channel
/// order), for a float head: `((x - mean_image) * scale - mean) / std`.
///
/// # Errors
/// As [`pixels_to_input`].
#[cfg(feature = "tract")]
pub fn pixels_to_real(
    model: &Model<'_>,
    pixels: &[u8],
    real: &mut [f32],
) -> Result<(), SessionError> {
    let record = model.preprocess().ok_or(SessionError::NoPreprocessing)?;
    let (needed, available) = (real.len(), pixels.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    let channels = model.image_shape()[2].max(1);
    let (alpha_mean, alpha_std) = model.alpha().map_or((0.0, 1.0), |alpha| (alpha.mean, alpha.std));
    let [m0, m1, m2] = record.mean;
    let [s0, s1, s2] = record.std;
    let (mean, std) = ([m0, m1, m2, alpha_mean], [s0, s1, s2, alpha_std]);
    let mean_image = model.mean_image();
    let images = pixels.chunks_exact(channels).zip(real.chunks_exact_mut(channels));
    for (at, (pixel, out)) in images.enumerate() {
        for (channel, out) in out.iter_mut().enumerate() {
            let colour = place(channel, record.bgr != 0 && channels > 1);
            let mean_pixel = mean_image.and_then(|image| image.get(channels * at + colour));
            let x = f32::from(pixel[colour]) - mean_pixel.copied().unwrap_or(0.0);
            *out = (x * record.scale - mean[colour]) / std[colour];
        }
    }
    Ok(())
}

/// The channel of an image that the network's `channel` holds.
#[inline(always)]
const fn place(channel: usize, bgr: bool) -> usize {
    match channel {
        0 | 2 if bgr => 2 - channel,
        _ => channel,
    }
}

#[inline(always)]
fn convert<const CHANNELS: usize>(
    record: &PreprocessRecord,
    alpha: Option<&AlphaRecord>,
    pixels: &[u8],
    offsets: Option<&[i32]>,
    input: &mut [i8],
) {
    let bgr = record.bgr != 0 && CHANNELS > 1;
    let pixels = pixels.as_chunks::<CHANNELS>().0;
    let input = input.as_chunks_mut::<CHANNELS>().0;
    match offsets {
        None => {
            let [t0, t1, t2] = &record.tables;
            let tables = [t0, t1, t2, alpha.map_or(t0, |alpha| &alpha.table)];
            for (pixel, out) in pixels.iter().zip(input) {
                for ((channel, out), table) in out.iter_mut().enumerate().zip(tables) {
                    let value = pixel.get(place(channel, bgr)).copied().unwrap_or(0);
                    *out = table[usize::from(value)];
                }
            }
        }
        Some(offsets) => {
            let [g0, g1, g2] = record.gains;
            let gains = [g0, g1, g2, alpha.map_or(0, |alpha| alpha.gain)];
            let offsets = offsets.as_chunks::<CHANNELS>().0;
            for ((pixel, out), offsets) in pixels.iter().zip(input).zip(offsets) {
                for (((channel, out), gain), &offset) in
                    out.iter_mut().enumerate().zip(gains).zip(offsets)
                {
                    let value = pixel.get(place(channel, bgr)).copied().unwrap_or(0);
                    let scaled = i32::from(value).wrapping_mul(gain).wrapping_add(offset);
                    *out = (scaled >> GAIN_FRACTION_BITS).clamp(-128, 127) as i8;
                }
            }
        }
    }
}
