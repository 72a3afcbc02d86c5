//! Depthwise convolution by `vpdpbusd`, up to 64 channels at a time.
//!
//! The rows of a window are interleaved within each sixteen channels, which leaves sums in an order of their own:
//! vector `j` of four has channels `16 l + 4 j` to `16 l + 4 j + 3` in its part `l` of 128 bits. Constants and
//! weights lie in the same order ([`lane`]), and narrowing four vectors to bytes puts them back.

use core::ops::Range;

use super::fill::Columns;
use super::wide::{Constants, VECTORS, Wide};
use super::{Buffers, Task};
use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::divide::parts;
use crate::kernels::grouped::inside;
use crate::kernels::x86_64::grouped::{BLOCK, Plan, VNNI, WIDE};
use crate::kernels::x86_64::native::Avx512Vnni;
use crate::kernels::x86_64::native::tiled::vector::Vectors;
use crate::kernels::{ConvArgs, ConvShape};
use crate::numerics::Requantization;

/// See [`crate::kernels::portable::reference::conv`]; depthwise convolutions from OHWI weights.
pub fn conv_depthwise_vnni(_token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { run(Plan::depthwise(VNNI, WIDE, args.shape), args) }.ok_or(Fault::Plan)
}

/// Where a channel of a block of `width` lies among its constants.
const fn lane(channel: usize, width: usize) -> usize {
    channel % BLOCK / 4 * (width / VECTORS) + channel / BLOCK * 4 + channel % 4
}

/// Channels of a block that are computed together with so many left.
const fn width(left: usize) -> usize {
    match left {
        0..=16 => BLOCK,
        17..=48 => 2 * BLOCK,
        _ => WIDE,
    }
}

/// Some output rows and columns of a block of channels.
#[derive(Debug, Clone)]
struct Part {
    channels: Range<usize>,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
unsafe fn run(plan: Plan, mut args: ConvArgs<'_>) -> Option<()> {
    let Buffers { words, tables } = Buffers::new(core::mem::take(&mut args.scratch), &plan)?;
    let (channels, rq) = (args.channels, args.requantization);
    let task = Task::new(plan, &mut args)?;
    let [_, out_w, count] = task.shape.output;
    let blocks = || {
        let next = move |&first: &usize| Some(first + width(count - first)).filter(|&n| n < count);
        core::iter::successors(Some(0), next).map(move |first| {
            let width = width(count - first);
            (first..count.min(first + width), width)
        })
    };
    // Tables of blocks lie one behind the other, so much for each channel.
    let each = plan.table_len() / BLOCK;
    for (block, width) in blocks() {
        fill_table(&task, channels, block.clone(), width, tables.get_mut(block.start * each..)?)?;
    }
    for rows in task.rows.clone().step_by(plan.together) {
        let rows = rows..task.rows.end.min(rows + plan.together);
        for (channels, width) in blocks() {
            let table = tables.get(channels.start * each..)?.get(..width * each)?;
            for columns in parts(out_w, plan.outputs) {
                let part = Part { channels: channels.clone(), rows: rows.clone(), columns };
                // SAFETY: the caller vouches for the instructions.
                unsafe {
                    match width {
                        BLOCK => {
                            task.wide::<core::arch::x86_64::__m128i>(&part, table, rq, words)?
                        }
                        WIDE => {
                            task.wide::<core::arch::x86_64::__m512i>(&part, table, rq, words)?
                        }
                        _ => task.wide::<core::arch::x86_64::__m256i>(&part, table, rq, words)?,
                    }
                }
            }
        }
    }
    Some(())
}

/// Writes the table of a block: what sums begin with, multipliers, and `[tap][word][channel]` weights; lanes
/// behind the last channel have weights of 0.
fn fill_table(
    task: &Task<'_>,
    constants: Channels<'_>,
    channels: Range<usize>,
    width: usize,
    table: &mut [i32],
) -> Option<()> {
    let [height, columns] = task.shape.kernel;
    let len = task.shape.patch_len();
    let table = table.get_mut(..width * task.plan.table_len() / BLOCK)?;
    if channels.len() < width {
        table.fill(0);
    }
    let (first, table) = table.split_at_mut_checked(width)?;
    let (multipliers, words) = table.split_at_mut_checked(width)?;
    let pairs = constants.part(channels.clone())?.iter();
    for (index, (channel, constants)) in channels.zip(pairs).enumerate() {
        let (row, lane) = (task.weights.get(channel * len..)?.get(..len)?, lane(index, width));
        let sum = row.iter().fold(0i32, |sum, &weight| sum.wrapping_add(weight.into()));
        *first.get_mut(lane)? = constants.bias.wrapping_sub(sum.wrapping_mul(128));
        *multipliers.get_mut(lane)? = constants.multiplier;
        let mut lanes = words.get_mut(lane..)?.iter_mut().step_by(width);
        if let (&[a, b, c, d, e, f, g, h, i], [3, 3]) = (row, task.shape.kernel) {
            for column in [[a, d, g, 0], [b, e, h, 0], [c, f, i, 0]] {
                *lanes.next()? = i32::from_le_bytes(column.map(i8::cast_unsigned));
            }
            continue;
        }
        for column in 0..columns {
            for top in (0..height).step_by(VNNI) {
                let mut bytes = [0; VNNI];
                for (byte, ky) in bytes.iter_mut().zip(top..height) {
                    *byte = row.get(ky * columns + column)?.cast_unsigned();
                }
                *lanes.next()? = i32::from_le_bytes(bytes);
            }
        }
    }
    Some(())
}

impl Task<'_> {
    /// # Safety
    /// The CPU has the instructions.
    #[inline(never)]
    unsafe fn wide<V: Wide>(
        &self,
        part: &Part,
        table: &[i32],
        rq: &Requantization,
        words: &mut [i32],
    ) -> Option<()> {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            Avx512Vnni::run(
                #[inline(always)]
                || self.wide_rows::<V>(part, table, rq, words),
            )
        }
    }

    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    unsafe fn wide_rows<V: Wide>(
        &self,
        part: &Part,
        table: &[i32],
        rq: &Requantization,
        words: &mut [i32],
    ) -> Option<()> {
        let Plan { words: count, taps, .. } = self.plan;
        let [_, out_w, out_c] = self.shape.output;
        let enough = words.len() >= self.plan.words_len()
            && table.len() >= V::CHANNELS * (taps * count + 2)
            && part.channels.len() <= V::CHANNELS;
        if !enough {
            return None;
        }
        // SAFETY: the caller vouches for the instructions; the table is as long as the plan says, and so are the
        // words. The pixels are the band's, and so are those of a residual.
        unsafe {
            let constants = Constants::<V>::new(table.as_ptr(), rq);
            let weights = table.as_ptr().add(2 * V::CHANNELS);
            for oy in part.rows.clone() {
                self.interleave_wide::<V>(part, oy, words.as_mut_ptr());
                let row = (oy - self.rows.start) * out_w + part.columns.start;
                let at = row * out_c + part.channels.start;
                let output = self.output.add(at);
                let three = taps == 3 && count == 1;
                let words = words.as_ptr();
                if !self.residual.is_null() {
                    let residual = self.residual.add(at);
                    self.multiply::<V, 0, true>(part, words, weights, &constants, output, residual);
                } else if three {
                    self.multiply::<V, 3, false>(part, words, weights, &constants, output, output);
                } else {
                    self.multiply::<V, 0, false>(part, words, weights, &constants, output, output);
                }
            }
        }
        Some(())
    }

    /// Words of the part's columns of the input behind output row `oy`.
    ///
    /// # Safety
    /// The CPU has the instructions, and the plan's words are writable.
    #[inline(always)]
    unsafe fn interleave_wide<V: Wide>(&self, part: &Part, oy: usize, to: *mut i32) {
        let ConvShape { input: [_, in_w, in_c], dilations, strides, kernel, .. } = *self.shape;
        let columns = Columns::new(self.shape, &part.columns);
        let (column, count) = (self.plan.words * V::CHANNELS, part.channels.len());
        let padding = [self.zero(); WIDE];
        for word in 0..self.plan.words {
            let mut rows = [(padding.as_ptr(), 0); VNNI];
            for (row, ky) in rows.iter_mut().zip(word * VNNI..kernel[0]) {
                let y = inside(self.shape, 0, oy * strides[0] + ky * dilations[0]);
                if let Some(y) = y.filter(|_| !columns.inside.is_empty()) {
                    let at = (y * in_w + columns.inside.start) * in_c + part.channels.start;
                    // SAFETY: the column is inside the input, and the channel one of its.
                    *row = (unsafe { self.input.as_ptr().add(at) }, in_c);
                }
            }
            // SAFETY: the caller vouches for the words; a block's values of padding, and the channels of each column,
            // are readable.
            unsafe {
                let mut to = to.add(word * V::CHANNELS);
                let values = V::splat(i32::from_ne_bytes([self.zero() as u8; 4])).unsigned();
                for _ in 0..columns.before {
                    V::store_all([values; VECTORS], to);
                    to = to.add(column);
                }
                for x in 0..columns.inside.len() {
                    let mut bytes = [values; VNNI];
                    for (bytes, (from, step)) in bytes.iter_mut().zip(rows) {
                        *bytes = V::bytes(from.add(x * step), count).unsigned();
                    }
                    V::store_all(V::interleave(bytes), to);
                    to = to.add(column);
                }
                for _ in 0..columns.behind {
                    V::store_all([values; VECTORS], to);
                    to = to.add(column);
                }
            }
        }
    }

    /// Words times weights, to a row of the part's output pixels; `TAPS` taps of one word, or any for 0.
    ///
    /// # Safety
    /// The CPU has the instructions; words and weights are the plan's, the pixels' channels are writable, and
    /// if `RESIDUAL`, those of the residual readable.
    #[inline(always)]
    unsafe fn multiply<V: Wide, const TAPS: usize, const RESIDUAL: bool>(
        &self,
        part: &Part,
        words: *const i32,
        weights: *const i32,
        constants: &Constants<V>,
        output: *mut i8,
        residual: *const i8,
    ) {
        let Plan { words: count, taps, .. } = self.plan;
        let (channels, pixel) = (part.channels.len(), self.shape.output[2]);
        let column = count * V::CHANNELS;
        let (tap, step) = (self.shape.dilations[1] * column, self.shape.strides[1] * column);
        // SAFETY: the caller vouches for the same.
        unsafe {
            let mut few = [constants.first; TAPS];
            for (n, few) in few.iter_mut().enumerate() {
                *few = V::load_all(weights.add(n * V::CHANNELS));
            }
            for p in 0..part.columns.len() {
                let mut sums = constants.first;
                let from = words.add(p * step);
                if TAPS > 0 {
                    for (n, &few) in few.iter().enumerate() {
                        sums = V::dots(sums, V::load_all(from.add(n * tap)), few);
                    }
                } else {
                    for n in 0..taps * count {
                        let from = from.add(n / count * tap + n % count * V::CHANNELS);
                        let weights = V::load_all(weights.add(n * V::CHANNELS));
                        sums = V::dots(sums, V::load_all(from), weights);
                    }
                }
                let shortcut = if RESIDUAL {
                    Some(V::widen(V::bytes(residual.add(p * pixel), channels)))
                } else {
                    None
                };
                constants.round(sums, shortcut).write(output.add(p * pixel), channels);
            }
        }
    }
}
