//! The driver of Winograd's forms, which [`winograd`](crate::kernels::cortex_m::winograd) plans: safe code that
//! walks over tiles and takes care of padding, borders and the clamp.

use super::winograd_call::{WinogradCall, can_transform};
use super::{Epilogue, copy};
use crate::format::align_up;
use crate::kernels::cortex_m::winograd::{BLOCK, Form, TILES};
use crate::kernels::divide::buffer;
use crate::kernels::{ConvArgs, ConvShape};

/// Two tiles in all channels.
#[derive(Debug)]
pub(crate) struct Tiles<'a> {
    /// The transformed input, `position_bytes` a position.
    pub values: &'a [u32],
    pub position_bytes: usize,
    pub weights: &'a [u8],
    pub epilogue: Epilogue<'a>,
    /// HWC; the tiles begin at the first pixel, rows are `row_stride` apart, pixels `channels`.
    pub output: &'a mut [i8],
    pub row_stride: usize,
    pub channels: usize,
}

/// A form by the functions of one kind of processor.
///
/// # Safety
/// They read and write what is documented of them, and this processor has their instructions.
pub(crate) unsafe trait Winograd {
    const FORM: Form;

    /// Transforms a patch: reads what [`can_transform`] asks for, and writes positions so many bytes apart.
    const INPUT: unsafe extern "C" fn(*const i8, *mut u32, usize);

    /// Multiplies, transforms back and requantizes what a call's pointers say.
    const TILES: unsafe extern "C" fn(&WinogradCall);
}

/// Transforms a patch into the beginning of `values`; does nothing and returns `false` if a slice is too short,
/// or misaligned.
#[inline(always)]
fn transform_patch<I: Winograd>(patch: &[i8], values: &mut [u32], position_bytes: usize) -> bool {
    let fits = can_transform(I::FORM, patch, values, position_bytes);
    if fits {
        // SAFETY: as just checked: a patch of whole pixels, and a block of channels at each position.
        unsafe { (I::INPUT)(patch.as_ptr(), values.as_mut_ptr(), position_bytes) };
    }
    fits
}

/// Computes two tiles, on the same conditions.
#[inline(always)]
fn tiles<I: Winograd>(tiles: Tiles<'_>) -> bool {
    let Some(call) = WinogradCall::new(tiles, I::FORM) else { return false };
    // SAFETY: the call's slices are long enough and aligned, as `new` has checked.
    unsafe { (I::TILES)(&call) }
    true
}

/// The buffers in the scratch.
struct Buffers<'s> {
    values: &'s mut [u32],
    patch: &'s mut [i8],
    results: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &mut &'s mut [u8], form: Form, shape: &ConvShape) -> Option<Self> {
        Some(Self {
            values: buffer(scratch, align_up(form.values_bytes(shape)))?,
            patch: buffer(scratch, align_up(form.patch_bytes()))?,
            results: buffer(scratch, form.results_bytes(shape))?,
        })
    }
}

/// Runs the convolution. `None` if a slice is too short.
pub(crate) fn conv<I: Winograd>(mut args: ConvArgs<'_>) -> Option<()> {
    let (shape, side) = (args.shape, I::FORM.side);
    let [_, out_w, out_c] = shape.output;
    let mut buffers = Buffers::new(&mut args.scratch, I::FORM, shape)?;
    let epilogue = Epilogue::begin(&mut args)?;
    let mut done = true;
    let row_stride = out_w * out_c;
    let rows = args.output.len() / row_stride.max(1);
    for top in (0..rows).step_by(side) {
        for left in (0..out_w).step_by(side * TILES) {
            let corner = (args.first_row + top, left);
            transform::<I>(shape, args.input, corner, &mut buffers)?;
            let height = side.min(rows - top);
            let width = (side * TILES).min(out_w - left);
            let output = args.output.get_mut((top * out_w + left) * out_c..)?;
            let run = |output: &mut [i8], row_stride| {
                tiles::<I>(Tiles {
                    values: buffers.values,
                    position_bytes: I::FORM.position_bytes(shape),
                    weights: args.weights.bytes,
                    epilogue,
                    output,
                    row_stride,
                    channels: out_c,
                })
            };
            if (height, width) == (side, side * TILES) {
                done &= run(output, row_stride);
                continue;
            }
            let (run_len, stride) = (width * out_c, side * TILES * out_c);
            let results = &mut *buffers.results;
            let parts = |rows: usize| rows.max(1);
            if epilogue.residual_multiplier != 0 {
                let from = output.chunks(parts(row_stride)).take(height);
                for (to, from) in results.chunks_exact_mut(parts(stride)).zip(from) {
                    done &= copy_run(to, from, run_len);
                }
            }
            done &= run(results, stride);
            let to = output.chunks_mut(parts(row_stride)).take(height);
            for (to, from) in to.zip(results.chunks_exact(parts(stride))) {
                done &= copy_run(to, from, run_len);
            }
        }
    }
    epilogue.end(args.output);
    done.then_some(())
}

/// Whether both have `len` elements, which are copied.
fn copy_run(to: &mut [i8], from: &[i8], len: usize) -> bool {
    let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) else { return false };
    to.copy_from_slice(from);
    true
}

/// Transforms all channels of the tiles at an output position; `None` if a slice is too short.
fn transform<I: Winograd>(
    shape: &ConvShape,
    input: &[i8],
    (y, x): (usize, usize),
    buffers: &mut Buffers<'_>,
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let columns = I::FORM.columns();
    // The columns inside: from `first` on, which is the input's column `left`.
    let first = shape.pads[1].saturating_sub(x).min(columns);
    let left = (x + first).saturating_sub(shape.pads[1]);
    let count = in_w.saturating_sub(left).min(columns - first);
    let zero_point = shape.input_zero_point;
    for channel in (0..in_c).step_by(BLOCK) {
        for (dy, row) in buffers.patch.chunks_exact_mut(columns * BLOCK).enumerate() {
            let y = (y + dy).checked_sub(shape.pads[0]).filter(|&y| y < in_h && count > 0);
            let Some(y) = y else {
                row.fill(zero_point);
                continue;
            };
            let line = input.get((y * in_w + left) * in_c + channel..)?;
            let (before, rest) = row.split_at_mut_checked(first * BLOCK)?;
            let (inside, behind) = rest.split_at_mut_checked(count * BLOCK)?;
            before.fill(zero_point);
            behind.fill(zero_point);
            copy::pixels(line, in_c, inside).then_some(())?;
        }
        let at = channel * I::FORM.value_bytes * TILES / 4;
        let values = buffers.values.get_mut(at..)?;
        let position_bytes = I::FORM.position_bytes(shape);
        transform_patch::<I>(buffers.patch, values, position_bytes).then_some(())?;
    }
    Some(())
}
