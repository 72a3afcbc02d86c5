//! Grouped and depthwise convolution, as [`crate::kernels::x86_64::grouped`] divides it: exact, since products
//! are added to sums of 32 bits without saturation.
//!
//! For a block of output channels and some columns of an output row, the input becomes words, and words meet
//! the block's weights, four output pixels at a time.
//!
//! What may not be broken: everything that is written or read through pointers lies inside what
//! [`Task::new`] and [`Buffers::new`] have checked.

mod affine;
mod depthwise;
mod fill;
mod table;
mod tile;
mod wide;
mod words;

use core::ops::Range;

pub use self::affine::{conv_affine_avx2, conv_affine_avx512};
pub use self::depthwise::conv_depthwise_vnni;
use self::tile::{Pick, Tile};
use self::words::{Quads, Words};
use super::tiled::vector::Vectors;
use super::vnni::Dots256;
use super::{Avx2, Avx512Vnni, AvxVnni};
use crate::error::Fault;
use crate::kernels::divide::{buffer, parts};
use crate::kernels::x86_64::grouped::{self, ALIGNED, BLOCK, Plan, WORD};
use crate::kernels::{ConvArgs, ConvShape, Residual};

/// See [`crate::kernels::portable::reference::conv`]; depthwise convolutions from OHWI weights.
pub fn conv_depthwise_avx2(_token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv::<Avx2>(Plan::depthwise(Avx2::VALUES, BLOCK, args.shape), args) }
}

/// See [`conv_depthwise_avx2`]; any other that has groups.
pub fn conv_grouped_avx2(_token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv::<Avx2>(Plan::grouped(Avx2::VALUES, args.shape), args) }
}

/// See [`conv_depthwise_avx2`].
pub fn conv_depthwise_avx_vnni(token: AvxVnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    avx_vnni(token, Plan::depthwise(grouped::VNNI, BLOCK, args.shape), args)
}

/// See [`conv_grouped_avx2`].
pub fn conv_grouped_avx_vnni(token: AvxVnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    avx_vnni(token, Plan::grouped(grouped::VNNI, args.shape), args)
}

/// See [`conv_grouped_avx2`].
pub fn conv_grouped_vnni(_token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { conv::<Quads<Avx512Vnni>>(Plan::grouped(grouped::VNNI, args.shape), args) }
}

fn avx_vnni(token: AvxVnni, plan: Plan, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2 and one of the encodings.
    unsafe {
        if token.is_vex() {
            conv::<Quads<Dots256<true>>>(plan, args)
        } else {
            conv::<Quads<Dots256<false>>>(plan, args)
        }
    }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn conv<W: Words>(plan: Plan, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the caller vouches for the instructions.
    let done = unsafe {
        W::Vectors::run(
            #[inline(always)]
            || run::<W>(plan, args),
        )
    };
    done.ok_or(Fault::Plan)
}

/// The buffers in the scratch.
struct Buffers<'s> {
    /// `[row][column][word]`.
    words: &'s mut [i32],
    /// A table for each block that is kept.
    tables: &'s mut [i32],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], plan: &Plan) -> Option<Self> {
        let skipped = scratch.as_ptr().align_offset(ALIGNED);
        let scratch = &mut scratch.get_mut(skipped..)?;
        let words = buffer(scratch, plan.words_len().checked_mul(WORD)?)?;
        let tables = plan.table_len().checked_mul(plan.kept)?.checked_mul(WORD)?;
        Some(Self { words, tables: buffer(scratch, tables)? })
    }
}

/// A convolution whose parts fit together.
struct Task<'a> {
    shape: &'a ConvShape,
    plan: Plan,
    input: &'a [i8],
    weights: &'a [i8],
    /// Output rows of the band.
    rows: Range<usize>,
    output: *mut i8,
    /// Null without a residual.
    residual: *const i8,
}

/// Some output rows and columns of a block.
#[derive(Debug, Clone)]
struct Part {
    /// The block's first output channel.
    first: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn run<W: Words>(plan: Plan, mut args: ConvArgs<'_>) -> Option<()> {
    let buffers = Buffers::new(core::mem::take(&mut args.scratch), &plan)?;
    let (channels, rq) = (args.channels, args.requantization);
    let task = Task::new(plan, &mut args)?;
    let [_, out_w, out_c] = task.shape.output;
    let blocks = || (0..out_c).step_by(BLOCK);
    let is_kept = plan.kept >= out_c.div_ceil(BLOCK);
    if is_kept {
        for (first, table) in blocks().zip(buffers.tables.chunks_exact_mut(plan.table_len())) {
            table::fill::<W>(&task, first, table)?;
        }
    }
    for rows in task.rows.clone().step_by(plan.together) {
        let rows = rows..task.rows.end.min(rows + plan.together);
        for (block, first) in blocks().enumerate() {
            let at = if is_kept { block * plan.table_len() } else { 0 };
            let table = buffers.tables.get_mut(at..)?.get_mut(..plan.table_len())?;
            if !is_kept {
                table::fill::<W>(&task, first, table)?;
            }
            // SAFETY: the caller vouches for the instructions.
            let epilogue = unsafe { table::epilogue::<W>(table, channels, first, rq)? };
            let pick = Pick::new::<W>(&task, first);
            for columns in parts(out_w, plan.outputs) {
                let part = Part { first, rows: rows.clone(), columns };
                // SAFETY: the caller vouches for the instructions.
                unsafe { task.part::<W>(&part, buffers.words, table, &pick, &epilogue)? };
            }
        }
    }
    Some(())
}

impl<'a> Task<'a> {
    /// Checks that all slices have the lengths that the shape asks for.
    fn new(plan: Plan, args: &'a mut ConvArgs<'_>) -> Option<Self> {
        let shape = args.shape;
        let [in_h, in_w, in_c] = shape.input;
        let [out_h, out_w, out_c] = shape.output;
        let row = out_w.checked_mul(out_c).filter(|&row| row > 0)?;
        let rows = args.output.len() / row;
        let input = args.input.get(..in_h.checked_mul(in_w)?.checked_mul(in_c)?)?;
        let weights = args.weights.as_ohwi().get(..out_c.checked_mul(shape.patch_len())?)?;
        let output = args.output.as_mut_ptr();
        let residual = match args.residual {
            Residual::None => core::ptr::null(),
            Residual::InPlace => output.cast_const(),
            Residual::Separate(values) => values.get(..rows * row)?.as_ptr(),
        };
        let computes =
            if plan.depthwise { grouped::computes_depthwise } else { grouped::computes_grouped };
        let counted = rows <= out_h && args.first_row <= out_h - rows;
        let rows = args.first_row..args.first_row + rows;
        let fits = counted && computes(shape) && !shape.strides.contains(&0);
        fits.then_some(Self { shape, plan, input, weights, rows, output, residual })
    }

    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    unsafe fn part<W: Words>(
        &self,
        part: &Part,
        words: &mut [i32],
        table: &[i32],
        pick: &Pick,
        epilogue: &table::Epilogue<W>,
    ) -> Option<()> {
        let Plan { column, columns, taps, .. } = self.plan;
        let ConvShape { output: [_, out_w, out_c], strides, dilations, kernel, .. } = *self.shape;
        if words.len() < self.plan.words_len() || table.len() < self.plan.table_len() {
            return None;
        }
        let mut filled = 0;
        for oy in part.rows.clone() {
            // SAFETY: the caller vouches for the instructions; there are as many words as the plan says.
            let slot = unsafe { self.fill::<W>(part, oy, &mut filled, words.as_mut_ptr()) };
            let tile = Tile {
                words: words.as_ptr(),
                slot,
                slots: self.plan.rows,
                row: columns * column,
                taps: kernel[1],
                rows: taps / kernel[1].max(1),
                dilation: dilations[1] * column,
                stride: strides[1] * column,
                count: self.plan.words,
                step: if self.plan.depthwise { BLOCK } else { 1 },
                weights: table.get(BLOCK..)?.as_ptr(),
                pixel: out_c,
                channels: BLOCK.min(out_c - part.first),
            };
            let row = (oy - self.rows.start) * out_w;
            for pixels in parts(part.columns.len(), tile::MOST) {
                let at = (row + part.columns.start + pixels.start) * out_c + part.first;
                // SAFETY: the pixels are the band's, and so are those of a residual.
                unsafe {
                    let output = self.output.add(at);
                    let at = if self.residual.is_null() { 0 } else { at };
                    let residual = self.residual.wrapping_add(at);
                    let tile = Tile { words: tile.words.add(pixels.start * tile.stride), ..tile };
                    tile::group::<W>(pixels.len(), &tile, pick, epilogue, output, residual);
                }
            }
        }
        Some(())
    }
}
