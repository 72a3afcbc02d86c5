//! Direct convolution over the widened windows of a few neighbouring output pixels.
//!
//! A window is the sum's values in the order of OHWI weights, filled up to whole steps of
//! [`STEP`] values. Weights come as rows of bytes (OHWI) or packed in the order of the products.

use zerocopy::FromBytes;

use super::Epilogue;
use crate::format::{WeightLayout, align_up};
use crate::kernels::{ConvArgs, ConvShape};

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

/// `conv_direct_cortex_m4` and its packed forms.
pub(crate) const M4: Form = Form { pixels: 2, channels: 2 };

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
        Layout::new(self, shape).bytes()
    }
}

/// A window's length in whole steps.
pub(crate) fn padded_len(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(STEP - 1) / STEP * STEP
}

/// Bytes of the buffers in the scratch.
struct Layout {
    /// The widened windows.
    patch: usize,
    /// Windows in bytes, or one row of them, where they leave the input.
    windows: usize,
    /// The last rows of weights, where steps read behind them.
    rows: usize,
    /// Where pixels behind the last go.
    spare: usize,
}

impl Layout {
    fn new(form: Form, shape: &ConvShape) -> Self {
        let len = padded_len(shape);
        Self {
            patch: align_up(len.saturating_mul(2 * form.pixels)),
            windows: align_up(len.saturating_mul(form.pixels)),
            rows: if len == shape.patch_len() {
                0
            } else {
                align_up(len.saturating_mul(form.channels))
            },
            spare: align_up(shape.output[2].saturating_mul(form.pixels - 1)),
        }
    }

    fn bytes(&self) -> usize {
        let sum = self.patch.saturating_add(self.windows);
        sum.saturating_add(self.rows).saturating_add(self.spare)
    }
}

/// One tile: some channels of `P` pixels.
#[derive(Debug)]
pub(crate) struct Tile<'a, const P: usize> {
    /// The widened windows.
    pub patch: &'a [u32],
    pub layout: WeightLayout,
    /// Of these channels, in whole steps; rows of OHWI are `row_bytes` apart.
    pub weights: &'a [u8],
    pub row_bytes: usize,
    pub epilogue: Epilogue<'a>,
    /// These channels of each pixel.
    pub outputs: [&'a mut [i8]; P],
}

/// What an instruction set does of it. Slices that are too short make it do nothing.
pub(crate) trait Direct<const P: usize>: Copy {
    const FORM: Form;

    /// Widens `runs`, as many bytes of each pixel's window, whole steps, into the beginning of `patch`.
    fn widen(self, runs: [&[i8]; P], patch: &mut [u32]);

    /// Computes a tile.
    fn tile(self, tile: Tile<'_, P>);
}

/// The buffers.
struct Buffers<'s> {
    patch: &'s mut [u32],
    windows: &'s mut [i8],
    rows: &'s mut [u8],
    spare: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], layout: &Layout) -> Option<Self> {
        let (patch, rest) = scratch.split_at_mut_checked(layout.patch)?;
        let (windows, rest) = rest.split_at_mut_checked(layout.windows)?;
        let (rows, rest) = rest.split_at_mut_checked(layout.rows)?;
        let (spare, _) = rest.split_at_mut_checked(layout.spare)?;
        Some(Self {
            patch: FromBytes::mut_from_bytes(patch).ok()?,
            windows: FromBytes::mut_from_bytes(windows).ok()?,
            rows,
            spare: FromBytes::mut_from_bytes(spare).ok()?,
        })
    }
}

/// Runs the convolution.
pub(crate) fn conv<const P: usize>(isa: impl Direct<P>, mut args: ConvArgs<'_>) {
    let [_, out_w, out_c] = args.shape.output;
    let layout = Layout::new(form(isa), args.shape);
    let Some(buffers) = Buffers::new(core::mem::take(&mut args.scratch), &layout) else {
        return;
    };
    let epilogue = Epilogue::begin(&mut args);
    let weights = Rows::new(form(isa), &args, buffers.rows);
    let job = Job { shape: args.shape, input: args.input, first_row: args.first_row };
    let rows = args.output.chunks_exact_mut((out_w * out_c).max(1));
    for (y, row) in rows.enumerate() {
        for (tile, outputs) in row.chunks_mut((P * out_c).max(1)).enumerate() {
            let len = job.windows(isa, (y, tile * P), buffers.patch, buffers.windows);
            let Some(patch) = buffers.patch.get(..len) else { return };
            weights.run(isa, patch, epilogue, outputs, buffers.spare);
        }
    }
    epilogue.end(args.output);
}

fn form<const P: usize, I: Direct<P>>(_: I) -> Form {
    I::FORM
}

/// The weights of all output channels, in one part or, where steps read behind the last row, in two.
struct Rows<'a> {
    layout: WeightLayout,
    row_bytes: usize,
    parts: [(usize, &'a [u8]); 2],
}

impl<'a> Rows<'a> {
    /// Each part is its number of channels and their weights.
    fn new(form: Form, args: &ConvArgs<'a>, last: &'a mut [u8]) -> Self {
        let (layout, weights) = (args.weights.form.layout, args.weights.bytes);
        let (out_c, len) = (args.shape.output[2], args.shape.patch_len());
        let padded = padded_len(args.shape);
        if layout != WeightLayout::Ohwi || len == padded {
            return Self { layout, row_bytes: len, parts: [(out_c, weights), (0, &[])] };
        }
        let before = out_c.saturating_sub(form.channels);
        let from = weights.get(before * len..).unwrap_or_default();
        // What lies between the rows meets values of 0.
        for (to, from) in last.iter_mut().zip(from) {
            *to = *from;
        }
        Self { layout, row_bytes: len, parts: [(before, weights), (form.channels, last)] }
    }

    /// Runs a tile over the pixels of `outputs`; what is left of the tile goes to `spare`.
    #[inline(always)]
    fn run<const P: usize>(
        &self,
        isa: impl Direct<P>,
        patch: &[u32],
        epilogue: Epilogue<'_>,
        outputs: &mut [i8],
        spare: &mut [i8],
    ) {
        let out_c = self.parts[0].0 + self.parts[1].0;
        let mut first = 0;
        for (channels, weights) in self.parts {
            let last = first + channels;
            let pixels = outputs.chunks_exact_mut(out_c.max(1));
            let mut pixels = pixels.chain(spare.chunks_exact_mut(out_c.max(1)));
            let outputs = core::array::from_fn(|_| {
                pixels.next().and_then(|pixel| pixel.get_mut(first..last)).unwrap_or_default()
            });
            let part = Epilogue { channels: epilogue.channels.part(first..last), ..epilogue };
            let (layout, row_bytes) = (self.layout, self.row_bytes);
            if channels > 0 {
                isa.tile(Tile { patch, layout, weights, row_bytes, epilogue: part, outputs });
            }
            first = last;
        }
    }
}

/// Where windows come from.
struct Job<'a> {
    shape: &'a ConvShape,
    input: &'a [i8],
    first_row: usize,
}

impl Job<'_> {
    /// Widens the windows of the `P` output pixels from column `x` of row `y` on; pixels behind the last
    /// repeat it. Returns the words of the patch.
    #[inline(always)]
    fn windows<const P: usize>(
        &self,
        isa: impl Direct<P>,
        (y, x): (usize, usize),
        patch: &mut [u32],
        windows: &mut [i8],
    ) -> usize {
        let shape = self.shape;
        let [in_h, in_w, in_c] = shape.input;
        let [kernel_h, kernel_w] = shape.kernel;
        let run = kernel_w * in_c;
        let last = shape.output[1].saturating_sub(1);
        let columns: [usize; P] =
            core::array::from_fn(|pixel| (x + pixel).min(last) * shape.strides[1]);
        let top = (self.first_row + y) * shape.strides[0];
        let inside = top >= shape.pads[0]
            && top + kernel_h <= in_h + shape.pads[0]
            && columns[0] >= shape.pads[1]
            && columns[P - 1] + kernel_w <= in_w + shape.pads[1];
        let whole_steps = run.is_multiple_of(STEP);
        let len = padded_len(shape);
        if inside && whole_steps {
            let row = (top - shape.pads[0]) * in_w;
            let mut starts = columns.map(|column| (row + column - shape.pads[1]) * in_c);
            for part in patch.chunks_exact_mut((run * P / 2).max(1)).take(kernel_h) {
                let runs =
                    starts.map(|start| self.input.get(start..start + run).unwrap_or_default());
                isa.widen(runs, part);
                starts.iter_mut().for_each(|start| *start += in_w * in_c);
            }
        } else {
            for (window, &column) in windows.chunks_exact_mut(len.max(1)).zip(&columns) {
                self.gather((top, column), window);
            }
            let mut windows = windows.chunks_exact(len.max(1));
            isa.widen(core::array::from_fn(|_| windows.next().unwrap_or_default()), patch);
        }
        len * P / 2
    }

    /// Copies the window that begins at row `top` and column `left` of the padded input.
    fn gather(&self, (top, left): (usize, usize), window: &mut [i8]) {
        let shape = self.shape;
        let [_, in_w, in_c] = shape.input;
        let run = shape.kernel[1] * in_c;
        let (window, behind) = window.split_at_mut(shape.patch_len().min(window.len()));
        behind.fill(0);
        // Values of the run before the input's first and behind its last.
        let before = (shape.pads[1].saturating_sub(left) * in_c).min(run);
        let end = ((in_w + shape.pads[1]).saturating_sub(left) * in_c).min(run).max(before);
        let first = (left + before / in_c.max(1)).saturating_sub(shape.pads[1]) * in_c;
        for (ky, row) in window.chunks_exact_mut(run.max(1)).enumerate() {
            let y = (top + ky).checked_sub(shape.pads[0]);
            let line = y.and_then(|y| self.input.get(y * in_w * in_c..)?.get(..in_w * in_c));
            let values = line.and_then(|line| line.get(first..first + end - before));
            let (Some(values), Some(to)) = (values, row.get_mut(before..end)) else {
                row.fill(shape.input_zero_point);
                continue;
            };
            copy(to, values);
            row.iter_mut().take(before).for_each(|value| *value = shape.input_zero_point);
            row.iter_mut().skip(end).for_each(|value| *value = shape.input_zero_point);
        }
    }
}

fn copy(to: &mut [i8], from: &[i8]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from;
    }
}
