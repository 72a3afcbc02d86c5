//! The input behind some output columns, written as words.

use core::arch::x86_64::_mm_loadu_si128;
use core::ops::Range;

use super::words::Words;
use super::{Part, Task};
use crate::kernels::ConvShape;
use crate::kernels::grouped::{inside, span};
use crate::kernels::x86_64::grouped::BLOCK;
use crate::kernels::x86_64::native::few::load;

/// Columns of words behind output columns: in the padding before the input, in the input, behind it.
pub(super) struct Columns {
    pub before: usize,
    /// Of the input.
    pub inside: Range<usize>,
    pub behind: usize,
}

impl Columns {
    pub fn new(shape: &ConvShape, outputs: &Range<usize>) -> Self {
        let [_, in_w, _] = shape.input;
        let first = outputs.start * shape.strides[1];
        let end = (outputs.end - 1) * shape.strides[1] + span(shape, 1);
        let (low, high) =
            (shape.pads[1].clamp(first, end), (shape.pads[1] + in_w).clamp(first, end));
        let inside = low - shape.pads[1].min(low)..high - shape.pads[1].min(high);
        Self { before: low - first, inside, behind: end - high }
    }
}

impl Task<'_> {
    /// Writes the words behind a part's columns of output row `oy`, but for rows that are there: those below
    /// `filled` in the padded input. The row of words that the window's first row is in.
    ///
    /// # Safety
    /// The CPU has the instructions, the plan's words are writable at `to`, and what the same part has written
    /// for the output row before is still there.
    #[inline(always)]
    pub unsafe fn fill<W: Words>(
        &self,
        part: &Part,
        oy: usize,
        filled: &mut usize,
        to: *mut i32,
    ) -> usize {
        let columns = Columns::new(self.shape, &part.columns);
        let ConvShape { strides, dilations, kernel, .. } = *self.shape;
        let first = oy * strides[0];
        // SAFETY: the caller vouches for the same.
        unsafe {
            if self.plan.depthwise {
                self.interleave::<W>(part, first, &columns, to);
                return 0;
            }
            let row = self.plan.columns * self.plan.column;
            if dilations[0] != 1 {
                for ky in 0..kernel[0] {
                    self.copy::<W>(part, first + ky * dilations[0], &columns, to.add(ky * row));
                }
                return 0;
            }
            let end = first + kernel[0];
            for padded in first.max(*filled)..end {
                self.copy::<W>(part, padded, &columns, to.add(padded % kernel[0] * row));
            }
            *filled = end;
            first % kernel[0]
        }
    }

    /// Words of a row of the padded input, of the groups of the part's block.
    ///
    /// # Safety
    /// The CPU has the instructions, and the words of the columns are writable at `to`.
    #[inline(always)]
    unsafe fn copy<W: Words>(&self, part: &Part, padded: usize, columns: &Columns, to: *mut i32) {
        let ConvShape { input: [_, in_w, in_c], .. } = *self.shape;
        let (column, count) = (self.plan.column, columns.inside.len());
        let (group, groups) = (self.shape.group_channels(), self.groups(part.first));
        let len = groups.len() * group;
        let row = inside(self.shape, 0, padded).filter(|_| count > 0);
        // SAFETY: the caller vouches for the words; columns of the input, and a block's groups, are inside it.
        unsafe {
            let Some(y) = row else {
                let all = columns.before + count + columns.behind;
                core::slice::from_raw_parts_mut(to, all * column).fill(W::filled(self.zero()));
                return;
            };
            let (before, behind) = (columns.before * column, columns.behind * column);
            core::slice::from_raw_parts_mut(to, before).fill(W::filled(self.zero()));
            let from = self.input.as_ptr().add((y * in_w + columns.inside.start) * in_c);
            let (from, to) = (from.add(groups.start * group), to.add(before));
            for x in 0..count {
                let (from, to) = (from.add(x * in_c), to.add(x * column));
                if group % W::VALUES == 0 && len % BLOCK == 0 {
                    for at in (0..len).step_by(BLOCK) {
                        W::copy(from.add(at), to.add(at / W::VALUES));
                    }
                    continue;
                }
                let values = core::slice::from_raw_parts(from, len);
                let words = core::slice::from_raw_parts_mut(to, column);
                let values =
                    values.chunks_exact(group.max(1)).flat_map(|group| group.chunks(W::VALUES));
                words.iter_mut().zip(values).for_each(|(word, values)| *word = W::values(values));
            }
            let to = to.add(count * column);
            core::slice::from_raw_parts_mut(to, behind).fill(W::filled(self.zero()));
        }
    }

    /// Words of sixteen channels from the part's first on, each of rows of the padded input from `first` on.
    ///
    /// # Safety
    /// As [`Task::copy`].
    #[inline(always)]
    unsafe fn interleave<W: Words>(
        &self,
        part: &Part,
        first: usize,
        columns: &Columns,
        to: *mut i32,
    ) {
        let ConvShape { input: [_, in_w, in_c], dilations, kernel, .. } = *self.shape;
        let (column, channels) = (self.plan.column, BLOCK.min(in_c - part.first));
        let padding = [self.zero(); BLOCK];
        for word in 0..self.plan.words {
            let mut rows = [(padding.as_ptr(), 0); 4];
            let below = word * W::VALUES..kernel[0].min((word + 1) * W::VALUES);
            for ((from, step), ky) in rows.iter_mut().zip(below) {
                if let Some(y) = inside(self.shape, 0, first + ky * dilations[0])
                    && !columns.inside.is_empty()
                {
                    let at = (y * in_w + columns.inside.start) * in_c + part.first;
                    // SAFETY: the column is inside the input, and the channel one of its.
                    (*from, *step) = (unsafe { self.input.as_ptr().add(at) }, in_c);
                }
            }
            // SAFETY: the caller vouches for the words; sixteen values of padding, and the channels of each column, are
            // readable.
            unsafe {
                let mut to = to.add(word * BLOCK);
                let padding = [_mm_loadu_si128(padding.as_ptr().cast()); 4];
                for _ in 0..columns.before {
                    W::interleave(padding, to);
                    to = to.add(column);
                }
                for x in 0..columns.inside.len() {
                    let mut values = padding;
                    for (values, (from, step)) in values.iter_mut().zip(rows) {
                        *values = load(from.add(x * step), channels);
                    }
                    W::interleave(values, to);
                    to = to.add(column);
                }
                for _ in 0..columns.behind {
                    W::interleave(padding, to);
                    to = to.add(column);
                }
            }
        }
    }

    pub fn zero(&self) -> i8 {
        self.shape.input_zero_point
    }

    /// The groups that the block from channel `first` on has a share of.
    #[inline(always)]
    pub fn groups(&self, first: usize) -> Range<usize> {
        let [_, _, out_c] = self.shape.output;
        let group = (out_c / self.shape.groups.max(1)).max(1);
        first / group..out_c.min(first + BLOCK).div_ceil(group)
    }
}
