//! 3x3 convolution by Winograd's F(4x4, 3x3) in integers: 36 multiplications where direct convolution
//! takes 144, and the same bytes.
//!
//! Transforms: Lavin and Gray, arXiv:1509.09308, with points 0, 1, -1, 2, -2 and infinity, scaled to
//! integers. An output tile of 4x4 pixels needs an input window of 6x6. With `d` the window, `g` the
//! 3x3 weights and all products summed over the input channels,
//! `576 * y = A^T [(G g G^T) . (B^T d B)] A`. The transformed values fit 16 bits for every int8
//! input (|B^T d B| <= 12,800) and weight (|G g G^T| <= 18,432), so multiply-adds of 16
//! bits take them; sums and the last transform wrap modulo 2^32. 576 is 64 * 9 and 9 has an inverse modulo 2^32, so
//! `(r * inverse) >> 6` is `y` exactly while |y| < 2^25.
//!
//! What may not be broken: that bound. It holds for at most [`CHUNK`] input channels at a time
//! (9 * 128 * 128 * 128 < 2^25) whatever the weights are; the sums of more are added in i32 as the
//! specification wraps them.
//!
//! A block of tiles is transformed once; then, for 16 output channels at a time, their weights are
//! transformed into a buffer that stays in the second-level cache and meet all tiles of the block.

use core::ops::Range;

use zerocopy::FromBytes;

use super::{ConvArgs, ConvShape, Requantize};
use crate::format::align_up;

/// Positions of a transformed tile.
pub(crate) const POSITIONS: usize = 36;
/// Output pixels on a side of a tile.
pub(super) const TILE: usize = 4;
/// Input pixels on a side of a tile's window.
pub(super) const WINDOW: usize = 6;
/// Output channels that share a buffer of weights.
pub(crate) const BLOCK: usize = 16;
/// Tiles that are multiplied at a time.
pub(super) const GROUP: usize = 6;
/// Input channels whose sums stay below 2^25.
const CHUNK: usize = 128;
/// Channels come in multiples of the longest vector of i16.
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
pub(super) const SUMS: usize = TILE * TILE * BLOCK;

/// The inverse of 9 modulo 2^32.
pub(super) const NINTH: i32 = 0x38e3_8e39;
const _: () = assert!(NINTH.wrapping_mul(9) == 1);

/// Whether Winograd's form computes this convolution.
#[must_use]
pub(crate) fn computes(shape: &ConvShape) -> bool {
    let [_, _, in_c] = shape.input;
    let [_, _, out_c] = shape.output;
    shape.kernel == [3, 3]
        && shape.strides == [1, 1]
        && shape.dilations == [1, 1]
        && shape.groups == 1
        && in_c >= LANES
        && in_c.is_multiple_of(LANES)
        && out_c >= BLOCK
        && out_c.is_multiple_of(BLOCK)
}

/// Whether it pays: one tile does not pay for the transform of the weights.
#[must_use]
pub(super) fn pays(shape: &ConvShape) -> bool {
    shape.output[0] > TILE || shape.output[1] > TILE
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
pub(super) fn scratch_bytes(shape: &ConvShape) -> usize {
    let layout = Layout::new(shape);
    layout
        .input_bytes()
        .saturating_add(layout.weights_bytes())
        .saturating_add(layout.products_bytes())
        .saturating_add(layout.sums_bytes())
}

/// Where in the input the pixels of a tile's window begin, its first output pixel being `corner` (row,
/// column); none for padding.
pub(super) fn window(
    shape: &ConvShape,
    corner: (usize, usize),
) -> [[Option<usize>; WINDOW]; WINDOW] {
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

/// What is multiplied: the tiles of a group in the transformed input, and transformed weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands<'v> {
    /// `[position][tile][input channel]`.
    pub values: &'v [i16],
    /// From one position to the next.
    pub stride: usize,
    /// The first tile's first channel of the part, within a position.
    pub first: usize,
    /// From one tile to the next.
    pub channels: usize,
    /// As [`Isa::transform_weights`] wrote them.
    pub weights: &'v [i16],
    /// From one position to the next.
    pub weights_stride: usize,
}

impl Operands<'_> {
    /// For each position its values, its weights and its products.
    pub fn positions<'a>(
        &'a self,
        products: &'a mut [i32],
    ) -> impl Iterator<Item = (&'a [i16], &'a [i16], &'a mut [i32])> {
        let products = products.chunks_exact_mut(GROUP * BLOCK).take(POSITIONS).enumerate();
        products.map(move |(position, products)| {
            let values = self.values.get(position * self.stride + self.first..);
            let weights = self.weights.get(position * self.weights_stride..);
            (values.unwrap_or_default(), weights.unwrap_or_default(), products)
        })
    }
}

/// What an instruction set does of it. Methods whose slices are too short do nothing, or not all.
pub(super) trait Isa: Requantize {
    /// `B^T d B`: transforms the window of the tile whose first output pixel is `corner` (row, column)
    /// and writes it as tile number `tile` of each position; positions are `stride` elements apart.
    fn transform_input(
        self,
        shape: &ConvShape,
        input: &[i8],
        corner: (usize, usize),
        tile: usize,
        stride: usize,
        to: &mut [i16],
    );

    /// `G g G^T`: transforms the weights (OHWI, `in_c` input channels) of output channels
    /// `oc..oc + BLOCK` and input channels `part`; positions are `stride` elements apart.
    fn transform_weights(
        self,
        weights: &[i8],
        in_c: usize,
        oc: usize,
        part: Range<usize>,
        stride: usize,
        to: &mut [i16],
    );

    /// Multiplies `tiles` tiles with a block of weights over `count` input channels, at all positions;
    /// the products, `[position][tile][output channel]`, replace those of earlier channels, or add to
    /// them.
    fn multiply(
        self,
        operands: Operands<'_>,
        tiles: usize,
        count: usize,
        add: bool,
        products: &mut [i32],
    );

    /// `A^T m A` and the exact division: turns the products of a group of tiles into sums,
    /// `[tile][pixel][output channel]`, or adds them to those of earlier channels.
    fn sum(self, products: &[i32], tiles: usize, add: bool, sums: &mut [i32]);
}

/// Some of the tiles of a band of output rows.
#[derive(Debug, Clone, Copy)]
struct TileBlock {
    /// The first tile's number in the band, row by row.
    first: usize,
    count: usize,
    /// Tiles of a row.
    tile_cols: usize,
    /// Output rows of the band.
    rows: usize,
}

/// The buffers in the scratch.
struct Buffers<'s> {
    /// `[position][tile][input channel]`.
    input: &'s mut [i16],
    /// `[position][input channel][output channel]`, or in an order of the instruction set's own.
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

/// Runs the convolution.
pub(super) fn conv(isa: impl Isa, mut args: ConvArgs<'_>) {
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
            isa.transform_input(
                shape,
                args.input,
                corner,
                tile,
                layout.input_stride,
                buffers.input,
            );
        }
        let block = TileBlock { first, count, tile_cols, rows };
        for oc in (0..out_c).step_by(BLOCK) {
            channels(isa, &mut args, &layout, &mut buffers, block, oc);
        }
        first += count;
    }
}

/// One block of tiles and of output channels, from the weights to the output.
fn channels(
    isa: impl Isa,
    args: &mut ConvArgs<'_>,
    layout: &Layout,
    buffers: &mut Buffers<'_>,
    block: TileBlock,
    oc: usize,
) {
    let in_c = args.shape.input[2];
    for from in (0..in_c).step_by(layout.chunk.max(1)) {
        let chunk = from..in_c.min(from + layout.chunk);
        for from in chunk.clone().step_by(layout.part.max(1)) {
            let part = from..chunk.end.min(from + layout.part);
            isa.transform_weights(
                args.weights.as_ohwi(),
                in_c,
                oc,
                part.clone(),
                layout.weights_stride,
                buffers.weights,
            );
            for (group, tiles) in groups(block.count).enumerate() {
                let operands = Operands {
                    values: buffers.input,
                    stride: layout.input_stride,
                    first: tiles.start * in_c + part.start,
                    channels: in_c,
                    weights: buffers.weights,
                    weights_stride: layout.weights_stride,
                };
                let add = part.start > chunk.start;
                let products = slot(buffers.products, group % layout.groups, PRODUCTS);
                isa.multiply(operands, tiles.len(), part.len(), add, products);
                if part.end == chunk.end {
                    finish(isa, args, buffers, block, (group, tiles), (chunk.clone(), oc), layout);
                }
            }
        }
    }
}

/// From the products of a group of tiles over a chunk to sums, and after the last chunk to the output.
fn finish(
    isa: impl Isa,
    args: &mut ConvArgs<'_>,
    buffers: &mut Buffers<'_>,
    block: TileBlock,
    (group, tiles): (usize, Range<usize>),
    (chunk, oc): (Range<usize>, usize),
    layout: &Layout,
) {
    let in_c = args.shape.input[2];
    let products = slot(buffers.products, group % layout.groups, PRODUCTS);
    let first = if in_c > layout.chunk { tiles.start } else { 0 };
    let sums = buffers.sums.get_mut(first * SUMS..(first + tiles.len()) * SUMS);
    let sums = sums.unwrap_or_default();
    isa.sum(products, tiles.len(), chunk.start > 0, sums);
    if chunk.end == in_c {
        store_tiles(isa, args, block, tiles.start, oc, sums);
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

/// Requantizes the sums of the tiles from number `tile` of the block on into the output.
fn store_tiles(
    isa: impl Isa,
    args: &mut ConvArgs<'_>,
    block: TileBlock,
    tile: usize,
    oc: usize,
    sums: &[i32],
) {
    let [_, out_w, out_c] = args.shape.output;
    let channels = args.channels.part(oc..oc + BLOCK);
    for (index, sums) in sums.chunks_exact(SUMS).enumerate() {
        let number = block.first + tile + index;
        let (top, left) = (number / block.tile_cols * TILE, number % block.tile_cols * TILE);
        for (row, sums) in (top..block.rows).zip(sums.chunks_exact(TILE * BLOCK)) {
            for (column, sums) in (left..out_w).zip(sums.chunks_exact(BLOCK)) {
                let at = (row * out_w + column) * out_c + oc;
                let Some(output) = args.output.get_mut(at..at + BLOCK) else { return };
                isa.requantize(sums, channels, args.requantization, args.residual, at, output);
            }
        }
    }
}
