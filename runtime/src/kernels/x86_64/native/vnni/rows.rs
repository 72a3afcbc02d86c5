//! The windows of output pixels as rows of unsigned bytes: `x + 128`, in OHWI order.
//!
//! Rows are written from left to right in whole vectors, whose ends the next ones overwrite; a row has
//! room for the end of its last one.

use core::arch::x86_64::{
    __m512i, __mmask32, __mmask64, _mm256_maskz_loadu_epi8, _mm256_set1_epi8, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_set1_epi8,
    _mm512_storeu_si512, _mm512_xor_si512,
};
use core::ops::Range;

use crate::kernels::ConvShape;
use crate::kernels::x86_64::vnni::VECTOR;

/// Bytes of half a vector.
const HALF: usize = VECTOR / 2;

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
    /// `to` has room for a row of each pixel, as [`crate::kernels::x86_64::vnni::Plan`] counts them, and a vector
    /// behind them; the pixels are the output's, and [`crate::kernels::x86_64::vnni::computes`] the shape.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub unsafe fn gather(&self, first_row: usize, pixels: Range<usize>, to: *mut u8) {
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
                    unsafe { self.edge(oy, ox, to.add((at - pixels.start + ox - x) * self.row)) };
                }
            }
            if low < high {
                // SAFETY: the line's windows are inside the input's columns, its pixels some of `pixels`.
                unsafe {
                    let to = to.add((at - pixels.start + low - x) * self.row);
                    self.line(&Line { oy, columns: low..high }, to);
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn line(&self, line: &Line, to: *mut u8) {
        let ConvShape { input: [_, _, in_c], strides, pads, dilations, kernel, .. } = *self.shape;
        let columns = self.columns_of_run();
        let run = Run::new(columns * in_c, self.padding());
        let (count, step) = (line.columns.len(), strides[1] * in_c);
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
                            run.copy_all(self.input.as_ptr().add(first), step, to, self.row, count);
                        }
                        None => (0..count).for_each(|p| run.fill(to.add(p * self.row))),
                    }
                }
            }
        }
    }

    /// A pixel whose window may reach over the edges.
    ///
    /// # Safety
    /// `to` has room for its row.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn edge(&self, oy: usize, ox: usize, to: *mut u8) {
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
                    let run = Run::new(part.len() * in_c, self.padding());
                    // SAFETY: the part lies in the pixel's row; where it is inside the input, so are its
                    // values.
                    unsafe {
                        let to = to.add((ky * kernel[1] + kx + part.start) * in_c);
                        match from {
                            Some(from) => run.copy(self.input.as_ptr().add(from), to),
                            None => run.fill(to),
                        }
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn padding(&self) -> __m512i {
        unsigned(_mm512_set1_epi8(self.shape.input_zero_point))
    }
}

/// Values that lie side by side in the input and in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    vectors: usize,
    /// Values behind the whole vectors.
    rest: __mmask64,
    padding: __m512i,
}

impl Run {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn new(len: usize, padding: __m512i) -> Self {
        Self { vectors: len / VECTOR, rest: (1 << (len % VECTOR)) - 1, padding }
    }

    /// # Safety
    /// The run is readable at `from`, and whole vectors of it are writable at `to`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn copy(&self, from: *const i8, to: *mut u8) {
        // SAFETY: the caller vouches for whole vectors; the last load reads no more than the rest.
        unsafe {
            for vector in 0..self.vectors {
                let values = _mm512_loadu_si512(from.add(vector * VECTOR).cast());
                _mm512_storeu_si512(to.add(vector * VECTOR).cast(), unsigned(values));
            }
            if self.rest != 0 {
                let values =
                    _mm512_maskz_loadu_epi8(self.rest, from.add(self.vectors * VECTOR).cast());
                _mm512_storeu_si512(to.add(self.vectors * VECTOR).cast(), unsigned(values));
            }
        }
    }

    /// Copies `count` runs, `step` values apart in the input and `row` bytes where they go.
    ///
    /// # Safety
    /// As [`Run::copy`] for each of them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn copy_all(&self, from: *const i8, step: usize, to: *mut u8, row: usize, count: usize) {
        if self.vectors > 0 || self.rest >> HALF != 0 {
            for p in 0..count {
                // SAFETY: the caller vouches for each run.
                unsafe { self.copy(from.add(p * step), to.add(p * row)) };
            }
            return;
        }
        let (rest, flip) = (self.rest as __mmask32, _mm256_set1_epi8(-128));
        for p in 0..count {
            // SAFETY: the caller vouches for each run, and half a vector holds it.
            unsafe {
                let values = _mm256_maskz_loadu_epi8(rest, from.add(p * step));
                _mm256_storeu_si256(to.add(p * row).cast(), _mm256_xor_si256(values, flip));
            }
        }
    }

    /// # Safety
    /// Whole vectors of the run are writable at `to`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn fill(&self, to: *mut u8) {
        for vector in 0..self.vectors + usize::from(self.rest != 0) {
            // SAFETY: the caller vouches for whole vectors.
            unsafe { _mm512_storeu_si512(to.add(vector * VECTOR).cast(), self.padding) };
        }
    }
}

/// `x + 128` of each byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn unsigned(values: __m512i) -> __m512i {
    _mm512_xor_si512(values, _mm512_set1_epi8(-128))
}
