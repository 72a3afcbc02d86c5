//! How the kernels of grouped and of depthwise convolutions divide their work: known on every machine, for
//! plans.
//!
//! Sixteen output channels, or up to 64, are computed together, one in each lane of sums. A lane meets the values that it
//! sees in words of 32 bits: four bytes, or two values of 16 bits. Before they are multiplied, the input rows
//! behind some output columns are written as such words. A grouped convolution has in a word input channels of
//! a group, side by side; lanes pick the words of their groups. A depthwise one has in a word the rows of a
//! window, one below the other, so that a lane has words of its own.
//!
//! What may not be broken: [`Plan`] follows from the shape and the form alone, and kernels divide their
//! scratch by it.

use crate::kernels::ConvShape;
use crate::kernels::grouped::{is_depthwise, span};
pub(crate) use crate::kernels::winograd4::BLOCK;

/// Values of a word: of AVX2, and of sets with dot products of bytes.
pub(crate) const AVX2: usize = 2;
pub(crate) const VNNI: usize = 4;

/// Most channels of a depthwise convolution that AVX-512 computes together; others compute sixteen.
pub(crate) const WIDE: usize = 4 * BLOCK;

/// Bytes of a word.
pub(crate) const WORD: usize = 4;
/// A vector may be read from the last word on.
pub(crate) const BEHIND: usize = 2 * BLOCK;
/// The buffers begin at whole vectors.
pub(crate) const ALIGNED: usize = BLOCK * WORD;
/// Most bytes of words at a time, unless one window has more; they should stay in the nearest cache.
const WORDS_BYTES: usize = 16 << 10;
/// Most bytes of input behind the rows whose blocks are computed one after the other.
const INPUT_BYTES: usize = 64 << 10;
/// What a window may have at most; such that no product of these overflows.
const MOST: usize = 1 << 10;

/// The division of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub depthwise: bool,
    /// Words of a lane at each of its taps.
    pub words: usize,
    /// From one column of words to the next.
    pub column: usize,
    /// Columns of words.
    pub columns: usize,
    /// Rows of words.
    pub rows: usize,
    /// Output columns behind which they are.
    pub outputs: usize,
    /// Taps of a lane.
    pub taps: usize,
    /// Tables, each of sixteen channels, that are there at once.
    pub kept: usize,
    /// Words of a table in front of the weights, for each channel.
    constants: usize,
    /// Output rows of which one block is computed after the other.
    pub together: usize,
}

impl Plan {
    /// With words of so many values, of at most so many channels together; lanes of depthwise convolutions have
    /// words of their own.
    pub fn depthwise(values: usize, channels: usize, shape: &ConvShape) -> Self {
        let [_, in_w, in_c] = shape.input;
        let words = shape.kernel[0].div_ceil(values);
        let row = in_w.saturating_mul(in_c).saturating_mul(shape.strides[0]);
        let together = INPUT_BYTES.checked_div(row).unwrap_or(1).max(1);
        let kept = shape.output[2].div_ceil(BLOCK);
        let plan = Self {
            depthwise: true,
            words,
            column: words.saturating_mul(channels),
            columns: 0,
            rows: 1,
            outputs: 0,
            taps: shape.kernel[1],
            kept,
            // Multipliers lie in an order of their own, too.
            constants: if channels == WIDE { 2 } else { 1 },
            together,
        };
        plan.with_columns(shape)
    }

    /// The same of any other.
    pub fn grouped(values: usize, shape: &ConvShape) -> Self {
        let [_, _, out_c] = shape.output;
        let words = shape.group_channels().div_ceil(values);
        let group = out_c.checked_div(shape.groups).unwrap_or(1).max(1);
        // Groups that a block of channels may have a share of.
        let groups = match (BLOCK % group, group % BLOCK) {
            (0, _) => BLOCK / group,
            (_, 0) => 1,
            _ => (BLOCK - 1).div_ceil(group) + 1,
        };
        let groups = groups.min(shape.groups);
        let plan = Self {
            depthwise: false,
            words,
            column: words.saturating_mul(groups),
            columns: 0,
            rows: shape.kernel[0],
            outputs: 0,
            taps: shape.kernel[0].saturating_mul(shape.kernel[1]),
            kept: 1,
            constants: 1,
            together: shape.output[0].max(1),
        };
        plan.with_columns(shape)
    }

    fn with_columns(self, shape: &ConvShape) -> Self {
        let bytes = self.column.saturating_mul(self.rows).saturating_mul(WORD).max(1);
        let most = WORDS_BYTES / bytes;
        let (span, stride) = (span(shape, 1), shape.strides[1].max(1));
        let outputs = most.saturating_sub(span) / stride + 1;
        // Parts of one size.
        let parts = shape.output[1].div_ceil(outputs).max(1);
        let outputs = shape.output[1].div_ceil(parts).max(1);
        let columns = (outputs - 1).saturating_mul(stride).saturating_add(span);
        Self { outputs, columns, ..self }
    }

    /// Words of all rows.
    pub fn words_len(&self) -> usize {
        let columns = self.columns.saturating_mul(self.rows);
        columns.saturating_mul(self.column).saturating_add(BEHIND)
    }

    /// Words of a table: what sums begin with beside the bias, and weights.
    pub fn table_len(&self) -> usize {
        self.taps.saturating_mul(self.words).saturating_add(self.constants).saturating_mul(BLOCK)
    }

    pub fn scratch_bytes(&self) -> usize {
        let tables = self.table_len().saturating_mul(self.kept);
        tables.saturating_add(self.words_len()).saturating_mul(WORD).saturating_add(ALIGNED)
    }
}

/// Whether windows are small enough to be counted.
fn counts(shape: &ConvShape) -> bool {
    let axis = |axis| {
        shape.kernel[axis] <= MOST && shape.dilations[axis] <= MOST && span(shape, axis) <= MOST
    };
    axis(0) && axis(1)
}

pub(crate) fn computes_depthwise(shape: &ConvShape) -> bool {
    is_depthwise(shape) && counts(shape)
}

pub(crate) fn computes_grouped(shape: &ConvShape) -> bool {
    shape.groups > 1 && counts(shape)
}

/// How the values of an affine step come in whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Affine {
    /// Channels of some pixels side by side, in whole blocks.
    pub period: usize,
}

impl Affine {
    pub fn new(shape: &ConvShape) -> Self {
        let channels = shape.output[2];
        // A power of two divides the channels as often as the block's length, or less.
        let common = 1 << channels.trailing_zeros().min(BLOCK.ilog2());
        Self { period: channels.saturating_mul(BLOCK / common) }
    }

    /// Factors, summands and multipliers.
    pub fn scratch_bytes(&self) -> usize {
        self.period.saturating_mul(3 * WORD)
    }
}
