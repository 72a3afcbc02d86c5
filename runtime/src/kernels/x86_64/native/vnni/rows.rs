//! The windows of output pixels as rows of unsigned bytes: `x + 128`, in OHWI order.
//!
//! Rows are written from left to right in whole vectors, whose ends the next ones overwrite; a row has
//! room for the end of its last one.

use core::ops::Range;

use super::dots::{Block, Dots, Runs};
use crate::kernels::ConvShape;
use crate::kernels::x86_64::native::tiled::vector::Block as _;
use crate::kernels::x86_64::vnni::VECTOR;

/// What rows are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub shape: &'a ConvShape,
    /// As many values as the shape says.
    pub input: &'a [i8],
    /// From one row to the next.
    pub row: usize,
}

/// Pixels of one output row.
#[derive(Debug, Clone)]
struct Line {
    oy: usize,
    columns: Range<usize>,
}

impl Rows<'_> {
    /// Writes the rows of `pixels`, counted from the beginning of output row `first_row`.
    ///
    /// # Safety
    /// The CPU has the instructions, `to` has room for a row of each pixel, as [`crate::kernels::x86_64::vnni::Plan`] counts them, and a vector
    /// behind them; the pixels are the output's, and [`crate::kernels::x86_64::vnni::computes`] the shape.
    #[inline(always)]
    pub unsafe fn gather<D: Dots>(&self, first_row: usize, pixels: Range<usize>, to: *mut u8) {
        let out_w = self.shape.output[1].max(1);
        let inside = self.inside();
        let mut at = pixels.start;
        while at < pixels.end {
            let (y, x) = (at / out_w, at % out_w);
            let end = out_w.min(x + (pixels.end - at));
            let (low, high) = (inside.start.clamp(x, end), inside.end.clamp(x, end));
            let oy = first_row + y;
            for columns in [x..low, low.max(high)..end] {
                for ox in columns {
                    // SAFETY: the pixel is one of `pixels`.
                    unsafe {
                        self.edge::<D>(oy, ox, to.add((at - pixels.start + ox - x) * self.row))
                    };
                }
            }
            if low < high {
                // SAFETY: the line's windows are inside the input's columns, its pixels some of `pixels`.
                unsafe {
                    let to = to.add((at - pixels.start + low - x) * self.row);
                    self.line::<D>(&Line { oy, columns: low..high }, to);
                }
            }
            at += end - x;
        }
    }

    /// Output columns whose windows have all columns inside the input.
    fn inside(&self) -> Range<usize> {
        let ConvShape { input: [_, in_w, _], strides, pads, dilations, kernel, .. } = *self.shape;
        let stride = strides[1].max(1);
        let extent = (kernel[1].saturating_sub(1)).saturating_mul(dilations[1]).saturating_add(1);
        let end = match (in_w + pads[1]).checked_sub(extent) {
            Some(last) => last / stride + 1,
            None => 0,
        };
        pads[1].div_ceil(stride)..end
    }

    /// The first value of the input's row behind row `ky` of a window.
    fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        let [in_h, in_w, in_c] = self.shape.input;
        let y = oy * self.shape.strides[0] + ky * self.shape.dilations[0];
        let y = y.checked_sub(self.shape.pads[0]).filter(|&y| y < in_h)?;
        Some(y * in_w * in_c)
    }

    /// Columns of a window that lie side by side in the input.
    fn columns_of_run(&self) -> usize {
        if self.shape.dilations[1] == 1 { self.shape.kernel[1] } else { 1 }
    }

    /// Pixels whose windows have all columns inside the input.
    ///
    /// # Safety
    /// So they have, and `to` has room for their rows.
    #[inline(always)]
    unsafe fn line<D: Dots>(&self, line: &Line, to: *mut u8) {
        let ConvShape { input: [_, _, in_c], strides, pads, dilations, kernel, .. } = *self.shape;
        let columns = self.columns_of_run();
        let (count, step) = (line.columns.len(), strides[1] * in_c);
        let runs = Runs { len: columns * in_c, count, step, row: self.row };
        let left = (line.columns.start * strides[1]).saturating_sub(pads[1]);
        for ky in 0..kernel[0] {
            let row = self.input_row(line.oy, ky);
            for kx in (0..kernel[1]).step_by(columns.max(1)) {
                // SAFETY: the run begins in the row of the first pixel.
                let to = unsafe { to.add((ky * kernel[1] + kx) * in_c) };
                // SAFETY: every pixel of the line has a row at `to`, and its window's columns are inside
                // the input's row.
                unsafe {
                    match row {
                        Some(row) => {
                            let first = row + (left + kx * dilations[1]) * in_c;
                            D::copy(runs, self.input.as_ptr().add(first), to);
                        }
                        None => self.fill::<D>(runs, to),
                    }
                }
            }
        }
    }

    /// A pixel whose window may reach over the edges.
    ///
    /// # Safety
    /// `to` has room for its row.
    #[inline(always)]
    unsafe fn edge<D: Dots>(&self, oy: usize, ox: usize, to: *mut u8) {
        let ConvShape { input: [_, in_w, in_c], strides, pads, dilations, kernel, .. } =
            *self.shape;
        let columns = self.columns_of_run();
        for ky in 0..kernel[0] {
            let row = self.input_row(oy, ky);
            for kx in (0..kernel[1]).step_by(columns.max(1)) {
                // Columns in front of the input, inside and behind it.
                let x = ox * strides[1] + kx * dilations[1];
                let before = pads[1].saturating_sub(x).min(columns);
                let until = (in_w + pads[1]).saturating_sub(x).clamp(before, columns);
                let row = row.filter(|_| before < until);
                let from = row.map(|row| row + (x + before - pads[1]) * in_c);
                let parts = [(None, 0..before), (from, before..until), (None, until..columns)];
                for (from, part) in parts {
                    let len = part.len() * in_c;
                    let runs = Runs { len, count: 1, step: len, row: self.row };
                    // SAFETY: the part lies in the pixel's row; where it is inside the input, so are its
                    // values.
                    unsafe {
                        let to = to.add((ky * kernel[1] + kx + part.start) * in_c);
                        match from {
                            Some(from) => D::copy(runs, self.input.as_ptr().add(from), to),
                            None => self.fill::<D>(runs, to),
                        }
                    }
                }
            }
        }
    }

    /// Writes padding where [`Dots::copy`] would write values.
    ///
    /// # Safety
    /// The CPU has the instructions, and whole vectors of the runs are writable at `to`.
    #[inline(always)]
    unsafe fn fill<D: Dots>(&self, runs: Runs, to: *mut u8) {
        // SAFETY: the caller vouches for the instructions and for whole vectors.
        unsafe {
            let value = i32::from_ne_bytes([self.shape.input_zero_point as u8; 4]);
            let padding = D::unsigned(Block::<D>::splat(value));
            for p in 0..runs.count {
                for vector in 0..runs.len.div_ceil(VECTOR) {
                    padding.store(to.add(p * runs.row + vector * VECTOR).cast());
                }
            }
        }
    }
}
