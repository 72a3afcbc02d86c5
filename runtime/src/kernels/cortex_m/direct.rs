//! Direct convolution over the widened windows of a few neighbouring output pixels.
//!
//! A window is the sum's values in the order of OHWI weights, filled up to whole steps of
//! [`STEP`] values. Weights come as rows of bytes (OHWI) or packed in the order of the products.

use crate::format::align_up;
use crate::kernels::ConvShape;

/// Values of a window that are multiplied at a time.
pub(crate) const STEP: usize = 4;

/// What the plan must know of an instruction set's tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Neighbouring output pixels.
    pub pixels: usize,
    /// Output channels that are computed together, which divide all.
    pub channels: usize,
}

/// OHWI weights: four pixels and one channel at a time.
pub(crate) const ROWS: Form = Form { pixels: 4, channels: 1 };
/// Packed weights, which the layouts are for.
pub(crate) const PACKED: Form = Form { pixels: 2, channels: 2 };

impl Form {
    /// Whether this form computes the convolution.
    pub fn computes(self, shape: &ConvShape) -> bool {
        shape.groups == 1
            && shape.dilations == [1, 1]
            && shape.output[2].is_multiple_of(self.channels)
            // The bounds of the sums, of the steps' addresses and of what lies behind a row.
            && (STEP..=1 << 16).contains(&shape.patch_len())
    }

    /// Scratch of a tile.
    pub fn scratch_bytes(self, shape: &ConvShape) -> usize {
        Buffers::new(self, shape).bytes()
    }
}

/// A window's length in whole steps.
pub(crate) fn padded_len(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(STEP - 1) / STEP * STEP
}

/// Bytes of the buffers in the scratch.
pub(super) struct Buffers {
    /// The widened windows.
    pub patch: usize,
    /// Windows in bytes, where they are not widened in place, and the zeros behind them.
    pub windows: usize,
    /// The last rows of weights, where steps read behind them.
    pub rows: usize,
    /// Where pixels behind the last go.
    pub spare: usize,
}

impl Buffers {
    pub fn new(form: Form, shape: &ConvShape) -> Self {
        let len = padded_len(shape);
        let whole = len == shape.patch_len();
        Self {
            patch: align_up(len.saturating_mul(2 * form.pixels)),
            windows: align_up(len.saturating_mul(form.pixels).saturating_add(STEP)),
            rows: if whole { 0 } else { align_up(len.saturating_mul(form.channels)) },
            spare: align_up(shape.output[2].saturating_mul(form.pixels - 1)),
        }
    }

    fn bytes(&self) -> usize {
        let sum = self.patch.saturating_add(self.windows);
        sum.saturating_add(self.rows).saturating_add(self.spare)
    }
}
