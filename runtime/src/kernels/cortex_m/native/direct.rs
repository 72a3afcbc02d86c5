//! The driver of direct convolution, which [`direct`](crate::kernels::cortex_m::direct) plans: safe code that
//! walks over tiles and takes care of padding, borders and the clamp.

use super::{Epilogue, copy};
use crate::format::WeightLayout;
use crate::kernels::cortex_m::direct::{Buffers as Layout, Form, STEP, padded_len};
use crate::kernels::divide::buffer;
use crate::kernels::{ConvArgs, ConvShape};

/// Rows of values in an HWC map: `count` of them, `run` long, `pitch` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub run: usize,
    pub pitch: usize,
    pub count: usize,
}

impl Rows {
    /// Bytes from the first value to behind the last.
    #[inline(always)]
    pub fn extent(self) -> usize {
        self.count.saturating_sub(1) * self.pitch + self.run
    }
}

/// Some channels of all pixels, as the instruction set is told of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub layout: WeightLayout,
    /// Of these channels, in whole steps; rows of OHWI are `row_bytes` apart.
    pub weights: &'a [u8],
    pub row_bytes: usize,
    pub channels: usize,
    /// Steps of a window.
    pub steps: usize,
    pub epilogue: Epilogue<'a>,
}

/// What an instruction set does of it. Methods do nothing and return `false` if a slice is too short.
pub(crate) trait Direct<const P: usize>: Copy {
    const FORM: Form;
    /// A part that can be computed.
    type Call<'a>;

    /// Widens `rows`, whole steps, of each pixel's window into the beginning of `patch`. The first pixel's
    /// begin at `from`, the others' at distances in `starts`.
    fn widen(self, from: &[i8], starts: [usize; P], rows: Rows, patch: &mut [u32]) -> bool;

    /// Checks a part.
    fn prepare(self, part: Part<'_>) -> Option<Self::Call<'_>>;

    /// Computes a part of the tile whose windows `patch` holds; an output has the part's channels.
    fn tile(self, call: &Self::Call<'_>, patch: &[u32], outputs: [&mut [i8]; P]) -> bool;
}

/// The buffers.
struct Buffers<'s> {
    patch: &'s mut [u32],
    windows: &'s mut [i8],
    rows: &'s mut [u8],
    spare: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &mut &'s mut [u8], layout: &Layout) -> Option<Self> {
        Some(Self {
            patch: buffer(scratch, layout.patch)?,
            windows: buffer(scratch, layout.windows)?,
            rows: buffer(scratch, layout.rows)?,
            spare: buffer(scratch, layout.spare)?,
        })
    }
}

/// Runs the convolution. `None` if a slice is too short.
pub(crate) fn conv<const P: usize, I: Direct<P>>(isa: I, mut args: ConvArgs<'_>) -> Option<()> {
    let [_, out_w, out_c] = args.shape.output;
    let layout = Layout::new(I::FORM, args.shape);
    let Buffers { patch, windows, rows, spare } = Buffers::new(&mut args.scratch, &layout)?;
    let epilogue = Epilogue::begin(&mut args)?;
    let [first, last] = parts(I::FORM, &args, epilogue, rows)?;
    // A single block of channels may be the one behind whose rows steps read.
    let (first, last) = if first.channels == 0 { (last, first) } else { (first, last) };
    let (split, in_one) = (first.channels, last.channels == 0);
    let first = isa.prepare(first)?;
    let last = isa.prepare(last);
    let job = Job::new(args.shape, args.input);
    let patch = patch.get_mut(..job.len * P / 2)?;
    let mut done = in_one == last.is_none();
    let rows = args.output.chunks_exact_mut((out_w * out_c).max(1));
    for (y, row) in rows.enumerate() {
        let top = (args.first_row + y) * args.shape.strides[0];
        for (tile, outputs) in row.chunks_mut((P * out_c).max(1)).enumerate() {
            done &= job.windows(isa, (top, tile * P), patch, windows);
            let pixels = outputs.chunks_exact_mut(out_c.max(1));
            let mut pixels = pixels.chain(spare.chunks_exact_mut(out_c.max(1)));
            let outputs = core::array::from_fn(|_| pixels.next().unwrap_or_default());
            let Some(last) = &last else {
                done &= isa.tile(&first, patch, outputs);
                continue;
            };
            done &= in_two(isa, (&first, last), split, patch, outputs);
        }
    }
    epilogue.end(args.output);
    done.then_some(())
}

/// Computes a tile whose first `split` channels are one part and whose others are another one.
#[inline(never)]
fn in_two<const P: usize, I: Direct<P>>(
    isa: I,
    (first, last): (&I::Call<'_>, &I::Call<'_>),
    split: usize,
    patch: &[u32],
    outputs: [&mut [i8]; P],
) -> bool {
    let mut behind: [&mut [i8]; P] = core::array::from_fn(|_| Default::default());
    let mut outputs = outputs.into_iter().zip(&mut behind).map(|(output, behind)| {
        let split = split.min(output.len());
        let (output, rest) = output.split_at_mut_checked(split).unwrap_or_default();
        *behind = rest;
        output
    });
    let before = core::array::from_fn(|_| outputs.next().unwrap_or_default());
    isa.tile(first, patch, before) & isa.tile(last, patch, behind)
}

/// All output channels, in one part or, where steps read behind the last row of weights, in two. `None` if there
/// are no weights for the second.
fn parts<'a>(
    form: Form,
    args: &ConvArgs<'a>,
    epilogue: Epilogue<'a>,
    last: &'a mut [u8],
) -> Option<[Part<'a>; 2]> {
    let (layout, weights) = (args.weights.form.layout, args.weights.bytes);
    let (out_c, len) = (args.shape.output[2], args.shape.patch_len());
    let padded = padded_len(args.shape);
    let whole = layout != WeightLayout::Ohwi || len == padded;
    let split = if whole { out_c } else { out_c.saturating_sub(form.channels) };
    if !whole {
        // What lies between and behind these rows meets values of 0.
        for (to, from) in last.iter_mut().zip(weights.get(split * len..)?) {
            *to = *from;
        }
    }
    let part = |from: usize, to: usize, weights| {
        Some(Part {
            layout,
            weights,
            row_bytes: len,
            channels: to - from,
            steps: padded / STEP,
            epilogue: Epilogue { channels: epilogue.channels.part(from..to)?, ..epilogue },
        })
    };
    Some([part(0, split, weights)?, part(split, out_c, last)?])
}

/// Where windows come from.
struct Job<'a> {
    shape: &'a ConvShape,
    input: &'a [i8],
    /// A window inside the input.
    rows: Rows,
    /// A window in whole steps.
    len: usize,
    whole_steps: bool,
}

impl<'a> Job<'a> {
    fn new(shape: &'a ConvShape, input: &'a [i8]) -> Self {
        let run = shape.kernel[1] * shape.input[2];
        let pitch = shape.input[1] * shape.input[2];
        Self {
            shape,
            input,
            rows: Rows { run, pitch, count: shape.kernel[0] },
            len: padded_len(shape),
            whole_steps: run.is_multiple_of(STEP),
        }
    }

    /// Widens the windows of the `P` output pixels from column `x` on, whose first row is `top` of the
    /// padded input; pixels behind the last repeat it.
    #[inline(always)]
    fn windows<const P: usize>(
        &self,
        isa: impl Direct<P>,
        (top, x): (usize, usize),
        patch: &mut [u32],
        windows: &mut [i8],
    ) -> bool {
        let shape = self.shape;
        let [in_h, in_w, in_c] = shape.input;
        let last = shape.output[1].saturating_sub(1);
        let stride = shape.strides[1];
        let (left, right) = (x * stride, (x + P - 1).min(last) * stride);
        let inside = top >= shape.pads[0]
            && top + shape.kernel[0] <= in_h + shape.pads[0]
            && left >= shape.pads[1]
            && right + shape.kernel[1] <= in_w + shape.pads[1];
        let column = |pixel: usize| (x + pixel).min(last) * stride;
        let mut done = true;
        let starts = core::array::from_fn(|pixel| (column(pixel) - left) * in_c);
        if inside {
            let first = ((top - shape.pads[0]) * in_w + left - shape.pads[1]) * in_c;
            let from = self.input.get(first..).unwrap_or_default();
            if self.whole_steps {
                return isa.widen(from, starts, self.rows, patch);
            }
            for (pixel, start) in starts.into_iter().enumerate() {
                let window = windows.get_mut(pixel * self.len..).unwrap_or_default();
                let from = from.get(start..).unwrap_or_default();
                if from.len() < self.rows.extent() + STEP {
                    done &= self.gather((top, column(pixel)), window);
                    continue;
                }
                done &= copy::gather(from, self.rows, window);
            }
        } else {
            for pixel in 0..P {
                let window = windows.get_mut(pixel * self.len..).unwrap_or_default();
                done &= self.gather((top, column(pixel)), window);
            }
        }
        let rows = Rows { run: self.len, pitch: self.len, count: 1 };
        done & isa.widen(windows, core::array::from_fn(|pixel| pixel * self.len), rows, patch)
    }

    /// Copies the window that begins at row `top` and column `left` of the padded input; `false` if it does
    /// not fit.
    #[inline(never)]
    fn gather(&self, (top, left): (usize, usize), window: &mut [i8]) -> bool {
        let shape = self.shape;
        let [in_h, in_w, in_c] = shape.input;
        let run = shape.kernel[1] * in_c;
        let Some(window) = window.get_mut(..self.len) else { return false };
        let (window, behind) =
            window.split_at_mut_checked(shape.patch_len().min(window.len())).unwrap_or_default();
        behind.fill(0);
        // Values of the run before the input's first and behind its last.
        let before = (shape.pads[1].saturating_sub(left) * in_c).min(run);
        let end = ((in_w + shape.pads[1]).saturating_sub(left) * in_c).min(run).max(before);
        let first = (left + before / in_c.max(1)).saturating_sub(shape.pads[1]) * in_c;
        for (ky, row) in window.chunks_exact_mut(run.max(1)).enumerate() {
            let y = (top + ky).checked_sub(shape.pads[0]).filter(|&y| y < in_h);
            let Some(y) = y.filter(|_| end > before) else {
                row.fill(shape.input_zero_point);
                continue;
            };
            let at = y * in_w * in_c + first;
            let Some(values) = self.input.get(at..at + end - before) else { return false };
            let (row, behind) = row.split_at_mut_checked(end).unwrap_or_default();
            let (before, inside) = row.split_at_mut_checked(before).unwrap_or_default();
            before.fill(shape.input_zero_point);
            behind.fill(shape.input_zero_point);
            if inside.len() != values.len() {
                return false;
            }
            inside.copy_from_slice(values);
        }
        true
    }
}
