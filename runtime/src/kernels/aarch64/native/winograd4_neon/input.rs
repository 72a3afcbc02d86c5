//! `B^T d B`: a window of 6x6 pixels, eight channels at a time.

use core::arch::aarch64::{
    int16x8_t, vaddq_s16, vdupq_n_s16, vld1_s8, vmlaq_s16, vmlsq_s16, vmovl_s8, vst1q_s16,
    vsubq_s16,
};

use super::LANES;
use crate::kernels::ConvShape;
use crate::kernels::aarch64::winograd4::{POSITIONS, WINDOW};

/// Where in the input the pixels of a tile's window begin, its first output pixel being `corner` (row,
/// column); none for padding.
fn window(shape: &ConvShape, corner: (usize, usize)) -> [[Option<usize>; WINDOW]; WINDOW] {
    let [in_h, in_w, in_c] = shape.input;
    let mut pixels = [[None; WINDOW]; WINDOW];
    for (y, row) in pixels.iter_mut().enumerate() {
        let y = (corner.0 + y).checked_sub(shape.pads[0]).filter(|&y| y < in_h);
        for (x, pixel) in row.iter_mut().enumerate() {
            let x = (corner.1 + x).checked_sub(shape.pads[1]).filter(|&x| x < in_w);
            *pixel = y.zip(x).map(|(y, x)| (y * in_w + x) * in_c);
        }
    }
    pixels
}

/// Transforms the window of the tile whose first output pixel is `corner` (row, column) and writes its
/// positions `stride` elements apart. `buffer` takes the pixels of a window with padding in it. `None` if a
/// slice is too short.
#[target_feature(enable = "neon")]
pub(super) fn transform(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    buffer: &mut [i8],
    stride: usize,
    to: &mut [i16],
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let inside = |corner: usize, pad: usize, extent: usize| {
        corner.checked_sub(pad).filter(|&first| first + WINDOW <= extent)
    };
    let (y, x) = (inside(corner.0, shape.pads[0], in_h), inside(corner.1, shape.pads[1], in_w));
    if let Some((y, x)) = y.zip(x) {
        let pixels = input.get((y * in_w + x) * in_c..)?;
        return transform_window(pixels, in_w * in_c, in_c, stride, to);
    }
    let from = window(shape, corner).into_iter().flatten();
    for (pixel, from) in buffer.chunks_exact_mut(in_c.max(1)).zip(from) {
        match from {
            Some(from) => pixel.copy_from_slice(input.get(from..)?.get(..in_c)?),
            None => pixel.fill(shape.input_zero_point),
        }
    }
    transform_window(buffer, WINDOW * in_c, in_c, stride, to)
}

/// Transforms a window whose rows are `row` elements apart; `None` if a slice is too short.
#[target_feature(enable = "neon")]
pub(super) fn transform_window(
    pixels: &[i8],
    row: usize,
    in_c: usize,
    stride: usize,
    to: &mut [i16],
) -> Option<()> {
    let last = (WINDOW - 1).saturating_mul(row).saturating_add(WINDOW.saturating_mul(in_c));
    let room = (POSITIONS - 1).saturating_mul(stride).saturating_add(in_c);
    if pixels.len() < last || to.len() < room || !in_c.is_multiple_of(LANES) {
        return None;
    }
    let (pixels, to) = (pixels.as_ptr(), to.as_mut_ptr());
    for channel in (0..in_c).step_by(LANES) {
        let mut rows = [[vdupq_n_s16(0); WINDOW]; WINDOW];
        for x in 0..WINDOW {
            let column = core::array::from_fn(|y| {
                // SAFETY: `x` and `y` are less than WINDOW and `channel + LANES <= in_c`, so the eight
                // bytes end within `last`.
                vmovl_s8(unsafe { vld1_s8(pixels.add(y * row + x * in_c + channel)) })
            });
            for (row, value) in rows.iter_mut().zip(transform_6(column)) {
                row[x] = value;
            }
        }
        for (y, row) in rows.into_iter().enumerate() {
            for (x, value) in transform_6(row).into_iter().enumerate() {
                // SAFETY: `channel + LANES <= in_c`, so the eight elements end within `room`.
                unsafe { vst1q_s16(to.add((y * WINDOW + x) * stride + channel), value) };
            }
        }
    }
    Some(())
}

/// The rows [4 0 -5 0 1 0] [0 -4 -4 1 1 0] [0 4 -4 -1 1 0] [0 -2 -1 2 1 0] [0 2 -1 -2 1 0]
/// [0 4 0 -5 0 1].
#[target_feature(enable = "neon")]
#[inline]
fn transform_6([d0, d1, d2, d3, d4, d5]: [int16x8_t; WINDOW]) -> [int16x8_t; WINDOW] {
    let four = vdupq_n_s16(4);
    let d4_d2 = vsubq_s16(d4, d2);
    let d3_d1 = vsubq_s16(d3, d1);
    let twice = vaddq_s16(d3_d1, d3_d1);
    let even = vmlsq_s16(d4, d2, four);
    let odd = vmlsq_s16(d3, d1, four);
    [
        vmlaq_s16(d4_d2, vsubq_s16(d0, d2), four),
        vaddq_s16(even, odd),
        vsubq_s16(even, odd),
        vaddq_s16(d4_d2, twice),
        vsubq_s16(d4_d2, twice),
        vmlsq_s16(vsubq_s16(d5, d3), d3_d1, four),
    ]
}
