//! How the kernels of AVX2 and AVX-512 divide a convolution into tiles, whatever its form: known on every
//! machine, for plans of files that are packed elsewhere.
//!
//! Every form is the same three things: windows of the input become rows of 16-bit values, one at each
//! of some positions; rows meet blocks of sixteen output channels in multiply-adds; the products of a
//! tile's positions become output pixels. Direct convolution has one position and tiles of one pixel,
//! whose row is the whole window.
//!
//! What may not be broken: [`Plan`] follows from the shape and the form alone, and kernels divide their
//! scratch by it.

use super::u8s8::Sections;
use crate::format::ALIGNMENT;
use crate::kernels::ConvShape;
pub(super) use crate::kernels::winograd4::BLOCK;

/// Values of one vector of i16, or of half a one.
pub(super) const LANES: usize = 16;
/// Bytes of weights that stay near while they meet some groups of tiles.
const PASS_BYTES: usize = 16 << 10;
/// Most bytes of transformed weights that are made once a call instead of once a block of tiles.
const KEPT_BYTES: usize = 128 << 10;
/// Values of a stem's row: 2x2 pixels of three channels.
const STEM_DEPTH: usize = 12;
/// Between positions, so that they do not fall on the same lines of a cache.
const PAD: usize = 32;

/// What distinguishes the instruction sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    /// Most tiles that are multiplied at a time.
    pub group: usize,
    /// Alignment of buffers, in bytes: that of vectors which may not lie across lines of the cache.
    pub alignment: usize,
}

/// AVX2.
pub(super) const AVX2: Width = Width { group: 6, alignment: ALIGNMENT };
/// AVX-512.
pub(super) const AVX512: Width = Width { group: 16, alignment: 64 };
/// Input channels whose weights are transformed at a time, into a buffer that stays near.
const PART: usize = 128;
/// Taps of F(4x4, 3x3).
pub(super) const TAPS: usize = 9;

/// What distinguishes the forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithm {
    /// Output pixels on a side of a tile.
    pub tile: usize,
    /// Positions of a tile.
    pub positions: usize,
    /// Transformed weights of a filter: positions may share them.
    pub filters: usize,
    /// Most bytes of rows at a time.
    pub max_bytes: usize,
    /// Groups of tiles whose products are held at a time.
    pub groups: usize,
}

/// Direct convolution.
pub(super) const DIRECT: Algorithm =
    Algorithm { tile: 1, positions: 1, filters: 1, max_bytes: 256 << 10, groups: 1 };
/// F(2x2, 3x3).
pub(super) const WINOGRAD2: Algorithm =
    Algorithm { tile: 2, positions: 16, filters: 16, max_bytes: 256 << 10, groups: 2 };
/// F(4x4, 3x3).
pub(super) const WINOGRAD4: Algorithm =
    Algorithm { tile: 4, positions: 36, filters: 36, max_bytes: 512 << 10, groups: 2 };
/// F(4x4, 3x3) at stride 2, over even and odd pixels apart.
pub(super) const STRIDED4: Algorithm =
    Algorithm { tile: 4, positions: 81, filters: 36, max_bytes: 512 << 10, groups: 1 };
/// F(3x3, 4x4) over 2x2 pixels at a time: 7x7 at stride 2.
pub(super) const STEM: Algorithm =
    Algorithm { tile: 3, positions: 36, filters: 36, max_bytes: 128 << 10, groups: 2 };

/// The division of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Values of a row, even.
    pub depth: usize,
    /// From one row to the next, in values.
    pub row: usize,
    /// From one position to the next, in values.
    pub stride: usize,
    /// Most tiles of a block.
    pub tiles: usize,
    /// Most tiles whose products are held.
    pub summed: usize,
    /// Values of a row whose weights are transformed at a time while the layer runs; 0 for stored ones.
    pub part: usize,
    /// Positions whose weights meet all held tiles before those of the next positions do.
    pub pass: usize,
    /// Blocks of output channels whose transformed weights are there at once.
    pub kept: usize,
    /// Transformed or interleaved weights of a block of output channels, in 16-bit values.
    pub block_weights: usize,
    /// Alignment of the buffers.
    pub alignment: usize,
    positions: usize,
    /// Bytes of a pixel of padding.
    padding: usize,
}

impl Plan {
    /// `conv_direct8_avx2`, `conv_direct16_avx2`.
    pub fn direct(shape: &ConvShape) -> Self {
        Self::new(DIRECT, AVX2, shape, shape.patch_len().saturating_add(1) / 2 * 2, 0)
    }

    /// `conv_winograd2_avx2`.
    pub fn winograd2(shape: &ConvShape) -> Self {
        Self::new(WINOGRAD2, AVX2, shape, shape.input[2], 0)
    }

    /// F(4x4, 3x3) with stored weights.
    pub fn winograd4(width: Width, shape: &ConvShape) -> Self {
        Self::new(WINOGRAD4, width, shape, shape.input[2], 0)
    }

    /// F(4x4, 3x3) with weights that are transformed before they are multiplied.
    pub fn winograd4_int8(shape: &ConvShape) -> Self {
        Self::new(WINOGRAD4, AVX2, shape, shape.input[2], PART)
    }

    /// F(4x4, 3x3) with OHWI weights that are interleaved, and transformed as they are multiplied.
    pub fn winograd4_from_ohwi(shape: &ConvShape) -> Self {
        let plan = Self::winograd4(AVX512, shape);
        let block_weights = plan.depth.saturating_mul(BLOCK * TAPS) / 2;
        Self { block_weights, ..plan }.keeping(shape)
    }

    /// Scratch of F(4x4, 3x3) from OHWI weights: what `plan` needs, or the direct convolution that takes its
    /// place where sums may be too large.
    pub fn winograd4_ohwi_bytes(plan: Self, shape: &ConvShape) -> usize {
        let bytes = plan.scratch_bytes();
        if all_sums_fit(shape) {
            return bytes;
        }
        bytes.max(Self::direct_ohwi(shape).scratch_bytes())
    }

    /// F(4x4, 3x3) at stride 2.
    pub fn strided4(width: Width, shape: &ConvShape) -> Self {
        Self::new(STRIDED4, width, shape, shape.input[2], 0)
    }

    /// Stems with stored weights.
    pub fn stem(width: Width, shape: &ConvShape) -> Self {
        Self::new(STEM, width, shape, STEM_DEPTH, 0)
    }

    /// `conv_packed_avx2`.
    pub fn direct_ohwi(shape: &ConvShape) -> Self {
        let depth = shape.patch_len().saturating_add(1) / 2 * 2;
        Self::new(DIRECT, AVX2, shape, depth, depth).keeping(shape)
    }

    /// `conv_u8s8_avx2`: rows of bytes, two to a value.
    pub fn u8s8(shape: &ConvShape) -> Self {
        let quads = Sections::for_shape(shape).map_or(0, |sections| sections.quads);
        Self::new(DIRECT, AVX2, shape, quads.saturating_mul(2), 0)
    }

    /// Stems with OHWI weights.
    pub fn stem_ohwi(shape: &ConvShape) -> Self {
        Self::new(STEM, AVX2, shape, STEM_DEPTH, STEM_DEPTH).keeping(shape)
    }

    /// With the transformed weights of all output channels at once, if they are few.
    fn keeping(self, shape: &ConvShape) -> Self {
        let blocks = shape.output[2] / BLOCK;
        let bytes = self.block_weights.saturating_mul(2).saturating_mul(blocks);
        Self { kept: if bytes <= KEPT_BYTES { blocks } else { 1 }, ..self }
    }

    /// The plan of `form` for `shape` with `depth` values a row; `part` as in [`Plan::part`].
    fn new(
        algorithm: Algorithm,
        width: Width,
        shape: &ConvShape,
        depth: usize,
        part: usize,
    ) -> Self {
        let [out_h, out_w, _] = shape.output;
        let row = depth.saturating_add(LANES - 1) / LANES * LANES;
        // No constant is 0, which the optimiser need not find out: plans are in images without panics.
        let tile = algorithm.tile.max(1);
        let all = out_h.div_ceil(tile).saturating_mul(out_w.div_ceil(tile));
        let most = algorithm.max_bytes / 2 / algorithm.positions.max(1) / row.max(1);
        let tiles = all.min(most.max(width.group)).max(1);
        let part = part.min(depth);
        // Parts of a row add to the products of all tiles.
        let summed = if part == 0 || part == depth {
            tiles.min(algorithm.groups * width.group)
        } else {
            tiles
        };
        Self {
            depth,
            row,
            // Rows may be written in whole vectors, which end behind the last one.
            stride: tiles.saturating_mul(row).saturating_add(PAD),
            tiles,
            summed,
            part,
            kept: 1,
            pass: (PASS_BYTES / 2 / BLOCK / depth.max(1)).min(algorithm.positions).max(1),
            block_weights: part.saturating_mul(BLOCK * algorithm.filters),
            alignment: width.alignment,
            positions: algorithm.positions,
            padding: shape.input[2],
        }
    }

    /// The bytes that a buffer takes.
    fn aligned(&self, bytes: usize) -> usize {
        bytes.saturating_add(self.alignment - 1) & !(self.alignment - 1)
    }

    pub fn rows_bytes(&self) -> usize {
        self.aligned(self.stride.saturating_mul(self.positions * 2))
    }

    pub fn weights_bytes(&self) -> usize {
        self.aligned(self.block_weights.saturating_mul(2).saturating_mul(self.kept))
    }

    /// From the products of one position to those of the next, in sums.
    pub fn products_stride(&self) -> usize {
        self.summed * BLOCK
    }

    pub fn products_bytes(&self) -> usize {
        self.aligned(self.products_stride().saturating_mul(self.positions * 4))
    }

    pub fn padding_bytes(&self) -> usize {
        self.aligned(self.padding)
    }

    /// Rows, weights, products and padding, one behind the other, from the first aligned byte.
    pub fn scratch_bytes(&self) -> usize {
        (self.alignment - ALIGNMENT)
            .saturating_add(self.rows_bytes())
            .saturating_add(self.weights_bytes())
            .saturating_add(self.products_bytes())
            .saturating_add(self.padding_bytes())
    }
}

/// Whether no weights can make a sum of F(4x4, 3x3) leave the 26 bits from which it divides exactly.
pub(super) fn all_sums_fit(shape: &ConvShape) -> bool {
    shape.patch_len().saturating_mul(128 * 128) < 1 << 25
}

/// Whether the kernels compute this convolution from OHWI weights: by direct convolution.
pub(super) fn computes(shape: &ConvShape) -> bool {
    let [_, _, out_c] = shape.output;
    shape.groups == 1 && out_c >= BLOCK && out_c.is_multiple_of(BLOCK)
}

/// Whether there are pixels enough for the weights that are interleaved.
pub(super) fn is_profitable(shape: &ConvShape) -> bool {
    let [out_h, out_w, _] = shape.output;
    out_h.saturating_mul(out_w) > 2 * AVX2.group
}

/// Whether F(4x4, 3x3) of OHWI weights is faster with AVX-512, where direct convolution by products of bytes
/// would do: the weights are interleaved for more than one group of tiles.
pub(super) fn winograd4_is_profitable(shape: &ConvShape) -> bool {
    let [out_h, out_w, _] = shape.output;
    let tile = WINOGRAD4.tile.max(1);
    out_h.div_ceil(tile).saturating_mul(out_w.div_ceil(tile)) > AVX512.group
}
