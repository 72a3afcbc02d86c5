//! Depthwise convolutions: every output channel sees one input channel, its own. An affine step is one of a
//! single tap.
//!
//! Weights are transposed to `[tap][channel]`, and channels filled up to whole vectors. Rows of the input are
//! copied with the padding around them, as many at a time as some rows of the output see, so that no window
//! ends outside; where there is no padding and nothing to fill up, windows are read where they lie.

use super::ConvShape;
use super::grouped::span;
use crate::format::align_up;

/// How an instruction set divides the work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Channels that are computed together.
    pub lanes: usize,
    /// Bytes of a weight.
    pub weight_bytes: usize,
    /// Most bytes of rows that are copied at a time; but always those that one row of the output sees.
    pub most_bytes: usize,
}

/// The division of one convolution. Lengths are in elements.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "the code reads all of it, other machines plan its scratch")]
pub(crate) struct Plan {
    pub taps: usize,
    /// Channels in whole vectors.
    pub padded: usize,
    /// Most rows of the output whose input is there at a time.
    pub rows: usize,
    /// From one row of the input to the next, as it is read.
    pub pitch: usize,
    /// Whether rows are copied.
    pub copies: bool,
    weights_bytes: usize,
    rows_bytes: usize,
}

impl Plan {
    pub fn new(form: Form, shape: &ConvShape) -> Self {
        let [_, in_w, channels] = shape.input;
        let [_, left, _, right] = shape.pads;
        let taps = shape.kernel[0].saturating_mul(shape.kernel[1]);
        let padded = channels.div_ceil(form.lanes.max(1)).saturating_mul(form.lanes);
        let copies = shape.pads != [0; 4] || padded != channels;
        let width = in_w.saturating_add(left).saturating_add(right);
        let pitch = width.saturating_mul(channels);
        let below = pitch.saturating_mul(shape.strides[0]);
        let first = pitch.saturating_mul(span(shape, 0));
        let more = form.most_bytes.saturating_sub(first).checked_div(below).unwrap_or(0);
        let all = shape.output[0].max(1);
        let rows = if copies { more.saturating_add(1).min(all) } else { all };
        let copied = first.saturating_add((rows - 1).saturating_mul(below));
        Self {
            taps,
            padded,
            rows,
            pitch,
            copies,
            weights_bytes: align_up(taps.saturating_mul(padded).saturating_mul(form.weight_bytes)),
            // The last vector of the last pixel is whole.
            rows_bytes: if copies { align_up(copied.saturating_add(form.lanes)) } else { 0 },
        }
    }

    /// Bytes of the weights.
    #[allow(dead_code, reason = "as above")]
    pub const fn weights_bytes(&self) -> usize {
        self.weights_bytes
    }

    /// Bytes of the rows that are copied.
    #[allow(dead_code, reason = "as above")]
    pub const fn rows_bytes(&self) -> usize {
        self.rows_bytes
    }

    /// Bytes of what is added to where a window begins, for each tap.
    pub const fn offsets_bytes(&self) -> usize {
        align_up(self.taps.saturating_mul(size_of::<usize>()))
    }

    pub const fn scratch_bytes(&self) -> usize {
        let bytes = self.weights_bytes.saturating_add(self.rows_bytes);
        bytes.saturating_add(self.offsets_bytes())
    }
}

#[cfg(any(native_aarch64, native_cortex_m3, native_cortex_m4))]
pub(super) use native::Rows;

#[cfg(any(native_aarch64, native_cortex_m3, native_cortex_m4))]
mod native {
    use super::*;
    use crate::kernels::ConvArgs;
    use crate::kernels::divide::buffer;
    use crate::kernels::grouped::inside;

    /// A convolution that is computed some rows at a time.
    pub struct Rows<'s> {
        plan: Plan,
        copied: &'s mut [i8],
        /// What is added to where a window begins, for each tap.
        pub offsets: &'s [usize],
    }

    impl<'s> Rows<'s> {
        /// Takes its scratch; `None` if there is less than the plan says.
        pub fn new(plan: Plan, shape: &ConvShape, scratch: &mut &'s mut [u8]) -> Option<Self> {
            let copied = buffer(scratch, plan.rows_bytes())?;
            let offsets: &mut [usize] = buffer(scratch, plan.offsets_bytes())?;
            let offsets = offsets.get_mut(..plan.taps)?;
            let columns = shape.kernel[1].max(1);
            for (tap, offset) in offsets.iter_mut().enumerate() {
                *offset = tap / columns * shape.dilations[0] * plan.pitch
                    + tap % columns * shape.dilations[1] * shape.input[2];
            }
            Some(Self { plan, copied, offsets })
        }

        /// Copies rows by `copy`, of slices of one length, and calls `compute` with the input of some rows of the output, which begin where the window of their first
        /// pixel does, and with these rows, for all rows: where in the output they begin, and how many.
        pub fn each(
            &mut self,
            args: &mut ConvArgs<'_>,
            copy: impl Fn(&mut [i8], &[i8]),
            mut compute: impl FnMut(&mut ConvArgs<'_>, &[i8], &[usize], [usize; 2]) -> Option<()>,
        ) -> Option<()> {
            let row = args.shape.output[1] * args.shape.output[2];
            let rows = args.output.len().checked_div(row)?;
            for first in (0..rows).step_by(self.plan.rows.max(1)) {
                let count = self.plan.rows.min(rows - first);
                let top = (args.first_row + first) * args.shape.strides[0];
                let input = args.input;
                let from = if self.plan.copies {
                    self.copy(args.shape, input, top, count, &copy)?;
                    &*self.copied
                } else {
                    input.get(top * self.plan.pitch..)?
                };
                compute(args, from, self.offsets, [first, count])?;
            }
            Some(())
        }

        /// Copies the input of `count` rows of the output with its padding.
        fn copy(
            &mut self,
            shape: &ConvShape,
            input: &[i8],
            top: usize,
            count: usize,
            copy: impl Fn(&mut [i8], &[i8]),
        ) -> Option<()> {
            let [_, in_w, channels] = shape.input;
            let left = shape.pads[1];
            let (line, left) = (in_w * channels, left * channels);
            let rows = (count - 1) * shape.strides[0] + span(shape, 0);
            let lines = self.copied.chunks_exact_mut(self.plan.pitch.max(1)).take(rows);
            for (row, to) in lines.enumerate() {
                let Some(y) = inside(shape, 0, top + row) else {
                    to.fill(shape.input_zero_point);
                    continue;
                };
                let (before, to) = to.split_at_mut_checked(left)?;
                let (inside, behind) = to.split_at_mut_checked(line)?;
                let values = input.get(y * line..)?.get(..inside.len())?;
                before.fill(shape.input_zero_point);
                behind.fill(shape.input_zero_point);
                copy(inside, values);
            }
            Some(())
        }
    }
}
