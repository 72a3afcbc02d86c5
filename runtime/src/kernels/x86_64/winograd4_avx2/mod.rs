//! 3x3 convolution by Winograd's F(4x4, 3x3) in integers: 36 multiplications where direct convolution
//! takes 144, and the same bytes.
//!
//! Transforms: Lavin and Gray, arXiv:1509.09308, with points 0, 1, -1, 2, -2 and infinity, scaled to
//! integers. An output tile of 4x4 pixels needs an input window of 6x6. With `d` the window, `g` the
//! 3x3 weights and all products summed over the input channels,
//! `576 * y = A^T [(G g G^T) . (B^T d B)] A`. The transformed values fit 16 bits for every int8
//! input (|B^T d B| <= 12,800) and weight (|G g G^T| <= 18,432), so `vpmaddwd` multiplies them; sums
//! and the last transform wrap modulo 2^32. 576 is 64 * 9 and 9 has an inverse modulo 2^32, so
//! `(r * inverse) >> 6` is `y` exactly while |y| < 2^25.
//!
//! What may not be broken: that bound. It holds for at most [`CHUNK`] input channels at a time
//! (9 * 128 * 128 * 128 < 2^25) whatever the weights are; the sums of more are added in i32 as the
//! specification wraps them.
//!
//! A block of tiles is transformed once; then, for 16 output channels at a time, their weights are
//! transformed into a buffer that stays in the second-level cache and meet all tiles of the block.

mod input;
mod multiply;
mod output;
mod weights;

use core::ops::Range;

use zerocopy::FromBytes;

use super::{Avx2, outer_product};
use crate::format::align_up;
use crate::kernels::{ConvArgs, ConvShape};

/// Positions of a transformed tile.
const POSITIONS: usize = 36;
/// Output pixels on a side of a tile.
const TILE: usize = 4;
/// Input pixels on a side of a tile's window.
const WINDOW: usize = 6;
/// Output channels that share a buffer of weights.
const BLOCK: usize = outer_product::BLOCK;
/// Tiles that are multiplied at a time.
const GROUP: usize = outer_product::ROWS;
/// Input channels whose sums stay below 2^25.
const CHUNK: usize = 128;
/// Elements of one vector of i16.
const LANES: usize = 16;
/// Between the positions of a buffer, so that they do not fall on the same lines of a cache.
const PAD: usize = 32;
/// Most bytes of transformed input.
const MAX_INPUT_BYTES: usize = 512 << 10;
/// Products of a group of tiles.
const PRODUCTS: usize = POSITIONS * GROUP * BLOCK;
/// With so few tiles, weights are transformed [`PART`] input channels at a time, into a small buffer
/// that stays near: there is more to do for a weight than for a product.
const FEW_TILES: usize = 4 * GROUP;
const PART: usize = 64;
/// Output pixels of a tile times channels of a block.
const SUMS: usize = TILE * TILE * BLOCK;

/// Whether [`conv_winograd4_avx2`] computes this convolution, and pays.
#[must_use]
pub fn conv_winograd4_avx2_serves(shape: &ConvShape) -> bool {
    let [_, _, in_c] = shape.input;
    let [out_h, out_w, out_c] = shape.output;
    shape.kernel == [3, 3]
        && shape.strides == [1, 1]
        && shape.dilations == [1, 1]
        && shape.groups == 1
        && in_c >= LANES
        && in_c.is_multiple_of(LANES)
        && out_c >= BLOCK
        && out_c.is_multiple_of(BLOCK)
        // One tile does not pay for the transform of the weights.
        && (out_h > TILE || out_w > TILE)
}

/// How the scratch is divided; all lengths in elements.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Most tiles of a block.
    tiles: usize,
    /// Most input channels of a chunk.
    chunk: usize,
    /// Most input channels whose weights are transformed at a time.
    part: usize,
    /// Groups of tiles that have products at a time.
    groups: usize,
    /// Elements from one position to the next.
    input_stride: usize,
    weights_stride: usize,
    /// Sums over chunks, or of one group of tiles.
    sums: usize,
}

impl Layout {
    fn new(shape: &ConvShape) -> Self {
        let [out_h, out_w, _] = shape.output;
        let in_c = shape.input[2].max(1);
        let all = out_h.div_ceil(TILE).saturating_mul(out_w.div_ceil(TILE));
        let most = MAX_INPUT_BYTES / 2 / POSITIONS / in_c;
        let tiles = all.min(most.max(GROUP));
        let chunk = in_c.min(CHUNK);
        let few = tiles <= FEW_TILES && chunk > PART;
        let summed = if in_c > chunk { tiles } else { GROUP };
        Self {
            tiles,
            chunk,
            part: if few { PART } else { chunk },
            groups: if few { tiles.div_ceil(GROUP) } else { 1 },
            input_stride: tiles.saturating_mul(in_c).saturating_add(PAD),
            weights_stride: if few { PART } else { chunk } * BLOCK + PAD,
            sums: summed.saturating_mul(SUMS),
        }
    }

    fn input_bytes(&self) -> usize {
        align_up(self.input_stride.saturating_mul(POSITIONS * 2))
    }

    fn weights_bytes(&self) -> usize {
        align_up(self.weights_stride * POSITIONS * 2)
    }

    fn products_bytes(&self) -> usize {
        self.groups * PRODUCTS * 4
    }

    fn sums_bytes(&self) -> usize {
        self.sums.saturating_mul(4)
    }
}

/// Transformed input and weights, products of one group of tiles, sums.
#[must_use]
pub fn conv_winograd4_avx2_scratch_bytes(shape: &ConvShape) -> usize {
    let layout = Layout::new(shape);
    layout
        .input_bytes()
        .saturating_add(layout.weights_bytes())
        .saturating_add(layout.products_bytes())
        .saturating_add(layout.sums_bytes())
}

/// See [`crate::kernels::reference::conv`].
pub fn conv_winograd4_avx2(_token: Avx2, args: ConvArgs<'_>) {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv(args) }
}

/// The buffers in the scratch.
struct Buffers<'s> {
    /// `[position][tile][input channel]`.
    input: &'s mut [i16],
    /// `[position][pair of input channels][output channel][2]`.
    weights: &'s mut [i16],
    /// `[position][tile of the group][output channel]`.
    products: &'s mut [i32],
    /// `[tile][pixel][output channel]`.
    sums: &'s mut [i32],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], layout: &Layout) -> Option<Self> {
        let (input, rest) = scratch.split_at_mut_checked(layout.input_bytes())?;
        let (weights, rest) = rest.split_at_mut_checked(layout.weights_bytes())?;
        let (products, rest) = rest.split_at_mut_checked(layout.products_bytes())?;
        let (sums, _) = rest.split_at_mut_checked(layout.sums_bytes())?;
        Some(Self {
            input: FromBytes::mut_from_bytes(input).ok()?,
            weights: FromBytes::mut_from_bytes(weights).ok()?,
            products: FromBytes::mut_from_bytes(products).ok()?,
            sums: FromBytes::mut_from_bytes(sums).ok()?,
        })
    }
}

#[target_feature(enable = "avx2")]
fn conv(mut args: ConvArgs<'_>) {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let layout = Layout::new(shape);
    let scratch = core::mem::take(&mut args.scratch);
    let Some(mut buffers) = Buffers::new(scratch, &layout) else { return };
    let rows = args.output.len() / out_w.saturating_mul(out_c).max(1);
    let tile_cols = out_w.div_ceil(TILE).max(1);
    let tiles = rows.div_ceil(TILE).saturating_mul(tile_cols);
    // Blocks of one size, give or take a tile.
    let blocks = tiles.div_ceil(layout.tiles.max(1));
    let mut first = 0;
    for block in 0..blocks {
        let count = (tiles - first).div_ceil(blocks - block).min(layout.tiles);
        for tile in 0..count {
            let (ty, tx) = ((first + tile) / tile_cols, (first + tile) % tile_cols);
            let corner = (args.first_row + ty * TILE, tx * TILE);
            input::transform(shape, args.input, corner, tile, layout.input_stride, buffers.input);
        }
        let block = output::TileBlock { first, count, tile_cols, rows };
        for oc in (0..out_c).step_by(BLOCK) {
            channels(&mut args, &layout, &mut buffers, block, oc);
        }
        first += count;
    }
}

/// One block of tiles and of output channels, from the weights to the output.
#[target_feature(enable = "avx2")]
fn channels(
    args: &mut ConvArgs<'_>,
    layout: &Layout,
    buffers: &mut Buffers<'_>,
    block: output::TileBlock,
    oc: usize,
) {
    let in_c = args.shape.input[2];
    for from in (0..in_c).step_by(layout.chunk.max(1)) {
        let chunk = from..in_c.min(from + layout.chunk);
        for from in chunk.clone().step_by(layout.part.max(1)) {
            let part = from..chunk.end.min(from + layout.part);
            weights::transform(args.weights, in_c, oc, part.clone(), layout, buffers.weights);
            for (group, tiles) in groups(block.count).enumerate() {
                let inputs = multiply::Inputs {
                    values: buffers.input,
                    stride: layout.input_stride,
                    first: tiles.start * in_c + part.start,
                    channels: in_c,
                };
                let add = part.start > chunk.start;
                let products = slot(buffers.products, group % layout.groups, PRODUCTS);
                let stride = layout.weights_stride;
                multiply::group(
                    inputs,
                    buffers.weights,
                    stride,
                    tiles.len(),
                    part.len(),
                    add,
                    products,
                );
                if part.end == chunk.end {
                    finish(args, buffers, block, (group, tiles), (chunk.clone(), oc), layout);
                }
            }
        }
    }
}

/// From the products of a group of tiles over a chunk to sums, and after the last chunk to the output.
#[target_feature(enable = "avx2")]
fn finish(
    args: &mut ConvArgs<'_>,
    buffers: &mut Buffers<'_>,
    block: output::TileBlock,
    (group, tiles): (usize, Range<usize>),
    (chunk, oc): (Range<usize>, usize),
    layout: &Layout,
) {
    let in_c = args.shape.input[2];
    let products = slot(buffers.products, group % layout.groups, PRODUCTS);
    let first = if in_c > layout.chunk { tiles.start } else { 0 };
    let sums = buffers.sums.get_mut(first * SUMS..(first + tiles.len()) * SUMS);
    let sums = sums.unwrap_or_default();
    output::transform(products, tiles.len(), chunk.start > 0, sums);
    if chunk.end == in_c {
        output::store_tiles(args, block, tiles.start, oc, sums);
    }
}

/// The tiles of a block in groups of one size, give or take a tile.
fn groups(tiles: usize) -> impl Iterator<Item = Range<usize>> {
    let count = tiles.div_ceil(GROUP);
    (0..count).map(move |group| group * tiles / count..(group + 1) * tiles / count)
}

/// Slot number `index` of a buffer of slots of `len` elements.
fn slot(buffer: &mut [i32], index: usize, len: usize) -> &mut [i32] {
    buffer.get_mut(index * len..(index + 1) * len).unwrap_or_default()
}
