//! Direct convolution by `vpdpbusd`, as [`crate::kernels::x86_64::vnni`] divides it: exact, since products of
//! unsigned and signed bytes are added to sums of 32 bits without saturation.
//!
//! A block of pixels becomes rows once; then, for two blocks of output channels at a time, rows meet
//! weights, and sums go to the output from the registers that they are in.
//!
//! What may not be broken: everything that is written or read through pointers lies inside what
//! [`Task::new`] and [`Buffers::new`] have checked.

mod avx512;
mod avx_vnni;
pub(super) mod dots;
pub(super) mod epilogue;
mod multiply;
mod quads;
mod rows;

pub(super) use self::avx_vnni::Dots256;
use self::dots::Dots;
use self::epilogue::Epilogue;
use self::multiply::Operands;
use super::tiled::vector::Vectors;
use super::{Avx512Vnni, AvxVnni};
use crate::error::Fault;
use crate::format::{Channels, WeightLayout};
use crate::kernels::divide::{buffer, parts};
use crate::kernels::x86_64::vnni::{self, BLOCK, Plan, VECTOR};
use crate::kernels::{ConvArgs, ConvShape, Residual};

/// See [`crate::kernels::portable::reference::conv`]; weights in quads, as they are stored, or OHWI weights, which
/// are interleaved into quads while it runs.
pub fn conv_vnni(_token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { conv::<Avx512Vnni>(args) }
}

/// See [`conv_vnni`].
pub fn conv_avx_vnni(token: AvxVnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2 and one of the encodings.
    unsafe {
        if token.is_vex() { conv::<Dots256<true>>(args) } else { conv::<Dots256<false>>(args) }
    }
}

/// Where weights come from.
#[derive(Debug, Clone, Copy)]
enum Source<'w> {
    /// Blocks of corrections and quads.
    Stored(&'w [i8]),
    /// OHWI.
    Ohwi(&'w [i8]),
}

/// The buffers in the scratch, at whole vectors.
struct Buffers<'s> {
    rows: &'s mut [u8],
    /// Blocks of corrections and quads.
    weights: &'s mut [u8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], plan: &Plan) -> Option<Self> {
        let skipped = scratch.as_ptr().align_offset(VECTOR);
        let scratch = &mut scratch.get_mut(skipped..)?;
        let rows = buffer(scratch, plan.rows_bytes())?;
        Some(Self { rows, weights: buffer(scratch, plan.weights_bytes())? })
    }
}

/// A convolution whose parts fit together.
struct Task<'a> {
    shape: &'a ConvShape,
    plan: Plan,
    source: Source<'a>,
    input: &'a [i8],
    first_row: usize,
    output: *mut i8,
    /// Null without a residual.
    residual: *const i8,
    /// Output pixels of the band.
    pixels: usize,
}

/// # Safety
/// The CPU has the instructions.
unsafe fn conv<D: Dots>(args: ConvArgs<'_>) -> Result<(), Fault> {
    let (shape, weights) = (args.shape, args.weights);
    let (plan, source) = match weights.form.layout {
        WeightLayout::Ohwi => (Plan::from_ohwi(D::TILE, shape), Source::Ohwi(weights.as_ohwi())),
        _ => (Plan::packed(D::TILE, shape), Source::Stored(weights.int8())),
    };
    // SAFETY: the caller vouches for the instructions.
    let done = unsafe {
        D::Vectors::run(
            #[inline(always)]
            || run::<D>(plan, source, args),
        )
    };
    done.ok_or(Fault::Plan)
}

/// `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn run<D: Dots>(plan: Plan, source: Source<'_>, mut args: ConvArgs<'_>) -> Option<()> {
    let mut buffers = Buffers::new(core::mem::take(&mut args.scratch), &plan)?;
    let (channels, rq) = (args.channels, args.requantization);
    let task = Task::new(plan, source, &mut args)?;
    let [_, _, out_c] = task.shape.output;
    let kept = plan.kept.saturating_mul(BLOCK) >= out_c;
    let together = D::TILE.blocks * BLOCK;
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        if kept {
            task.interleave::<D>(0, &mut buffers)?;
        }
        let blocks = task.pixels.div_ceil(plan.pixels);
        let mut first = 0;
        for block in 0..blocks {
            // Blocks of one size, give or take a pixel.
            let count = (task.pixels - first).div_ceil(blocks - block).min(plan.pixels);
            task.gather::<D>(first, count, &mut buffers)?;
            for oc in (0..out_c).step_by(together) {
                if !kept {
                    task.interleave::<D>(oc, &mut buffers)?;
                }
                let end = out_c.min(oc + together);
                let weights = task.weights(oc, kept, &buffers)?;
                // Those behind the last channel stay 0.
                let (mut bias, mut multipliers) = ([0; 2 * BLOCK], [0; 2 * BLOCK]);
                for (n, channel) in channels.part(oc..end)?.iter().enumerate() {
                    *bias.get_mut(n)? = channel.bias;
                    *multipliers.get_mut(n)? = channel.multiplier;
                }
                let part = Channels { bias: &bias, multipliers: &multipliers };
                let pixels = first..first + count;
                if D::TILE.blocks == 2 && end - oc > BLOCK {
                    let (weights, rest) = weights.split_at_checked(plan.block_bytes())?;
                    let epilogue = Epilogue::new([weights, rest], part, rq)?;
                    task.multiply::<D, 2>(&buffers, pixels, oc, [weights, rest], &epilogue)?;
                } else {
                    let epilogue = Epilogue::new([weights], part, rq)?;
                    task.multiply::<D, 1>(&buffers, pixels, oc, [weights], &epilogue)?;
                }
            }
            first += count;
        }
    }
    Some(())
}

impl<'a> Task<'a> {
    /// Checks that all slices have the lengths that the shape asks for.
    fn new(plan: Plan, source: Source<'a>, args: &'a mut ConvArgs<'_>) -> Option<Self> {
        let shape = args.shape;
        let [in_h, in_w, in_c] = shape.input;
        let [_, out_w, out_c] = shape.output;
        let row = out_w.checked_mul(out_c).filter(|&row| row > 0)?;
        let rows = args.output.len() / row;
        let input = args.input.get(..in_h.checked_mul(in_w)?.checked_mul(in_c)?)?;
        let enough = match source {
            Source::Stored(weights) => weights.len() / plan.block_bytes() >= out_c.div_ceil(BLOCK),
            Source::Ohwi(weights) => {
                plan.kept > 0 && weights.len() >= out_c.checked_mul(shape.patch_len())?
            }
        };
        let output = args.output.as_mut_ptr();
        let residual = match args.residual {
            Residual::None => core::ptr::null(),
            Residual::InPlace => output.cast_const(),
            Residual::Separate(values) => values.get(..rows * row)?.as_ptr(),
        };
        let counted = rows <= shape.output[0] && args.first_row <= shape.output[0];
        let fits = enough && counted && vnni::computes(shape);
        fits.then_some(Self {
            shape,
            plan,
            source,
            input,
            first_row: args.first_row,
            output,
            residual,
            pixels: rows * out_w,
        })
    }

    /// Interleaves the weights of as many blocks of output channels, from `oc` on, as are there at once; nothing
    /// where they are stored.
    ///
    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    unsafe fn interleave<D: Dots>(&self, oc: usize, buffers: &mut Buffers<'_>) -> Option<()> {
        let Source::Ohwi(weights) = self.source else { return Some(()) };
        let len = self.shape.patch_len();
        let weights = weights.get(oc * len..self.shape.output[2] * len)?;
        let blocks = buffers.weights.chunks_exact_mut(self.plan.block_bytes());
        // Fewer of the last channels than there is room for.
        for (block, rows) in blocks.zip(weights.chunks((BLOCK * len).max(1))) {
            if rows.len() < BLOCK * len {
                quads::interleave_few(rows, len, block)?;
                continue;
            }
            // SAFETY: the caller vouches for the instructions.
            unsafe { quads::interleave::<D>(rows, len, block)? };
        }
        Some(())
    }

    /// The blocks of corrections and weights from output channel `oc` on.
    fn weights<'b>(&'b self, oc: usize, kept: bool, buffers: &'b Buffers<'_>) -> Option<&'b [u8]> {
        let first = oc / BLOCK * self.plan.block_bytes();
        match self.source {
            Source::Stored(weights) => zerocopy::IntoBytes::as_bytes(weights).get(first..),
            Source::Ohwi(_) if kept => buffers.weights.get(first..),
            Source::Ohwi(_) => Some(buffers.weights),
        }
    }

    /// The weights of output channel `oc` in the file, which may be behind the last.
    fn behind(&self, oc: usize) -> *const u8 {
        let (weights, channel) = match self.source {
            Source::Stored(weights) => (weights, self.plan.block_bytes() / BLOCK),
            Source::Ohwi(weights) => (weights, self.shape.patch_len()),
        };
        weights.as_ptr().cast::<u8>().wrapping_add(oc * channel)
    }

    /// Writes the rows of `count` pixels.
    ///
    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    unsafe fn gather<D: Dots>(
        &self,
        first: usize,
        count: usize,
        buffers: &mut Buffers<'_>,
    ) -> Option<()> {
        if count > self.plan.pixels || buffers.rows.len() < self.plan.rows_bytes() {
            return None;
        }
        let rows = rows::Rows { shape: self.shape, input: self.input, row: self.plan.row };
        let to = buffers.rows.as_mut_ptr();
        // SAFETY: the caller vouches for the instructions; there are rows for `plan.pixels` pixels and a
        // vector behind them.
        unsafe { rows.gather::<D>(self.first_row, first..first + count, to) };
        Some(())
    }

    /// Pixels of a block times `N` blocks of output channels, to the output.
    ///
    /// # Safety
    /// The CPU has the instructions.
    #[inline(always)]
    unsafe fn multiply<D: Dots, const N: usize>(
        &self,
        buffers: &Buffers<'_>,
        pixels: core::ops::Range<usize>,
        oc: usize,
        weights: [&[u8]; N],
        epilogue: &Epilogue<dots::Block<D>, N>,
    ) -> Option<()> {
        let Plan { quads, row, .. } = self.plan;
        let out_c = self.shape.output[2];
        let enough = buffers.rows.len() >= pixels.len() * row
            && weights.iter().all(|weights| weights.len() >= self.plan.block_bytes())
            && pixels.end <= self.pixels
            && oc + (N - 1) * BLOCK < out_c;
        if !enough {
            return None;
        }
        let behind = self.behind(oc + N * BLOCK);
        for (number, group) in parts(pixels.len(), D::TILE.pixels).enumerate() {
            // The first groups fetch the weights behind these, as many as these are.
            let ahead = behind.wrapping_add(number.min(N - 1) * quads * VECTOR);
            let at = (pixels.start + group.start) * out_c + oc;
            let operands = Operands {
                // SAFETY: the group's first row is one of the block's.
                rows: unsafe { buffers.rows.as_ptr().add(group.start * row) },
                row,
                // SAFETY: a block's weights begin behind a vector of corrections.
                weights: weights.map(|weights| unsafe { weights.as_ptr().add(VECTOR) }),
                quads,
                ahead,
                // SAFETY: the pixel is one of the band, and `oc` one of its channels.
                output: unsafe { self.output.add(at) },
                residual: self.residual.wrapping_add(if self.residual.is_null() { 0 } else { at }),
                pixel: out_c,
                last: BLOCK.min(out_c - oc - (N - 1) * BLOCK),
            };
            // SAFETY: the caller vouches for the instructions; `group.len()` rows of `quads` quads, weights of `N` blocks and output pixels with
            // `N` blocks of channels are there, and a residual as long as the output or null.
            unsafe { multiply::group::<D, N>(group.len(), &operands, epilogue) };
        }
        Some(())
    }
}
