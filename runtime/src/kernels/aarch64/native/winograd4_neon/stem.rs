//! The window of a stem's tile: 2x2 pixels of the input become one of twelve channels, `[row][column]
//! [channel]`, and are transformed as any other.

use super::input::transform_window;
use crate::kernels::ConvShape;
use crate::kernels::aarch64::winograd4::STEM_ROW;
use crate::kernels::aarch64::winograd4::WINDOW;

/// Channels of the input.
const CHANNELS: usize = 3;
/// Bytes of two pixels.
const PAIR: usize = 2 * CHANNELS;
/// Input pixels on a side of a window.
const EXTENT: usize = 2 * WINDOW;

/// See [`super::input::transform`].
#[target_feature(enable = "neon")]
pub(super) fn transform(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    buffer: &mut [i8],
    stride: usize,
    to: &mut [i16],
) -> Option<()> {
    if gather_inside(shape, input, corner, buffer).is_none() {
        gather(shape, input, corner, buffer)?;
    }
    transform_window(buffer, WINDOW * STEM_ROW, STEM_ROW, stride, to)
}

/// A window without padding, two pixels at a time; none if it is not, or too near the end of the input.
fn gather_inside(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    buffer: &mut [i8],
) -> Option<()> {
    let [in_h, in_w, _] = shape.input;
    let y = (2 * corner.0).checked_sub(shape.pads[0]).filter(|y| y + EXTENT <= in_h)?;
    let x = (2 * corner.1).checked_sub(shape.pads[1]).filter(|x| x + EXTENT <= in_w)?;
    let line = in_w * CHANNELS;
    let from = input.get((y * in_w + x) * CHANNELS..)?;
    for (row, to) in buffer.chunks_exact_mut(WINDOW * STEM_ROW).take(WINDOW).enumerate() {
        let upper = from.get(2 * row * line..)?;
        let lower = from.get((2 * row + 1) * line..)?;
        for (pair, to) in to.chunks_exact_mut(STEM_ROW).enumerate() {
            let (upper, lower) = (eight(upper, pair * PAIR)?, eight(lower, pair * PAIR)?);
            // Six bytes of either; the rest is met by no weights.
            let both = u128::from(upper & 0xffff_ffff_ffff) | u128::from(lower) << 48;
            *to.first_chunk_mut()? = both.to_le_bytes().map(u8::cast_signed);
        }
    }
    Some(())
}

/// Eight bytes from `at` on.
#[inline(always)]
fn eight(from: &[i8], at: usize) -> Option<u64> {
    let bytes: &[i8; 8] = from.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(bytes.map(i8::cast_unsigned)))
}

/// A window with padding, pixel by pixel.
fn gather(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    buffer: &mut [i8],
) -> Option<()> {
    let [in_h, in_w, _] = shape.input;
    for y in 0..EXTENT {
        let from_y = (2 * corner.0 + y).checked_sub(shape.pads[0]).filter(|&y| y < in_h);
        for x in 0..EXTENT {
            let from_x = (2 * corner.1 + x).checked_sub(shape.pads[1]).filter(|&x| x < in_w);
            let pair = (y / 2 * WINDOW + x / 2) * STEM_ROW;
            let at = pair + y % 2 * PAIR + x % 2 * CHANNELS;
            let to: &mut [i8; CHANNELS] = buffer.get_mut(at..)?.first_chunk_mut()?;
            *to = match from_y.zip(from_x) {
                Some((y, x)) => *input.get((y * in_w + x) * CHANNELS..)?.first_chunk()?,
                None => [shape.input_zero_point; CHANNELS],
            };
        }
    }
    Some(())
}
