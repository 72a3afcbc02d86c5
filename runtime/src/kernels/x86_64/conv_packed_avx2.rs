//! Direct convolution with all weights in 16 bits and in the order of their products, packed into the
//! scratch at each call: for layers of few weights and short windows, a network's stem above all, where
//! the horizontal sums of [`super::conv_direct_avx2`] would cost as much as the products.

use zerocopy::FromBytes;

use super::Avx2;
use super::outer_product::{self, BLOCK, ROWS};
use super::patch_avx2::{self, VECTOR};
use super::requantize_avx2::requantize_pixel;
use crate::format::align_up;
use crate::kernels::{ConvArgs, ConvShape};

/// Most bytes of packed weights: what is packed at each call must be little against the products, and
/// stay near.
const MAX_PACKED_BYTES: usize = 64 << 10;

/// Whether [`conv_packed_avx2`] computes this convolution, and pays.
#[must_use]
pub fn conv_packed_avx2_serves(shape: &ConvShape) -> bool {
    let [out_h, out_w, out_c] = shape.output;
    shape.groups == 1
        && out_c >= BLOCK
        && out_c.is_multiple_of(BLOCK)
        && packed_bytes(shape) <= MAX_PACKED_BYTES
        && out_h.saturating_mul(out_w) > 2 * ROWS
}

/// Length of a window in whole pairs.
fn even_len(shape: &ConvShape) -> usize {
    shape.patch_len().next_multiple_of(2)
}

/// From one patch to the next, with room for the vectors that it is gathered in.
fn patch_stride(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(2 * VECTOR - 1) / VECTOR * VECTOR
}

fn packed_bytes(shape: &ConvShape) -> usize {
    even_len(shape).saturating_mul(shape.output[2]).saturating_mul(2)
}

/// Packed weights and the patches of one tile.
#[must_use]
pub fn conv_packed_avx2_scratch_bytes(shape: &ConvShape) -> usize {
    let patches = patch_stride(shape).saturating_mul(ROWS * 2);
    align_up(packed_bytes(shape)).saturating_add(patches)
}

/// See [`crate::kernels::reference::conv`].
pub fn conv_packed_avx2(_token: Avx2, args: ConvArgs<'_>) {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv(args) }
}

#[target_feature(enable = "avx2")]
fn conv(args: ConvArgs<'_>) {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let (len, even, stride) = (shape.patch_len(), even_len(shape), patch_stride(shape));
    let Some((packed, patches)) = args.scratch.split_at_mut_checked(align_up(packed_bytes(shape)))
    else {
        return;
    };
    let patches = patches.get_mut(..stride * ROWS * 2).unwrap_or_default();
    let Ok(packed) = <[i16]>::mut_from_bytes(packed) else { return };
    let Ok(patches) = <[i16]>::mut_from_bytes(patches) else { return };
    pack(args.weights, len, even, packed);
    let (channels, rq) = (args.channels, args.requantization);
    for (tile, output) in args.output.chunks_mut((ROWS * out_c).max(1)).enumerate() {
        let first = tile * ROWS;
        let pixels = output.len() / out_c.max(1);
        for (patch, pixel) in patches.chunks_exact_mut(stride.max(1)).zip(first..first + pixels) {
            let position = (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
            patch_avx2::gather(shape, args.input, position, patch);
            if let Some(behind) = patch.get_mut(len..even) {
                behind.fill(0);
            }
        }
        let blocks = packed.chunks_exact((even * BLOCK).max(1)).take(out_c / BLOCK);
        for (block, weights) in blocks.enumerate() {
            let mut products = [0; ROWS * BLOCK];
            outer_product::multiply(pixels, patches, stride, weights, even, false, &mut products);
            let oc = block * BLOCK..(block + 1) * BLOCK;
            let channels = channels.part(oc.clone());
            let outputs = output.chunks_exact_mut(out_c.max(1)).zip(products.chunks_exact(BLOCK));
            for (pixel, (output, products)) in outputs.enumerate() {
                let index = (first + pixel) * out_c + oc.start;
                let output = output.get_mut(oc.clone()).unwrap_or_default();
                requantize_pixel(products, channels, rq, args.residual, index, output);
            }
        }
    }
}

/// OHWI weights, rows of `len`, to `[block][pair][output channel of the block][2]`; a row of an odd
/// length ends in a 0.
fn pack(weights: &[i8], len: usize, even: usize, packed: &mut [i16]) {
    let blocks = packed.chunks_exact_mut((even * BLOCK).max(1));
    for (packed, rows) in blocks.zip(weights.chunks_exact((len * BLOCK).max(1))) {
        for (column, row) in rows.chunks_exact(len.max(1)).enumerate() {
            let pairs = packed.chunks_exact_mut(BLOCK * 2);
            for (pair, weights) in pairs.zip(row.chunks(2)) {
                if let Some(pair) = pair.get_mut(column * 2..column * 2 + 2) {
                    pair.fill(0);
                    pair.iter_mut().zip(weights).for_each(|(to, &from)| *to = from.into());
                }
            }
        }
    }
}
