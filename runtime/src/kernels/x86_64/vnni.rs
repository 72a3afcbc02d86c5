//! How the kernels of `vpdpbusd` divide a convolution: known on every machine, for plans of files that are
//! packed elsewhere.
//!
//! The windows of a block of output pixels become rows of unsigned bytes, `u = x + 128`, and rows meet
//! blocks of sixteen output channels in `vpdpbusd`, four bytes of a row at a time. What the 128 adds to a
//! sum depends on the weights alone and lies in front of each block of them.
//!
//! What may not be broken: [`Plan`] follows from the shape and the form alone, and kernels divide their
//! scratch by it.

use crate::kernels::ConvShape;
pub(crate) use crate::kernels::winograd4::BLOCK;

/// Bytes of a row that meet their weights at a time.
pub(crate) const QUAD: usize = 4;
/// Bytes of a quad of a block's weights, or of its sums: one vector, or two.
pub(crate) const VECTOR: usize = BLOCK * QUAD;
/// Most bytes of rows at a time, unless a group of pixels has more: of a layer whose weights stay near,
/// and of one whose weights come from far for every block of pixels.
const ROWS_BYTES: [usize; 2] = [64 << 10, 256 << 10];
/// Most bytes of weights that stay near; interleaved ones are made once a call.
const NEAR_BYTES: usize = 160 << 10;

/// What is multiplied at a time: as many sums as there are registers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Output pixels.
    pub pixels: usize,
    /// Blocks of output channels, 1 or 2.
    pub blocks: usize,
}

/// AVX-VNNI: twelve vectors of sums in 16 registers.
pub(crate) const AVX: Tile = Tile { pixels: 6, blocks: 1 };
/// AVX-512: 24 sums in 32 registers.
pub(crate) const AVX512: Tile = Tile { pixels: 12, blocks: 2 };

/// The division of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Quads of a row, the last one filled up.
    pub quads: usize,
    /// From one row to the next, in bytes.
    pub row: usize,
    /// Most output pixels of a block.
    pub pixels: usize,
    /// Blocks of output channels whose interleaved weights are there at once; 0 for stored ones.
    pub kept: usize,
}

impl Plan {
    /// Of stored weights.
    pub fn packed(tile: Tile, shape: &ConvShape) -> Self {
        let [out_h, out_w, _] = shape.output;
        let row = row_bytes(shape);
        let bytes = ROWS_BYTES[usize::from(!weights_are_near(shape))];
        let most = (bytes / row.max(1)).max(tile.pixels);
        let pixels = out_h.saturating_mul(out_w).min(most).max(1);
        Self { quads: quads(shape), row, pixels, kept: 0 }
    }

    /// Of OHWI weights, which are interleaved while the layer runs.
    pub fn from_ohwi(tile: Tile, shape: &ConvShape) -> Self {
        let plan = Self::packed(tile, shape);
        let [out_h, out_w, out_c] = shape.output;
        let blocks = out_c.div_ceil(BLOCK);
        let again = out_h.saturating_mul(out_w) > plan.pixels && weights_are_near(shape);
        Self { kept: if again { blocks } else { blocks.min(tile.blocks) }, ..plan }
    }

    /// Rows may be written in whole vectors, which end behind the last one.
    pub fn rows_bytes(&self) -> usize {
        self.pixels.saturating_mul(self.row).saturating_add(VECTOR)
    }

    /// A block's correction and its weights.
    pub fn block_bytes(&self) -> usize {
        self.quads.saturating_add(1).saturating_mul(VECTOR)
    }

    pub fn weights_bytes(&self) -> usize {
        self.kept.saturating_mul(self.block_bytes())
    }

    /// Rows and weights at whole vectors, wherever the scratch begins.
    pub fn scratch_bytes(&self) -> usize {
        self.rows_bytes().saturating_add(self.weights_bytes()).saturating_add(VECTOR)
    }
}

/// Quads of a window.
pub(crate) fn quads(shape: &ConvShape) -> usize {
    shape.patch_len().div_ceil(QUAD)
}

/// Bytes of a block of output channels: the correction of sixteen sums, then
/// `[quad][output channel][4]` weights.
pub(crate) fn block_bytes(shape: &ConvShape) -> usize {
    quads(shape).saturating_add(1).saturating_mul(VECTOR)
}

fn weights_are_near(shape: &ConvShape) -> bool {
    block_bytes(shape).saturating_mul(shape.output[2].div_ceil(BLOCK)) <= NEAR_BYTES
}

/// Whole vectors, and an odd number of them, so that rows do not fall on the same lines of a cache. A copy
/// in whole vectors may end behind the row's last value.
fn row_bytes(shape: &ConvShape) -> usize {
    let behind = if shape.input[2].is_multiple_of(VECTOR) { 0 } else { VECTOR - 1 };
    let vectors = shape.patch_len().saturating_add(behind).div_ceil(VECTOR);
    (vectors | 1).saturating_mul(VECTOR)
}

/// Whether the kernels compute this convolution; then no position in a window is too large to be counted.
pub(crate) fn computes(shape: &ConvShape) -> bool {
    let ConvShape { input, output, kernel, strides, pads, dilations, groups, .. } = shape;
    let extents = [&input[..], output, kernel, strides, pads, dilations];
    *groups == 1
        && output[2] > 0
        && !strides.contains(&0)
        && extents.into_iter().flatten().all(|&n| n <= 1 << 24)
}

/// Whether a block that is filled up with zeros costs less than the channels by themselves.
pub(crate) fn is_profitable(shape: &ConvShape) -> bool {
    shape.output[2] >= BLOCK / 4
}

/// Whether there is a layout: whole blocks of output channels.
pub(crate) fn packs(shape: &ConvShape) -> bool {
    computes(shape) && shape.output[2].is_multiple_of(BLOCK)
}
