//! The driver of grouped convolutions, which [`grouped`](crate::kernels::aarch64::grouped) plans: safe code that gives
//! blocks of sixteen output channels to the kernels of direct convolution.

use core::arch::aarch64::{vld1q_s8, vst1q_s8};
use core::ops::Range;

use super::Neon;
use super::copy::copy;
use super::direct8::{Block, Direct8Isa, Rows};
use super::requantize_block::Constants;
use crate::error::Fault;
use crate::kernels::aarch64::direct8::BLOCK;
use crate::kernels::aarch64::grouped::Plan;
use crate::kernels::divide::buffer;
use crate::kernels::grouped::{inside, span};
use crate::kernels::{ConvArgs, ConvShape};

/// Elements of a vector.
const VECTOR: usize = 16;

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_grouped_neon(token: Neon, args: ConvArgs<'_>) -> Result<(), Fault> {
    conv(token, token, args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`].
#[cfg(native_dotprod)]
pub fn conv_grouped_dotprod(token: super::Dotprod, args: ConvArgs<'_>) -> Result<(), Fault> {
    conv(token, token.neon(), args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`].
#[cfg(native_i8mm)]
pub fn conv_grouped_i8mm(token: super::I8mm, args: ConvArgs<'_>) -> Result<(), Fault> {
    conv(token, token.neon(), args).ok_or(Fault::Plan)
}

/// `None` if a slice is too short.
fn conv<I: Direct8Isa>(isa: I, neon: Neon, mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let plan = Plan::new(shape);
    let [patches, pair, rows, packed] = plan.bytes();
    let patches: &mut [i8] = buffer(&mut args.scratch, patches)?;
    let pair: &mut [i8] = buffer(&mut args.scratch, pair)?;
    let rows: &mut [i8] = buffer(&mut args.scratch, rows)?;
    let packed: &mut [i8] = buffer(&mut args.scratch, packed)?;
    let [_, out_w, out_c] = shape.output;
    let padded = plan.padded;
    let (inputs, outputs) = (shape.group_channels(), out_c.checked_div(shape.groups)?);
    let pixels = args.output.len().checked_div(out_c)?;
    let most = plan.patches / I::GROUP * I::GROUP;
    for block in (0..out_c).step_by(BLOCK) {
        let count = (out_c - block).min(BLOCK);
        let first = block.checked_div(outputs)? * inputs;
        let end = (block + count).div_ceil(outputs) * inputs;
        let channels = first..end;
        if channels.len() > plan.channels {
            return None;
        }
        let rows = rows.get_mut(..BLOCK * padded)?;
        expand(shape, args.weights.as_ohwi(), block..block + count, &channels, padded, rows)?;
        let range = isa.pack(rows, padded, padded, packed)?;
        let constants = Constants::new(args.channels, block)?;
        for from in (0..pixels).step_by(most.max(1)) {
            let windows = most.min(pixels - from);
            for window in (0..windows).step_by(I::GROUP) {
                let to = patches.get_mut(window * padded..)?.get_mut(..I::GROUP * padded)?;
                // The last of a group may be one that there is not: it repeats the last that there is.
                let position = |window: usize| {
                    let pixel = (from + window).min(pixels - 1);
                    (args.first_row + pixel / out_w, pixel % out_w)
                };
                if I::GROUP == 1 {
                    gather(neon, shape, args.input, position(window), &channels, to)?;
                    continue;
                }
                for (index, half) in pair.chunks_exact_mut(padded).take(I::GROUP).enumerate() {
                    gather(neon, shape, args.input, position(window + index), &channels, half)?;
                }
                let from = &*pair;
                isa.weave(Rows { from, count: 1, len: padded, below: 0, beside: padded }, to)?;
            }
            let block = Block {
                patches: patches.get(..windows.next_multiple_of(I::GROUP) * padded)?,
                padded,
                weights: packed,
                range,
                channels: constants.channels(),
                count,
                requantization: args.requantization,
                residual: args.residual,
                first: from * out_c + block,
                out_c,
            };
            isa.block(block, args.output)?;
        }
    }
    Some(())
}

/// Writes the weights of some output channels as rows over some input channels, filled up with zeros. `None` if a
/// slice is too short.
#[inline(never)]
fn expand(
    shape: &ConvShape,
    ohwi: &[i8],
    outputs: Range<usize>,
    channels: &Range<usize>,
    padded: usize,
    rows: &mut [i8],
) -> Option<()> {
    let inputs = shape.group_channels();
    let group_out = shape.output[2].checked_div(shape.groups)?;
    rows.fill(0);
    for (row, oc) in rows.chunks_exact_mut(padded.max(1)).zip(outputs) {
        let within = oc.checked_div(group_out)? * inputs - channels.start;
        let from = ohwi.get(oc * shape.patch_len()..)?.get(..shape.patch_len())?;
        let taps = row.chunks_exact_mut(channels.len().max(1));
        for (to, from) in taps.zip(from.chunks_exact(inputs.max(1))) {
            let to = to.get_mut(within..within + inputs)?;
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
    Some(())
}

/// Copies some channels of the window behind an output pixel and fills it up with zeros; padding is the zero point.
/// `None` if a slice is too short.
#[inline(never)]
fn gather(
    neon: Neon,
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    channels: &Range<usize>,
    patch: &mut [i8],
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let (cells, behind) = patch.split_at_mut_checked(kernel_h * kernel_w * channels.len())?;
    if !behind.is_empty() {
        behind.fill(0);
    }
    let y = (oy * shape.strides[0]).checked_sub(shape.pads[0]);
    let x = (ox * shape.strides[1]).checked_sub(shape.pads[1]);
    let is_inside =
        |(y, x): &(usize, usize)| y + span(shape, 0) <= in_h && x + span(shape, 1) <= in_w;
    if let Some((y, x)) = y.zip(x).filter(is_inside)
        && channels.len().is_multiple_of(VECTOR)
    {
        let window = Window {
            from: input.get((y * in_w + x) * in_c + channels.start..)?,
            counts: shape.kernel,
            pitches: [shape.dilations[0] * in_w * in_c, shape.dilations[1] * in_c],
            len: channels.len(),
        };
        // SAFETY: the token proves that the CPU has NEON.
        return unsafe { copy_vectors(window, cells) };
    }
    let rows = cells.chunks_exact_mut((kernel_w * channels.len()).max(1));
    for (ky, row) in rows.enumerate() {
        let y = inside(shape, 0, oy * shape.strides[0] + ky * shape.dilations[0]);
        for (kx, cell) in row.chunks_exact_mut(channels.len().max(1)).enumerate() {
            let x = inside(shape, 1, ox * shape.strides[1] + kx * shape.dilations[1]);
            match y.zip(x) {
                Some((y, x)) => {
                    let from = input.get((y * in_w + x) * in_c..)?.get(channels.clone())?;
                    copy(neon, cell, from);
                }
                None => cell.fill(shape.input_zero_point),
            }
        }
    }
    Some(())
}

/// Cells of `len` elements, whole vectors: so many rows and columns, so far apart.
struct Window<'v> {
    from: &'v [i8],
    counts: [usize; 2],
    pitches: [usize; 2],
    len: usize,
}

/// Copies a window's cells one behind the other. `None` if a slice is too short.
#[target_feature(enable = "neon")]
#[inline]
fn copy_vectors(window: Window<'_>, to: &mut [i8]) -> Option<()> {
    let Window { from, counts: [rows, columns], pitches: [below, beside], len } = window;
    let last = rows.checked_sub(1)? * below + columns.checked_sub(1)? * beside;
    if from.len() < last + len || to.len() < rows * columns * len || !len.is_multiple_of(VECTOR) {
        return None;
    }
    let (mut row, mut to) = (from.as_ptr(), to.as_mut_ptr());
    for _ in 0..rows {
        let mut cell = row;
        for _ in 0..columns {
            for at in (0..len).step_by(VECTOR) {
                // SAFETY: `at + VECTOR <= len`, which is readable in the last cell, and writable for each of them.
                unsafe { vst1q_s8(to.add(at), vld1q_s8(cell.add(at))) };
            }
            cell = cell.wrapping_add(beside);
            to = to.wrapping_add(len);
        }
        row = row.wrapping_add(below);
    }
    Some(())
}
