//! Maximum pools: sixteen channels of a pixel at a time.

use core::arch::aarch64::{vdupq_n_s8, vld1q_s8, vmaxq_s8, vminq_s8, vst1q_s8};

use super::Neon;
use super::average_pool_neon::inside;
use crate::error::Fault;
use crate::kernels::PoolShape;
use crate::kernels::portable::generic;

/// Channels of a vector.
const LANES: usize = 16;

/// See [`crate::kernels::portable::reference::max_pool`].
pub fn max_pool_neon(
    _token: Neon,
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    if shape.output[2] < LANES {
        return generic::max_pool(shape, clamp, input, output);
    }
    // SAFETY: the token proves that the CPU has NEON.
    unsafe { max_pool(shape, clamp, input, output) }.ok_or(Fault::Plan)
}

/// Of at least a vector of channels. `None` if there are fewer, or the input is too short.
#[target_feature(enable = "neon")]
fn max_pool(shape: &PoolShape, clamp: (i8, i8), input: &[i8], output: &mut [i8]) -> Option<()> {
    let [in_h, in_w, channels] = shape.input;
    let width = shape.output[1].max(1);
    let input = input.get(..in_h.checked_mul(in_w)?.checked_mul(channels)?)?;
    let (last, high) = (channels.checked_sub(LANES)?, vdupq_n_s8(clamp.1));
    for (pixel, output) in output.chunks_exact_mut(channels).enumerate() {
        let rows = inside(shape, 0, pixel / width);
        let columns = inside(shape, 1, pixel % width);
        for block in (0..channels).step_by(LANES) {
            // The last vector may begin in the one before.
            let first = block.min(last);
            let mut highest = vdupq_n_s8(clamp.0);
            for y in rows.clone() {
                let row = (y * in_w + columns.start) * channels + first;
                for x in 0..columns.len() {
                    // SAFETY: row and column are inside the input, whose length was checked, and the vector ends
                    // with the pixel's channels or before.
                    let values = unsafe { vld1q_s8(input.as_ptr().add(row + x * channels)) };
                    highest = vmaxq_s8(highest, values);
                }
            }
            let to = output.get_mut(first..)?.first_chunk_mut::<LANES>()?;
            // SAFETY: `to` is sixteen writable bytes.
            unsafe { vst1q_s8(to.as_mut_ptr(), vminq_s8(highest, high)) };
        }
    }
    Some(())
}
