//! `G g G^T`: 3x3 weights of eight output channels at a time.

use core::arch::aarch64::{
    int8x8_t, int16x8_t, vabsq_s8, vaddq_s16, vaddvq_u32, vdupq_n_s16, vdupq_n_u16, vdupq_n_u32,
    vld1_s8, vld1q_s8, vmlaq_s16, vmlsq_s16, vmovl_s8, vmulq_n_s16, vpadalq_u8, vpadalq_u16,
    vreinterpret_s8_s32, vreinterpret_s16_s8, vreinterpret_s32_s16, vreinterpretq_u8_s8, vst1q_s16,
    vsubq_s16, vtrn1_s8, vtrn1_s16, vtrn1_s32, vtrn2_s8, vtrn2_s16, vtrn2_s32,
};
use core::ops::Range;

use super::LANES;
use crate::kernels::aarch64::winograd4::{POSITIONS, WINDOW};
use crate::kernels::winograd4::BLOCK;

/// Taps of a 3x3 filter.
const TAPS: usize = 9;

/// Whether the sums of all output channels, of rows of `len` weights, stay below 2^25 whatever the
/// input.
#[target_feature(enable = "neon")]
pub(super) fn sums_fit(weights: &[i8], len: usize) -> bool {
    const MOST: u32 = 1 << 25 >> 7;
    /// So many pairs of magnitudes fit 16 bits.
    const VECTORS: usize = 255;
    if len < MOST as usize / 128 {
        return true;
    }
    weights.chunks_exact(len).all(|row| {
        let mut sums = vdupq_n_u32(0);
        let (vectors, rest) = row.as_chunks::<16>();
        for vectors in vectors.chunks(VECTORS) {
            let mut narrow = vdupq_n_u16(0);
            for vector in vectors {
                // SAFETY: `vector` is sixteen readable bytes.
                let magnitudes = vabsq_s8(unsafe { vld1q_s8(vector.as_ptr()) });
                // -128 becomes 128 as an unsigned byte.
                narrow = vpadalq_u8(narrow, vreinterpretq_u8_s8(magnitudes));
            }
            sums = vpadalq_u16(sums, narrow);
        }
        let rest: u32 = rest.iter().map(|weight| u32::from(weight.unsigned_abs())).sum();
        vaddvq_u32(sums).saturating_add(rest) < MOST
    })
}

/// `G g G^T` of a block of output channels from `oc` on and input channels `part`, as
/// `[position][input channel][output channel]`; positions are `stride` elements apart. `None` if a slice is
/// too short.
#[target_feature(enable = "neon")]
pub(super) fn transform(
    weights: &[i8],
    in_c: usize,
    oc: usize,
    part: Range<usize>,
    stride: usize,
    to: &mut [i16],
) -> Option<()> {
    let read = (oc + BLOCK).saturating_mul(TAPS).saturating_mul(in_c);
    let written = (POSITIONS - 1).saturating_mul(stride).saturating_add(part.len() * BLOCK);
    let whole = part.len().is_multiple_of(LANES) && part.end <= in_c;
    if weights.len() < read || to.len() < written || !whole {
        return None;
    }
    for first in (0..part.len()).step_by(LANES) {
        for half in 0..BLOCK / LANES {
            let taps: [[int8x8_t; LANES]; TAPS] = core::array::from_fn(|tap| {
                transpose(core::array::from_fn(|index| {
                    let filter = (oc + half * LANES + index) * TAPS + tap;
                    let at = filter * in_c + part.start + first;
                    // SAFETY: the filter is one of the block's, and `part` ends within `in_c`.
                    unsafe { vld1_s8(weights.as_ptr().add(at)) }
                }))
            });
            for channel in 0..LANES {
                let filter = taps.each_ref().map(|channels| vmovl_s8(channels[channel]));
                let at = (first + channel) * BLOCK + half * LANES;
                // SAFETY: the block's last channel of the part, in the last position, ends at `written`.
                unsafe { store(filter, stride, to.as_mut_ptr().add(at)) };
            }
        }
    }
    Some(())
}

/// Transforms a filter, `[ky][kx]`, and writes its 36 positions `stride` elements apart.
///
/// # Safety
/// `to` points to eight writable elements at every position.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store(filter: [int16x8_t; TAPS], stride: usize, to: *mut i16) {
    let [a0, a1, a2, b0, b1, b2, c0, c1, c2] = filter;
    let (left, middle) = (transform_3(a0, b0, c0), transform_3(a1, b1, c1));
    let right = transform_3(a2, b2, c2);
    for y in 0..WINDOW {
        let row = transform_3(left[y], middle[y], right[y]);
        for (x, value) in row.into_iter().enumerate() {
            // SAFETY: the caller vouches for every position.
            unsafe { vst1q_s16(to.add((y * WINDOW + x) * stride), value) };
        }
    }
}

/// The rows [6 0 0] [-4 -4 -4] [-4 4 -4] [1 2 4] [1 -2 4] [0 0 12].
#[target_feature(enable = "neon")]
#[inline]
fn transform_3(a: int16x8_t, b: int16x8_t, c: int16x8_t) -> [int16x8_t; WINDOW] {
    let ends = vaddq_s16(a, c);
    let (two, four) = (vdupq_n_s16(2), vdupq_n_s16(4));
    let far = vmlaq_s16(a, c, four);
    [
        vmulq_n_s16(a, 6),
        vmulq_n_s16(vaddq_s16(ends, b), -4),
        vmulq_n_s16(vsubq_s16(ends, b), -4),
        vmlaq_s16(far, b, two),
        vmlsq_s16(far, b, two),
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
