//! The driver of direct convolution in 8 bits, which [`direct8`](crate::kernels::aarch64::direct8) plans: safe code, for
//! any instruction set that computes a block.

use zerocopy::FromBytes;

use crate::error::Fault;
use crate::format::{Channels, WeightLayout, align_up};
use crate::kernels::aarch64::direct8::{BLOCK, padded_len, patch_bytes};
use crate::kernels::{ConvArgs, ConvShape, Residual};
use crate::numerics::Requantization;

/// What a block's weights are known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range8 {
    /// Any int8.
    Whole,
    /// Not -128.
    Symmetric,
}

/// Some output pixels, next to each other in memory, and a block of their channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'v> {
    /// The windows, each of `padded` elements.
    pub patches: &'v [i8],
    pub padded: usize,
    /// In the order of the instruction set: [`BLOCK`] times `padded` elements.
    pub weights: &'v [i8],
    pub range: Range8,
    /// The block's.
    pub channels: Channels<'v>,
    pub requantization: &'v Requantization,
    pub residual: Residual<'v>,
    /// Where the first output lies, in the output and in a separate residual.
    pub first: usize,
    /// From one pixel's output to the next.
    pub out_c: usize,
}

impl<'v> Block<'v> {
    /// The pixels in tiles of at most `most`, of one size, give or take one: windows, and where the first
    /// output lies.
    pub fn tiles(self, most: usize) -> impl Iterator<Item = (&'v [i8], usize)> {
        let tiles = even_parts(self.patches.len() / self.padded.max(1), most);
        tiles.map(move |tile| {
            let patches = self.patches.get(tile.start * self.padded..tile.end * self.padded);
            (patches.unwrap_or_default(), self.first + tile.start * self.out_c)
        })
    }
}

/// What an instruction set does of it. `None`: a slice is too short.
pub(super) trait Direct8Isa: Copy {
    /// Brings a block of weights, [`BLOCK`] rows of `len`, into order.
    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8>;

    /// Computes a block.
    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()>;
}

/// Runs the convolution.
pub(super) fn conv(isa: impl Direct8Isa, args: ConvArgs<'_>) -> Result<(), Fault> {
    run(isa, args).ok_or(Fault::Plan)
}

fn run(isa: impl Direct8Isa, mut args: ConvArgs<'_>) -> Option<()> {
    let (len, padded) = (args.shape.patch_len(), padded_len(args.shape));
    let bytes = padded.saturating_mul(BLOCK);
    let weights = args.weights;
    let scratch = core::mem::take(&mut args.scratch);
    let patch_bytes = patch_bytes(args.shape);
    let (patches, packed) = scratch.split_at_mut_checked(align_up(patch_bytes))?;
    let patches = <[i8]>::mut_from_bytes(patches).ok()?;
    if weights.form.layout != WeightLayout::Ohwi {
        let weights = weights.int8();
        let block = |block: usize| weights.get(block * bytes..(block + 1) * bytes);
        return with_blocks(isa, args, patches, |_, index, tiles| {
            tiles(block(index)?, Range8::Symmetric)
        });
    }
    let packed = <[i8]>::mut_from_bytes(packed.get_mut(..bytes)?).ok()?;
    let (rows, len) = (weights.as_ohwi(), len * BLOCK);
    with_blocks(isa, args, patches, |isa, index, tiles| {
        let rows = rows.get(index * len..(index + 1) * len)?;
        let range = isa.pack(rows, len / BLOCK, padded, packed)?;
        tiles(packed, range)
    })
}

/// Computes the output some windows at a time, and these a block of output channels at a time;
/// `with_block` calls what it is given with a block's weights in order.
fn with_blocks<I: Direct8Isa>(
    isa: I,
    args: ConvArgs<'_>,
    patches: &mut [i8],
    mut with_block: impl FnMut(I, usize, &mut dyn FnMut(&[i8], Range8) -> Option<()>) -> Option<()>,
) -> Option<()> {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let padded = padded_len(shape);
    let pixels = args.output.len() / out_c.max(1);
    let parts = even_parts(pixels, patches.len() / padded.max(1));
    for part in parts {
        for (patch, pixel) in patches.chunks_exact_mut(padded.max(1)).zip(part.clone()) {
            let position = (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
            gather(shape, args.input, position, patch);
        }
        for block in 0..out_c / BLOCK {
            let channels = args.channels.part(block * BLOCK..(block + 1) * BLOCK);
            with_block(isa, block, &mut |weights, range| {
                let block = Block {
                    patches: patches.get(..part.len() * padded)?,
                    padded,
                    weights,
                    range,
                    channels,
                    requantization: args.requantization,
                    residual: args.residual,
                    first: part.start * out_c + block * BLOCK,
                    out_c,
                };
                isa.block(block, args.output)
            })?;
        }
    }
    Some(())
}

/// `0..count` in parts of at most `most`, of one size, give or take one.
fn even_parts(count: usize, most: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    let parts = count.div_ceil(most.max(1));
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

/// Copies the window behind output pixel (`oy`, `ox`) in OHWI order and fills it up with zeros; padding
/// is the zero point.
fn gather(shape: &ConvShape, input: &[i8], (oy, ox): (usize, usize), patch: &mut [i8]) {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let left = ox * shape.strides[1];
    let run = kernel_w * in_c;
    if gather_short_rows(shape, input, (oy, ox), patch).is_some() {
        return;
    }
    // All columns inside and next to each other.
    let whole =
        shape.dilations[1] == 1 && left >= shape.pads[1] && left + kernel_w <= in_w + shape.pads[1];
    for ky in 0..kernel_h {
        let Some(row) = patch.get_mut(ky * run..) else { return };
        let y = (oy * shape.strides[0] + ky * shape.dilations[0]).checked_sub(shape.pads[0]);
        let Some(y) = y.filter(|&y| y < in_h) else {
            row.get_mut(..run).unwrap_or_default().fill(shape.input_zero_point);
            continue;
        };
        if whole {
            let from = (y * in_w + left - shape.pads[1]) * in_c;
            copy(row, input.get(from..).unwrap_or_default(), run);
            continue;
        }
        for kx in 0..kernel_w {
            let Some(cell) = row.get_mut(kx * in_c..) else { return };
            let x = (left + kx * shape.dilations[1]).checked_sub(shape.pads[1]);
            match x.filter(|&x| x < in_w).and_then(|x| input.get((y * in_w + x) * in_c..)) {
                Some(from) => copy(cell, from, in_c),
                None => cell.get_mut(..in_c).unwrap_or_default().fill(shape.input_zero_point),
            }
        }
    }
    patch.get_mut(kernel_h * run..).unwrap_or_default().fill(0);
}

/// Copies a window of short rows without padding, a vector or two a row; what comes behind a row is
/// written later. None if it is no such window, or too near the end of the input.
fn gather_short_rows(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    patch: &mut [i8],
) -> Option<()> {
    const MOST: usize = 32;
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let y = (oy * shape.strides[0]).checked_sub(shape.pads[0])?;
    let x = (ox * shape.strides[1]).checked_sub(shape.pads[1])?;
    let run = kernel_w * in_c;
    let inside = y + kernel_h <= in_h && x + kernel_w <= in_w && shape.dilations == [1, 1];
    let from = input.get((y * in_w + x) * in_c..)?;
    let ends = [(kernel_h - 1) * run + MOST, (kernel_h - 1) * in_w * in_c + MOST];
    if !inside || run > MOST || patch.len() < ends[0] || from.len() < ends[1] {
        return None;
    }
    for ky in 0..kernel_h {
        let to = patch.get_mut(ky * run..)?.first_chunk_mut::<MOST>()?;
        *to = *from.get(ky * in_w * in_c..)?.first_chunk()?;
    }
    patch.get_mut(kernel_h * run..)?.fill(0);
    Some(())
}

/// Copies `len` elements. Where both sides go on, short runs are copied in whole vectors: what comes
/// behind them is written later.
#[inline(always)]
fn copy(to: &mut [i8], from: &[i8], len: usize) {
    match len {
        ..=16 if vectors::<16>(to, from) => {}
        17..=32 if vectors::<32>(to, from) => {}
        33..=64 if vectors::<64>(to, from) => {}
        _ => to.iter_mut().zip(from).take(len).for_each(|(to, &from)| *to = from),
    }
}

/// Copies `N` elements, if there are as many.
#[inline(always)]
fn vectors<const N: usize>(to: &mut [i8], from: &[i8]) -> bool {
    let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) else {
        return false;
    };
    *to = *from;
    true
}
