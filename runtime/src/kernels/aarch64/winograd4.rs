//! How `conv_winograd4_neon` and `conv_winograd4_stem_neon` divide their work: known on every machine,
//! for plans of boards.
//!
//! [`crate::kernels::winograd4`] has the arithmetic. Tiles of the input are transformed some at a time; then, a
//! block of output channels at a time, they meet the block's weights, six tiles a group. Weights in OHWI
//! are transformed [`PART`] input channels at a time, whose products add to those of earlier ones.
//!
//! A stem is F(3x3, 4x4) over 2x2 pixels of the input as one of twelve channels, with the windows, points
//! and factors of F(4x4, 3x3).
//!
//! What may not be broken: sums are divided once, over all input channels, so they must stay below 2^25.
//! Stored weights were made so; others are looked at first, and a layer that does not keep the bound is
//! computed by [`super::direct8`] in the same scratch.

use super::direct8;
use crate::format::{WeightLayout, align_up};
use crate::kernels::ConvShape;
use crate::kernels::winograd4::{self, BLOCK, TILE};

/// Positions of a transformed tile.
pub(crate) const POSITIONS: usize = 36;
/// Input pixels on a side of a tile's window.
pub(crate) const WINDOW: usize = 6;
/// Tiles that are multiplied at a time.
pub(crate) const GROUP: usize = 6;

/// Most bytes of transformed input; but always a group of tiles.
const MAX_INPUT_BYTES: usize = 384 << 10;
/// Between positions, so that they do not fall on the same lines of a cache.
const PAD: usize = 32;
/// Most input channels whose weights are transformed at a time.
const PART: usize = 64;
/// Products of a group of tiles: `[position][tile][output channel]`.
pub(super) const PRODUCTS: usize = POSITIONS * GROUP * BLOCK;
/// Channels of a stem's input, and room for them in whole vectors.
pub(crate) const STEM_CHANNELS: usize = 12;
pub(super) const STEM_ROW: usize = 16;
/// Output pixels on a side of a stem's tile.
pub(super) const STEM_TILE: usize = 3;

/// Input channels whose products make up a sum; none if no stored weights serve this convolution.
pub(crate) fn stored_depth(shape: &ConvShape) -> Option<usize> {
    let [_, _, out_c] = shape.output;
    if winograd4::is_stem(shape) && out_c > 0 && out_c.is_multiple_of(BLOCK) {
        return Some(STEM_CHANNELS);
    }
    winograd4::computes(shape).then_some(shape.input[2])
}

/// The division of one convolution; lengths in elements.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "the code on AArch64 reads all of it, other machines plan its scratch")]
pub(super) struct Plan {
    /// Most tiles whose input is transformed at a time.
    pub tiles: usize,
    /// Most input channels whose weights are there at a time.
    pub part: usize,
    /// Groups of tiles whose products are there at a time.
    pub groups: usize,
    /// From one tile to the next in transformed input.
    pub row: usize,
    /// From one position to the next in transformed input, `[position][tile][input channel]`.
    pub input_stride: usize,
    /// From one position to the next in weights, `[position][input channel][output channel]`.
    pub weights_stride: usize,
    /// Input channels.
    pub depth: usize,
    stored: bool,
}

impl Plan {
    pub fn new(shape: &ConvShape, layout: WeightLayout) -> Self {
        let [out_h, out_w, _] = shape.output;
        let (tile, depth, row) = match winograd4::is_stem(shape) {
            true => (STEM_TILE, STEM_CHANNELS, STEM_ROW),
            false => (TILE, shape.input[2].max(1), shape.input[2].max(1)),
        };
        let all = out_h.div_ceil(tile).saturating_mul(out_w.div_ceil(tile));
        let most = MAX_INPUT_BYTES / 2 / POSITIONS / row;
        let tiles = all.min(most.max(GROUP)).max(1);
        let stored = layout == WeightLayout::Winograd4;
        let part = if stored { depth } else { depth.min(PART) };
        Self {
            tiles,
            part,
            groups: if part < depth { tiles.div_ceil(GROUP) } else { 1 },
            row,
            input_stride: tiles.saturating_mul(row).saturating_add(PAD),
            weights_stride: if stored { depth.saturating_mul(BLOCK) } else { part * BLOCK + PAD },
            depth,
            stored,
        }
    }

    pub fn input_bytes(&self) -> usize {
        align_up(self.input_stride.saturating_mul(POSITIONS * 2))
    }

    pub fn weights_bytes(&self) -> usize {
        if self.stored { 0 } else { align_up(self.weights_stride * POSITIONS * 2) }
    }

    pub fn products_bytes(&self) -> usize {
        self.groups.saturating_mul(PRODUCTS * 4)
    }

    /// The pixels of a window, for one with padding in it.
    pub fn window_bytes(&self) -> usize {
        self.row.saturating_mul(WINDOW * WINDOW)
    }

    fn scratch_bytes(&self) -> usize {
        self.input_bytes()
            .saturating_add(self.weights_bytes())
            .saturating_add(self.products_bytes())
            .saturating_add(self.window_bytes())
    }
}

/// Scratch for weights in this layout.
pub(super) fn scratch_bytes(shape: &ConvShape, layout: WeightLayout) -> usize {
    let own = Plan::new(shape, layout).scratch_bytes();
    match layout {
        WeightLayout::Ohwi => own.max(direct8::scratch_bytes::<1>(shape, layout)),
        _ => own,
    }
}
