//! The driver of direct convolution in 8 bits, which [`direct8`](crate::kernels::aarch64::direct8) plans: safe code, for
//! any instruction set that computes a block.

use core::ops::Range;

use super::requantize_block::Constants;
use crate::error::Fault;
use crate::format::{Channels, WeightLayout, align_up};
use crate::kernels::aarch64::direct8::{
    BLOCK, STEP, in_place, last_rows_bytes, padded_len, pair_bytes, patch_bytes,
};
use crate::kernels::divide::{buffer, parts};
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
    /// The windows, each of `padded` elements, in whole groups; of the last group some may hold anything.
    pub patches: &'v [i8],
    pub padded: usize,
    /// In the order of the instruction set: [`BLOCK`] times `padded` elements.
    pub weights: &'v [i8],
    pub range: Range8,
    /// The block's, and how many there are of a last block that is not whole.
    pub channels: Channels<'v>,
    pub count: usize,
    pub requantization: &'v Requantization,
    pub residual: Residual<'v>,
    /// Where the first output lies, in the output and in a separate residual.
    pub first: usize,
    /// From one pixel's output to the next.
    pub out_c: usize,
}

impl Block<'_> {
    /// The groups of windows, of `group` each, in tiles of at most `most`.
    #[cfg_attr(not(native_dotprod), expect(dead_code, reason = "NEON has tiles of its own"))]
    pub fn tiles(&self, most: usize, group: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        parts(self.patches.len() / (self.padded * group).max(1), most)
    }

    /// The windows from a pixel on, and where its first output lies.
    #[inline(always)]
    pub fn tile(&self, pixel: usize) -> Option<(&[i8], usize)> {
        Some((self.patches.get(pixel * self.padded..)?, self.first + pixel * self.out_c))
    }
}

/// Rows of two windows that are woven into each other.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(native_i8mm), expect(dead_code, reason = "only that instruction set weaves"))]
pub(super) struct Rows<'v> {
    /// Begins with the first row of the first window.
    pub from: &'v [i8],
    pub count: usize,
    /// Elements of a row: whole [`STEP`]s.
    pub len: usize,
    /// From one row to the next.
    pub below: usize,
    /// From one window to the other.
    pub beside: usize,
}

/// What an instruction set does of it. `None`: a slice is too short.
pub(super) trait Direct8Isa: Copy {
    /// Windows of a group: one, or a pair that is woven together.
    const GROUP: usize = 1;

    /// Weaves a pair, for an instruction set that has pairs.
    fn weave(self, _rows: Rows<'_>, _to: &mut [i8]) -> Option<()> {
        None
    }

    /// Brings a block of weights, [`BLOCK`] rows of `len`, into order.
    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8>;

    /// Computes a block.
    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()>;
}

/// Runs the convolution.
pub(super) fn conv(isa: impl Direct8Isa, args: ConvArgs<'_>) -> Result<(), Fault> {
    run(isa, args).ok_or(Fault::Plan)
}

fn run<I: Direct8Isa>(isa: I, mut args: ConvArgs<'_>) -> Option<()> {
    let (len, padded) = (args.shape.patch_len(), padded_len(args.shape));
    let bytes = padded.saturating_mul(BLOCK);
    let weights = args.weights;
    let room = Room {
        patches: buffer(&mut args.scratch, align_up(patch_bytes(args.shape, I::GROUP)))?,
        pair: buffer(&mut args.scratch, pair_bytes(args.shape, I::GROUP))?,
    };
    if weights.form.layout != WeightLayout::Ohwi {
        let weights = weights.int8();
        let block = |block: usize| weights.get(block * bytes..(block + 1) * bytes);
        return with_blocks(isa, args, room, |_, index, tiles| {
            tiles(block(index)?, Range8::Symmetric)
        });
    }
    let packed = buffer(&mut args.scratch, bytes)?;
    let last: &mut [i8] = buffer(&mut args.scratch, last_rows_bytes(args.shape))?;
    let (ohwi, len) = (weights.as_ohwi(), len * BLOCK);
    with_blocks(isa, args, room, |isa, index, tiles| {
        let mut rows = ohwi.get(index * len..)?;
        if rows.len() < len && !last.is_empty() {
            last.fill(0);
            last.iter_mut().zip(rows).for_each(|(to, &from)| *to = from);
            rows = last;
        }
        let range = isa.pack(rows.get(..len)?, len / BLOCK, padded, packed)?;
        tiles(packed, range)
    })
}

/// Scratch for windows.
struct Room<'s> {
    /// As the instruction set reads them.
    patches: &'s mut [i8],
    /// A pair that is yet to be woven.
    pair: &'s mut [i8],
}

impl Room<'_> {
    /// Fills in the windows of these output pixels.
    fn gather<I: Direct8Isa>(
        &mut self,
        isa: I,
        args: &ConvArgs<'_>,
        pixels: Range<usize>,
    ) -> Option<()> {
        let (shape, input) = (args.shape, args.input);
        let (padded, out_w) = (padded_len(shape).max(1), shape.output[1].max(1));
        let position = |pixel| (args.first_row + pixel / out_w, pixel % out_w);
        if I::GROUP == 1 {
            let (mut y, mut x) = position(pixels.start);
            let mut window = 0;
            while window < pixels.len() {
                let patches = self.patches.get_mut(window * padded..)?;
                let count = (out_w - x).min(pixels.len() - window);
                let done = gather(shape, input, (y, x), patches, [padded, count])?;
                (window, x) = (window + done, x + done);
                if x == out_w {
                    (y, x) = (y + 1, 0);
                }
            }
            return Some(());
        }
        let groups = self.patches.chunks_exact_mut(padded * I::GROUP);
        let whole_steps = (shape.kernel[1] * shape.input[2]).is_multiple_of(STEP);
        for (to, first) in groups.zip(pixels.clone().step_by(I::GROUP)) {
            let whole = whole_steps && first + 1 < pixels.end;
            if whole && weave_inside(isa, shape, input, position(first), to).is_some() {
                continue;
            }
            for (window, pixel) in self.pair.chunks_exact_mut(padded).zip(first..pixels.end) {
                gather(shape, input, position(pixel), window, [padded, 1])?;
            }
            let from = &*self.pair;
            isa.weave(Rows { from, count: 1, len: padded, below: 0, beside: padded }, to)?;
        }
        Some(())
    }
}

/// Weaves the windows of an output pixel and its neighbour from rows of the input, which are whole steps;
/// none if there is padding in them, or no neighbour.
fn weave_inside(
    isa: impl Direct8Isa,
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    to: &mut [i8],
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    if ox + 1 >= shape.output[1] || shape.dilations != [1, 1] {
        return None;
    }
    let y = (oy * shape.strides[0]).checked_sub(shape.pads[0])?;
    let x = (ox * shape.strides[1]).checked_sub(shape.pads[1])?;
    if y + kernel_h > in_h || x + shape.strides[1] + kernel_w > in_w {
        return None;
    }
    let rows = Rows {
        from: input.get((y * in_w + x) * in_c..)?,
        count: kernel_h,
        len: kernel_w * in_c,
        below: in_w * in_c,
        beside: shape.strides[1] * in_c,
    };
    isa.weave(rows, to)
}

/// Computes the output some windows at a time, and these a block of output channels at a time;
/// `with_block` calls what it is given with a block's weights in order.
fn with_blocks<I: Direct8Isa>(
    isa: I,
    args: ConvArgs<'_>,
    mut room: Room<'_>,
    mut with_block: impl FnMut(I, usize, &mut dyn FnMut(&[i8], Range8) -> Option<()>) -> Option<()>,
) -> Option<()> {
    let ConvShape { input: [.., in_c], output: [_, out_w, out_c], .. } = *args.shape;
    let padded = padded_len(args.shape);
    let pixels = args.output.len() / out_c.max(1);
    let group = padded * I::GROUP;
    let in_place = in_place(args.shape, I::GROUP);
    let most = if in_place { pixels } else { room.patches.len() / group.max(1) };
    for groups in parts(pixels.div_ceil(I::GROUP), most) {
        let first = groups.start * I::GROUP;
        let patches = if in_place {
            args.input.get((args.first_row * out_w + first) * in_c..)?
        } else {
            room.gather(isa, &args, first..pixels.min(groups.end * I::GROUP))?;
            &*room.patches
        };
        for block in 0..out_c.div_ceil(BLOCK) {
            let constants = Constants::new(args.channels, block * BLOCK)?;
            with_block(isa, block, &mut |weights, range| {
                let block = Block {
                    patches: patches.get(..groups.len() * group)?,
                    padded,
                    weights,
                    range,
                    channels: constants.channels(),
                    count: (out_c - block * BLOCK).min(BLOCK),
                    requantization: args.requantization,
                    residual: args.residual,
                    first: first * out_c + block * BLOCK,
                    out_c,
                };
                isa.block(block, args.output)
            })?;
        }
    }
    Some(())
}

/// Copies the windows behind an output pixel and at most `count` of its row in OHWI order and fills them
/// up to `padded` elements with zeros; padding is the zero point. How many it has copied, one at least; `None` if a
/// slice is too short.
#[inline(always)]
fn gather(
    shape: &ConvShape,
    input: &[i8],
    position: (usize, usize),
    patches: &mut [i8],
    [padded, count]: [usize; 2],
) -> Option<usize> {
    let sizes = [padded, count];
    let short = match shape.kernel[1] * shape.input[2] {
        ..=16 => gather_short_rows::<16>(shape, input, position, patches, sizes),
        17..=32 => gather_short_rows::<32>(shape, input, position, patches, sizes),
        _ => None,
    };
    if short.is_some() {
        return short;
    }
    gather_any(shape, input, position, patches.get_mut(..padded)?)?;
    Some(1)
}

/// See [`gather`].
#[inline(never)]
fn gather_any(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    patch: &mut [i8],
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let left = ox * shape.strides[1];
    let run = kernel_w * in_c;
    // All columns inside and next to each other.
    let whole =
        shape.dilations[1] == 1 && left >= shape.pads[1] && left + kernel_w <= in_w + shape.pads[1];
    for ky in 0..kernel_h {
        let row = patch.get_mut(ky * run..)?;
        let y = (oy * shape.strides[0] + ky * shape.dilations[0]).checked_sub(shape.pads[0]);
        let Some(y) = y.filter(|&y| y < in_h) else {
            row.get_mut(..run)?.fill(shape.input_zero_point);
            continue;
        };
        if whole {
            let from = (y * in_w + left - shape.pads[1]) * in_c;
            copy(row, input.get(from..)?, run)?;
            continue;
        }
        for kx in 0..kernel_w {
            let cell = row.get_mut(kx * in_c..)?;
            let x = (left + kx * shape.dilations[1]).checked_sub(shape.pads[1]);
            match x.filter(|&x| x < in_w) {
                Some(x) => copy(cell, input.get((y * in_w + x) * in_c..)?, in_c)?,
                None => cell.get_mut(..in_c)?.fill(shape.input_zero_point),
            }
        }
    }
    let rest = patch.get_mut(kernel_h * run..)?;
    if !rest.is_empty() {
        rest.fill(0);
    }
    Some(())
}

/// Copies the windows of at most `count` pixels of a row, whose rows are short and without padding, a vector or two a
/// row: what comes behind a row is written later. How many it has copied: none if there is padding in the first, and
/// fewer near the end of the input or of the patches.
#[inline(always)]
fn gather_short_rows<const MOST: usize>(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    patches: &mut [i8],
    [padded, count]: [usize; 2],
) -> Option<usize> {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let (run, pitch, beside) = (kernel_w * in_c, in_w * in_c, shape.strides[1] * in_c);
    let y = (oy * shape.strides[0]).checked_sub(shape.pads[0])?;
    let x = (ox * shape.strides[1]).checked_sub(shape.pads[1])?;
    let from = input.get(y * pitch + x * in_c..)?;
    let last = kernel_h - 1;
    // Pixels whose windows end inside the map, and which vectors end inside the input and the patches.
    let inside = in_w.checked_sub(x + kernel_w)? / shape.strides[1];
    let read = from.len().checked_sub(last * pitch + MOST)? / beside;
    let behind = (last * run + MOST).max(kernel_h * run + STEP);
    let written = patches.len().checked_sub(behind)? / padded;
    let count = (inside.min(read).min(written) + 1).min(count);
    if y + kernel_h > in_h || shape.dilations != [1, 1] || run > MOST {
        return None;
    }
    let (mut from, mut to) = (from.as_ptr(), patches.as_mut_ptr());
    for _ in 0..count {
        for row in 0..kernel_h {
            // SAFETY: the vectors of all rows of `count` windows end inside the input and the patches.
            unsafe {
                let values = from.add(row * pitch).cast::<[i8; MOST]>().read_unaligned();
                to.add(row * run).cast::<[i8; MOST]>().write_unaligned(values);
            }
        }
        // SAFETY: so does a step behind the last row.
        unsafe { to.add(kernel_h * run).cast::<[i8; STEP]>().write_unaligned([0; STEP]) };
        from = from.wrapping_add(beside);
        to = to.wrapping_add(padded);
    }
    Some(count)
}

/// Copies `len` elements. Where both sides go on, short runs are copied in whole vectors: what comes
/// behind them is written later. `None` if there are fewer.
#[inline(always)]
fn copy(to: &mut [i8], from: &[i8], len: usize) -> Option<()> {
    match len {
        ..=16 if vectors::<16>(to, from).is_some() => {}
        17..=32 if vectors::<32>(to, from).is_some() => {}
        33..=64 if vectors::<64>(to, from).is_some() => {}
        _ => {
            let (to, from) = (to.get_mut(..len)?, from.get(..len)?);
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
    Some(())
}

/// Copies `N` elements, if there are as many.
#[inline(always)]
fn vectors<const N: usize>(to: &mut [i8], from: &[i8]) -> Option<()> {
    *to.first_chunk_mut::<N>()? = *from.first_chunk()?;
    Some(())
}
