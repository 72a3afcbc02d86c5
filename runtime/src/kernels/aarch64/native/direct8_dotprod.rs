//! [`direct8`] with `SDOT` by element: six windows times sixteen output channels in 24 accumulators.
//!
//! A block's weights are `[four elements][output channel][element]`: a vector holds four elements of
//! four output channels, and meets four elements of a window by their index in its vector.

use core::arch::aarch64::{
    int8x16_t, int32x4_t, vld1q_s8, vreinterpretq_s8_s64, vreinterpretq_s32_s8,
    vreinterpretq_s64_s32, vst1q_s8, vtrn1q_s32, vtrn1q_s64, vtrn2q_s32, vtrn2q_s64,
};
use core::arch::asm;

use super::Dotprod;
use super::direct8::{self, Block, Direct8Isa, Range8};
use super::requantize_block::{Requantizer, Sums, VECTORS};
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::aarch64::direct8::{BLOCK, STEP};

/// Elements of a dot product.
const DOT: usize = 4;
/// Most output pixels of a tile.
const PIXELS: usize = 6;

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct8_dotprod(token: Dotprod, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct8::conv(token, args)
}

impl Direct8Isa for Dotprod {
    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
        // SAFETY: the token proves that the CPU has dot products, and with them NEON.
        unsafe { pack(rows, len, padded, to)? }
        Some(Range8::Whole)
    }

    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()> {
        // SAFETY: the token proves that the CPU has dot products.
        unsafe { compute(block, output) }
    }
}

#[target_feature(enable = "neon,dotprod")]
fn compute(block: Block<'_>, output: &mut [i8]) -> Option<()> {
    let rq = &Requantizer::new(block.channels, block.requantization, block.residual)?
        .with_channels(block.count);
    for tile in block.tiles(PIXELS, 1) {
        match tile.len() {
            1 => some_pixels::<1>(rq, &block, tile.start, output)?,
            2 => some_pixels::<2>(rq, &block, tile.start, output)?,
            3 => some_pixels::<3>(rq, &block, tile.start, output)?,
            4 => some_pixels::<4>(rq, &block, tile.start, output)?,
            5 => some_pixels::<5>(rq, &block, tile.start, output)?,
            _ => some_pixels::<PIXELS>(rq, &block, tile.start, output)?,
        }
    }
    Some(())
}

/// A tile of `P` windows, from pixel `first` on.
#[target_feature(enable = "neon,dotprod")]
fn some_pixels<const P: usize>(
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
    let (patches, weights) = (patches.as_ptr(), weights.as_ptr());
    for element in (0..padded).step_by(STEP) {
        let windows: [int8x16_t; P] = core::array::from_fn(|pixel| {
            // SAFETY: `element + STEP <= padded`, and there are `P` windows.
            unsafe { vld1q_s8(patches.add(pixel * padded + element)) }
        });
        // SAFETY: `element + STEP <= padded`, and there are `BLOCK * padded` weights.
        unsafe { sixteen_elements(&mut sums, &windows, weights.add(element * BLOCK)) };
    }
    for (pixel, sums) in sums.into_iter().enumerate() {
        let at = at + pixel * out_c;
        // Few maps have so few pixels that tiles come out small.
        if P > PIXELS / 2 {
            requantizer.store(sums, at, output)?;
        } else {
            requantizer.store_called(sums, at, output)?;
        }
    }
    Some(())
}

/// # Safety
/// `weights` points to `STEP * BLOCK` readable elements.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn sixteen_elements<const P: usize>(
    sums: &mut [Sums; P],
    windows: &[int8x16_t; P],
    weights: *const i8,
) {
    macro_rules! dots {
        ($($lane:literal)*) => {$(
            for vector in 0..VECTORS {
                // SAFETY: lane and vector are less than four: within `STEP * BLOCK` elements.
                let weights = unsafe { vld1q_s8(weights.add(($lane * VECTORS + vector) * 16)) };
                for (sums, &window) in sums.iter_mut().zip(windows) {
                    sums[vector] = sdot::<$lane>(sums[vector], weights, window);
                }
            }
        )*};
    }
    dots!(0 1 2 3);
}

/// Adds the dot products of four vectors of four elements with elements `4 * LANE..` of `b`.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot<const LANE: usize>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its operands, and the CPU has it.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// See [`Direct8Isa::pack`].
#[target_feature(enable = "neon")]
fn pack(rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<()> {
    let rows = rows.get(..BLOCK * len)?;
    if to.len() < BLOCK * padded || len > padded {
        return None;
    }
    let whole = len / STEP * STEP;
    for element in (0..whole).step_by(STEP) {
        for quad in 0..BLOCK / DOT {
            let load = |row: usize| {
                // SAFETY: there are `BLOCK` rows of `len` elements, and `element + STEP <= len`.
                unsafe { vld1q_s8(rows.as_ptr().add((quad * DOT + row) * len + element)) }
            };
            for (index, four) in transpose(core::array::from_fn(load)).into_iter().enumerate() {
                let at = element * BLOCK + (index * VECTORS + quad) * 16;
                // SAFETY: within the `STEP * BLOCK` elements from `element * BLOCK` on, which `to` has.
                unsafe { vst1q_s8(to.as_mut_ptr().add(at), four) };
            }
        }
    }
    let rest = to.get_mut(whole * BLOCK..padded * BLOCK)?;
    rest.fill(0);
    for (channel, row) in rows.chunks_exact(len.max(1)).enumerate() {
        for (index, &weight) in row.iter().skip(whole).enumerate() {
            let at = (index / DOT * BLOCK + channel) * DOT + index % DOT;
            *rest.get_mut(at)? = weight;
        }
    }
    Some(())
}

/// Four rows of four times four bytes to columns.
#[target_feature(enable = "neon")]
#[inline]
fn transpose(rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
    let [a, b, c, d] = rows.map(|row| vreinterpretq_s32_s8(row));
    let wide = |x| vreinterpretq_s64_s32(x);
    let (ab0, ab1) = (wide(vtrn1q_s32(a, b)), wide(vtrn2q_s32(a, b)));
    let (cd0, cd1) = (wide(vtrn1q_s32(c, d)), wide(vtrn2q_s32(c, d)));
    [
        vreinterpretq_s8_s64(vtrn1q_s64(ab0, cd0)),
        vreinterpretq_s8_s64(vtrn1q_s64(ab1, cd1)),
        vreinterpretq_s8_s64(vtrn2q_s64(ab0, cd0)),
        vreinterpretq_s8_s64(vtrn2q_s64(ab1, cd1)),
    ]
}
