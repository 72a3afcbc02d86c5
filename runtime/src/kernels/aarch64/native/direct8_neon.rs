//! [`direct8`] with `SMULL`, `SMLAL2` and `SADALP`: four windows times four output channels, sixteen
//! elements at a time, in sixteen accumulators whose lanes are added at the end.
//!
//! Two products of bytes fit 16 bits where no weight is -128: 2 * 127 * 128 < 2^15. A block of weights
//! with a -128 in it, which fixnet's quantizer never makes, is multiplied one product at a time.
//!
//! A block's weights are `[four output channels][sixteen elements][output channel][element]`.

use core::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s8, vdupq_n_s32, vget_low_s8, vld1q_s8, vminq_s8,
    vminvq_s8, vmlal_high_s8, vmull_high_s8, vmull_s8, vpadalq_s16, vpaddq_s32, vst1q_s8,
};

use super::Neon;
use super::direct8::{self, Block, Direct8Isa, Range8};
use super::requantize_block::{Requantizer, VECTORS};
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::aarch64::direct8::{BLOCK, STEP};

/// Output channels that are multiplied at a time.
const QUAD: usize = 4;
/// Output pixels of a tile.
const PIXELS: usize = 4;

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct8_neon(token: Neon, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct8::conv(token, args)
}

impl Direct8Isa for Neon {
    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { pack(rows, len, padded, to) }
    }

    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()> {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe {
            match block.range {
                Range8::Symmetric => compute::<true>(block, output),
                Range8::Whole => compute::<false>(block, output),
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn compute<const PAIRS: bool>(block: Block<'_>, output: &mut [i8]) -> Option<()> {
    let rq = &Requantizer::new(block.channels, block.requantization, block.residual)?;
    for tile in block.tiles(PIXELS, 1) {
        match tile.len() {
            1 => some_pixels::<1, PAIRS>(rq, &block, tile.start, output)?,
            2 => some_pixels::<2, PAIRS>(rq, &block, tile.start, output)?,
            3 => some_pixels::<3, PAIRS>(rq, &block, tile.start, output)?,
            _ => some_pixels::<PIXELS, PAIRS>(rq, &block, tile.start, output)?,
        }
    }
    Some(())
}

/// A tile of `P` windows, from pixel `first` on.
#[target_feature(enable = "neon")]
fn some_pixels<const P: usize, const PAIRS: bool>(
    requantizer: &Requantizer<'_>,
    block: &Block<'_>,
    first: usize,
    output: &mut [i8],
) -> Option<()> {
    let Block { padded, weights, out_c, .. } = *block;
    let (patches, at) = block.tile(first)?;
    let long = patches.len() >= P * padded && weights.len() >= BLOCK * padded;
    if !long || !padded.is_multiple_of(STEP) {
        return None;
    }
    let mut sums = [requantizer.bias; P];
    for quad in 0..VECTORS {
        // SAFETY: there are `P` windows, and weights for four quads.
        let products = unsafe {
            let weights = weights.as_ptr().add(quad * QUAD * padded);
            multiply::<P, PAIRS>(patches.as_ptr(), weights, padded)
        };
        for (sums, products) in sums.iter_mut().zip(products) {
            sums[quad] = vaddq_s32(sums[quad], products);
        }
    }
    for (pixel, sums) in sums.into_iter().enumerate() {
        requantizer.store(sums, at + pixel * out_c, output)?;
    }
    Some(())
}

/// With `PAIRS` no weight is -128.
///
/// # Safety
/// `patches` points to `P * padded` readable elements, `weights` to `QUAD * padded`, and `padded` is a
/// multiple of [`STEP`].
#[target_feature(enable = "neon")]
#[inline]
unsafe fn multiply<const P: usize, const PAIRS: bool>(
    patches: *const i8,
    weights: *const i8,
    padded: usize,
) -> [int32x4_t; P] {
    let mut sums = [[vdupq_n_s32(0); QUAD]; P];
    for element in (0..padded).step_by(STEP) {
        let windows: [int8x16_t; P] = core::array::from_fn(|pixel| {
            // SAFETY: `element + STEP <= padded`, and there are `P` windows.
            unsafe { vld1q_s8(patches.add(pixel * padded + element)) }
        });
        for channel in 0..QUAD {
            // SAFETY: `element + STEP <= padded`, and the channel is less than QUAD.
            let weights = unsafe { vld1q_s8(weights.add(element * QUAD + channel * STEP)) };
            for (sums, &window) in sums.iter_mut().zip(&windows) {
                let low = vmull_s8(vget_low_s8(weights), vget_low_s8(window));
                sums[channel] = if PAIRS {
                    vpadalq_s16(sums[channel], vmlal_high_s8(low, weights, window))
                } else {
                    let high = vmull_high_s8(weights, window);
                    vpadalq_s16(vpadalq_s16(sums[channel], low), high)
                };
            }
        }
    }
    sums.map(|[a, b, c, d]| vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)))
}

/// See [`Direct8Isa::pack`].
#[target_feature(enable = "neon")]
fn pack(rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
    let (to, rows) = (to.get_mut(..BLOCK * padded)?, rows.get(..BLOCK * len)?);
    let mut lowest = vdupq_n_s8(0);
    let quads =
        rows.chunks_exact((QUAD * len).max(1)).zip(to.chunks_exact_mut((QUAD * padded).max(1)));
    for (rows, to) in quads {
        for (row, steps) in rows.chunks_exact(len.max(1)).enumerate() {
            for (element, to) in steps.chunks(STEP).zip(to.chunks_exact_mut(QUAD * STEP)) {
                let Some(to) = to.get_mut(row * STEP..(row + 1) * STEP) else { continue };
                let mut values = [0; STEP];
                match element.first_chunk() {
                    Some(element) => values = *element,
                    None => values.iter_mut().zip(element).for_each(|(to, &from)| *to = from),
                }
                // SAFETY: `values` is sixteen readable bytes, and so many of `to` are writable.
                unsafe {
                    let values = vld1q_s8(values.as_ptr());
                    lowest = vminq_s8(lowest, values);
                    vst1q_s8(to.as_mut_ptr(), values);
                }
            }
        }
    }
    Some(if vminvq_s8(lowest) == i8::MIN { Range8::Whole } else { Range8::Symmetric })
}
