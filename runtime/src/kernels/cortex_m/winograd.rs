//! Winograd's F(4x4, 3x3) and F(2x2, 3x3) in integers, two tiles side by side at a time, from weights that
//! were transformed when the file was packed.
//!
//! All channels of the two tiles are transformed, then multiplied with all output channels. Sums run over
//! all input channels and wrap; the layout's bounds make the division exact.

use crate::format::align_up;
use crate::kernels::ConvShape;

/// Input channels that are transformed at a time.
pub(crate) const BLOCK: usize = 16;
/// Tiles, side by side.
pub(super) const TILES: usize = 2;

/// What the plan must know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Output pixels of a tile's side.
    pub side: usize,
    /// Bytes of a transformed value.
    pub value_bytes: usize,
}

impl Form {
    /// Rows of the patch of two tiles, and of one tile's positions.
    pub const fn rows(self) -> usize {
        self.side + 2
    }

    pub const fn columns(self) -> usize {
        self.side * TILES + 2
    }

    /// Bytes of the transformed input of one position.
    pub const fn position_bytes(self, shape: &ConvShape) -> usize {
        shape.input[2].saturating_mul(self.value_bytes * TILES)
    }

    pub const fn values_bytes(self, shape: &ConvShape) -> usize {
        self.position_bytes(shape).saturating_mul(self.rows() * self.rows())
    }

    pub const fn patch_bytes(self) -> usize {
        self.rows() * self.columns() * BLOCK
    }

    /// Bytes of the results of both tiles, where they leave the output.
    pub const fn results_bytes(self, shape: &ConvShape) -> usize {
        shape.output[2].saturating_mul(self.side * self.side * TILES)
    }

    /// Scratch of two tiles.
    pub fn scratch_bytes(self, shape: &ConvShape) -> usize {
        align_up(self.values_bytes(shape))
            .saturating_add(align_up(self.patch_bytes()))
            .saturating_add(align_up(self.results_bytes(shape)))
    }
}

/// Whether weights of this shape can be transformed.
pub(crate) fn computes(shape: &ConvShape) -> bool {
    let [_, _, in_c] = shape.input;
    let [_, _, out_c] = shape.output;
    shape.kernel == [3, 3]
        && shape.strides == [1, 1]
        && shape.dilations == [1, 1]
        && shape.groups == 1
        && in_c > 0
        && in_c.is_multiple_of(BLOCK)
        // Bounds the stride of a position and the sums.
        && in_c <= 1 << 12
        && out_c > 0
        && out_c.is_multiple_of(2)
}
