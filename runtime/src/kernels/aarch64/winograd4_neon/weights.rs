//! `G g G^T`: 3x3 weights of eight output channels at a time.

use core::arch::aarch64::{
    int8x8_t, int16x8_t, vabsq_s8, vaddq_s16, vaddvq_u32, vdup_n_s8, vdupq_n_s16, vdupq_n_u32,
    vld1_s8, vld1q_s8, vmovl_s8, vmulq_n_s16, vpadalq_u16, vpaddlq_u8, vreinterpret_s8_s32,
    vreinterpret_s16_s8, vreinterpret_s32_s16, vreinterpretq_u8_s8, vshlq_n_s16, vst1q_s16,
    vsubq_s16, vtrn1_s8, vtrn1_s16, vtrn1_s32, vtrn2_s8, vtrn2_s16, vtrn2_s32,
};
use core::ops::Range;

use super::LANES;
use crate::kernels::winograd4::{BLOCK, POSITIONS, WINDOW};

/// Taps of a 3x3 filter.
const TAPS: usize = 9;

/// Whether the sums of all output channels, of rows of `len` weights, stay below 2^25 whatever the
/// input.
#[target_feature(enable = "neon")]
pub(super) fn sums_fit(weights: &[i8], len: usize) -> bool {
    const MOST: u32 = 1 << 25 >> 7;
    if len <= MOST as usize / 128 - 1 {
        return true;
    }
    weights.chunks_exact(len).all(|row| {
        let mut sums = vdupq_n_u32(0);
        let (vectors, rest) = row.as_chunks::<16>();
        for vector in vectors {
            // SAFETY: `vector` is sixteen readable bytes.
            let magnitudes = vabsq_s8(unsafe { vld1q_s8(vector.as_ptr()) });
            // -128 becomes 128 as an unsigned byte.
            sums = vpadalq_u16(sums, vpaddlq_u8(vreinterpretq_u8_s8(magnitudes)));
        }
        let rest: u32 = rest.iter().map(|weight| u32::from(weight.unsigned_abs())).sum();
        vaddvq_u32(sums).saturating_add(rest) < MOST
    })
}

/// `G g G^T` of a block of output channels from `oc` on and input channels `part`, as
/// `[position][input channel][output channel]`; positions are `stride` elements apart.
#[target_feature(enable = "neon")]
pub(super) fn transform(
    weights: &[i8],
    in_c: usize,
    oc: usize,
    part: Range<usize>,
    stride: usize,
    to: &mut [i16],
) {
    for first in (0..part.len()).step_by(LANES) {
        for half in 0..BLOCK / LANES {
            let mut taps = [[vdup_n_s8(0); LANES]; TAPS];
            for (tap, channels) in taps.iter_mut().enumerate() {
                let row = |index: usize| {
                    let filter = (oc + half * LANES + index) * TAPS + tap;
                    load(weights, filter * in_c + part.start + first)
                };
                *channels = transpose(core::array::from_fn(row));
            }
            for channel in 0..LANES {
                let filter = taps.each_ref().map(|channels| vmovl_s8(channels[channel]));
                let at = (first + channel) * BLOCK + half * LANES;
                store(filter, stride, to.get_mut(at..).unwrap_or_default());
            }
        }
    }
}

/// Transforms a filter, `[ky][kx]`, and writes its 36 positions `stride` elements apart.
#[target_feature(enable = "neon")]
#[inline]
fn store(filter: [int16x8_t; TAPS], stride: usize, to: &mut [i16]) {
    let last = (POSITIONS - 1).saturating_mul(stride);
    if to.len() < last.saturating_add(LANES) {
        return;
    }
    let to = to.as_mut_ptr();
    let [a0, a1, a2, b0, b1, b2, c0, c1, c2] = filter;
    let left = transform_3(a0, b0, c0).into_iter();
    let rows = left.zip(transform_3(a1, b1, c1)).zip(transform_3(a2, b2, c2));
    for (y, ((left, middle), right)) in rows.enumerate() {
        let row = transform_3(left, middle, right);
        for (x, value) in row.into_iter().enumerate() {
            // SAFETY: the position is less than POSITIONS, so the eight elements end within `to`.
            unsafe { vst1q_s16(to.add((y * WINDOW + x) * stride), value) };
        }
    }
}

/// The rows [6 0 0] [-4 -4 -4] [-4 4 -4] [1 2 4] [1 -2 4] [0 0 12].
#[target_feature(enable = "neon")]
#[inline]
fn transform_3(a: int16x8_t, b: int16x8_t, c: int16x8_t) -> [int16x8_t; WINDOW] {
    let minus = vsubq_s16(vdupq_n_s16(0), vaddq_s16(a, c));
    let four = vaddq_s16(a, vshlq_n_s16::<2>(c));
    let twice = vaddq_s16(b, b);
    [
        vmulq_n_s16(a, 6),
        vshlq_n_s16::<2>(vsubq_s16(minus, b)),
        vshlq_n_s16::<2>(vaddq_s16(minus, b)),
        vaddq_s16(four, twice),
        vsubq_s16(four, twice),
        vmulq_n_s16(c, 12),
    ]
}

/// Eight rows of eight bytes: byte `k` of every row becomes result `k`.
#[target_feature(enable = "neon")]
#[inline]
fn transpose(rows: [int8x8_t; LANES]) -> [int8x8_t; LANES] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let pair = |a: int8x8_t, b: int8x8_t| {
        [vreinterpret_s16_s8(vtrn1_s8(a, b)), vreinterpret_s16_s8(vtrn2_s8(a, b))]
    };
    let ([a0, a1], [a2, a3]) = (pair(r0, r1), pair(r2, r3));
    let ([a4, a5], [a6, a7]) = (pair(r4, r5), pair(r6, r7));
    let four =
        |a, b| [vreinterpret_s32_s16(vtrn1_s16(a, b)), vreinterpret_s32_s16(vtrn2_s16(a, b))];
    let ([b0, b2], [b1, b3]) = (four(a0, a2), four(a1, a3));
    let ([b4, b6], [b5, b7]) = (four(a4, a6), four(a5, a7));
    let eight = |a, b| [vreinterpret_s8_s32(vtrn1_s32(a, b)), vreinterpret_s8_s32(vtrn2_s32(a, b))];
    let ([c0, c4], [c1, c5]) = (eight(b0, b4), eight(b1, b5));
    let ([c2, c6], [c3, c7]) = (eight(b2, b6), eight(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Eight weights; zeros where there are none.
#[target_feature(enable = "neon")]
#[inline]
fn load(weights: &[i8], at: usize) -> int8x8_t {
    match weights.get(at..).and_then(|weights| weights.first_chunk::<LANES>()) {
        // SAFETY: `values` is eight readable bytes.
        Some(values) => unsafe { vld1_s8(values.as_ptr()) },
        None => vdup_n_s8(0),
    }
}
