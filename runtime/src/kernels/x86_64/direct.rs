//! What the plan must know of direct convolution over a few gathered windows at a time.

use crate::format::align_up;
use crate::kernels::ConvShape;

/// An instruction set's tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Output pixels of one tile.
    pub pixels: usize,
    /// Elements of one vector of i16, in whose multiples windows are stored.
    pub vector: usize,
}

/// `conv_direct_avx2`.
pub(super) const AVX2: Form = Form { pixels: 3, vector: 16 };

impl Form {
    /// Elements of a window in whole vectors.
    pub fn padded_len(self, shape: &ConvShape) -> usize {
        shape.patch_len().saturating_add(self.vector - 1) / self.vector * self.vector
    }

    /// The windows of one tile in 16 bits and its accumulators.
    pub fn scratch_bytes(self, shape: &ConvShape) -> usize {
        let patches = self.padded_len(shape).saturating_mul(self.pixels * 2);
        let accumulators = shape.output[2].saturating_mul(self.pixels * 4);
        patches.saturating_add(align_up(accumulators))
    }
}
