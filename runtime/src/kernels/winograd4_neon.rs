//! How `conv_winograd4_neon` divides its work: known on every machine, for plans of boards.
//!
//! [`super::winograd4`] has the arithmetic. Tiles of the input are transformed some at a time; then, a
//! block of output channels at a time, they meet the block's weights, six tiles a group. Weights in OHWI
//! are transformed [`PART`] input channels at a time, whose products add to those of earlier ones.
//!
//! What may not be broken: sums are divided once, over all input channels, so they must stay below 2^25.
//! Stored weights were made so; others are looked at first, and a layer that does not keep the bound is
//! computed by [`super::direct8`] in the same scratch.

use super::winograd4::{BLOCK, GROUP, POSITIONS, TILE, WINDOW};
use super::{ConvShape, direct8};
use crate::format::{WeightLayout, align_up};

/// Most bytes of transformed input; but always a group of tiles.
const MAX_INPUT_BYTES: usize = 384 << 10;
/// Between positions, so that they do not fall on the same lines of a cache.
const PAD: usize = 32;
/// Most input channels whose weights are transformed at a time.
const PART: usize = 64;
/// Products of a group of tiles: `[position][tile][output channel]`.
pub(super) const PRODUCTS: usize = POSITIONS * GROUP * BLOCK;

/// The division of one convolution; lengths in elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Most tiles whose input is transformed at a time.
    pub tiles: usize,
    /// Most input channels whose weights are there at a time.
    pub part: usize,
    /// Groups of tiles whose products are there at a time.
    pub groups: usize,
    /// From one position to the next in transformed input, `[position][tile][input channel]`.
    pub input_stride: usize,
    /// From one position to the next in weights, `[position][input channel][output channel]`.
    pub weights_stride: usize,
    pub in_c: usize,
    stored: bool,
}

impl Plan {
    pub fn new(shape: &ConvShape, layout: WeightLayout) -> Self {
        let [out_h, out_w, _] = shape.output;
        let in_c = shape.input[2].max(1);
        let all = out_h.div_ceil(TILE).saturating_mul(out_w.div_ceil(TILE));
        let most = MAX_INPUT_BYTES / 2 / POSITIONS / in_c;
        let tiles = all.min(most.max(GROUP)).max(1);
        let stored = layout == WeightLayout::Winograd4;
        let part = if stored { in_c } else { in_c.min(PART) };
        Self {
            tiles,
            part,
            groups: if part < in_c { tiles.div_ceil(GROUP) } else { 1 },
            input_stride: tiles.saturating_mul(in_c).saturating_add(PAD),
            weights_stride: if stored { in_c.saturating_mul(BLOCK) } else { part * BLOCK + PAD },
            in_c,
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

    /// The pixels of a window with padding in it.
    pub fn window_bytes(&self) -> usize {
        self.in_c.saturating_mul(WINDOW * WINDOW)
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
        WeightLayout::Ohwi => own.max(direct8::scratch_bytes(shape, layout)),
        _ => own,
    }
}
