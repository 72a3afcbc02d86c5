//! `B^T d B`: a window of 6x6 pixels, eight channels at a time.

use core::arch::aarch64::{
    int16x8_t, vaddq_s16, vdupq_n_s16, vld1_s8, vmovl_s8, vshlq_n_s16, vst1q_s16, vsubq_s16,
};

use super::LANES;
use crate::kernels::ConvShape;
use crate::kernels::winograd4::{WINDOW, window};

/// See [`crate::kernels::winograd4::Isa::transform_input`].
#[target_feature(enable = "neon")]
pub(super) fn transform(
    shape: &ConvShape,
    input: &[i8],
    corner: (usize, usize),
    tile: usize,
    stride: usize,
    to: &mut [i16],
) {
    let in_c = shape.input[2];
    let zero_point = vdupq_n_s16(shape.input_zero_point.into());
    let pixels = window(shape, corner);
    for channel in (0..in_c).step_by(LANES) {
        let mut rows = [[zero_point; WINDOW]; WINDOW];
        for x in 0..WINDOW {
            let column = pixels.map(|row| match row[x] {
                Some(at) => load(input, at + channel).unwrap_or(zero_point),
                None => zero_point,
            });
            for (row, value) in rows.iter_mut().zip(transform_6(column)) {
                row[x] = value;
            }
        }
        let at = tile * in_c + channel;
        for (y, row) in rows.into_iter().enumerate() {
            for (x, value) in transform_6(row).into_iter().enumerate() {
                store(to, (y * WINDOW + x) * stride + at, value);
            }
        }
    }
}

/// The rows [4 0 -5 0 1 0] [0 -4 -4 1 1 0] [0 4 -4 -1 1 0] [0 -2 -1 2 1 0] [0 2 -1 -2 1 0]
/// [0 4 0 -5 0 1].
#[target_feature(enable = "neon")]
#[inline]
fn transform_6([d0, d1, d2, d3, d4, d5]: [int16x8_t; WINDOW]) -> [int16x8_t; WINDOW] {
    let d4_d2 = vsubq_s16(d4, d2);
    let d3_d1 = vsubq_s16(d3, d1);
    let twice = vaddq_s16(d3_d1, d3_d1);
    let even = vsubq_s16(d4, vshlq_n_s16::<2>(d2));
    let odd = vsubq_s16(d3, vshlq_n_s16::<2>(d1));
    [
        vaddq_s16(vshlq_n_s16::<2>(vsubq_s16(d0, d2)), d4_d2),
        vaddq_s16(even, odd),
        vsubq_s16(even, odd),
        vaddq_s16(d4_d2, twice),
        vsubq_s16(d4_d2, twice),
        vsubq_s16(vsubq_s16(d5, d3), vaddq_s16(twice, twice)),
    ]
}

#[target_feature(enable = "neon")]
#[inline]
fn load(input: &[i8], at: usize) -> Option<int16x8_t> {
    let values = input.get(at..)?.first_chunk::<LANES>()?;
    // SAFETY: `values` is eight readable bytes.
    Some(vmovl_s8(unsafe { vld1_s8(values.as_ptr()) }))
}

#[target_feature(enable = "neon")]
#[inline]
fn store(to: &mut [i16], at: usize, value: int16x8_t) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<LANES>()) {
        // SAFETY: `to` is eight writable elements.
        unsafe { vst1q_s16(to.as_mut_ptr(), value) };
    }
}
