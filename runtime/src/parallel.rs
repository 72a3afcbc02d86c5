//! Layers divided among threads: into bands of output rows, or into blocks of output channels.
//!
//! What may not be broken: the bytes do not depend on the number of parts or on the order in which they
//! run, because parts share nothing but what they read, and each has scratch of its own. A block of
//! channels is computed as a convolution of fewer channels, into memory of its own, from which its
//! columns are copied to the output.
//!
//! Rows divide what is done with the input, channels what is done with the weights. Maps of few rows
//! come out even only by channels, and there weights are most of what is read.
//!
//! A part that is not computed is reported, on whichever thread: the whole is none then.

use core::ops::Range;

use crate::error::{Buffer, Fault};
use crate::format::{Operator, Step, WeightForm, Weights, align_up};
use crate::kernels::{
    Choice, ConvArgs, ConvKernel, ConvShape, KernelSet, LogitsArgs, PoolShape, Residual, check,
};

/// Window elements, or products of a classifier, that are not worth a second thread. Not measured: they are
/// taken to cost two to three times what a multiply-accumulate of portable code does.
const LEAST_WORK: usize = 200_000;
/// What transforming the input, or the weights, once more costs, in thousandths of a layer.
///
/// Callgrind's instructions of two threads over those of one, every layer of ResNet-18 at 224x224 divided the
/// one way and then the other (`kernel-bench resnet18.fxn --callgrind --only=avx2 --threads=2`, AVX2,
/// 2026-11-27). F(4x4, 3x3) on 56, 28, 14 and 7 rows: the input 78, 44, 20 and 9, the weights 4, 33, 76 and
/// 527. Direct 3x3 convolutions: the input 47, 17, 7 and 3. So these are what layers in the middle cost;
/// above and below them the choice is not close.
const REPEATED_INPUT: usize = 40;
const REPEATED_WEIGHTS: usize = 60;

/// How a convolution is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Division {
    /// Bands of so many rows.
    Rows(usize),
    /// Blocks of so many channels.
    Channels(usize),
}

impl Division {
    fn choose(kernel: ConvKernel, shape: &ConvShape, form: WeightForm, threads: usize) -> Self {
        let [height, _, channels] = shape.output;
        let grain = kernel.grain();
        if threads < 2 || work(shape) < grain.least_work {
            return Self::Rows(height.max(1));
        }
        // The largest part, in whole tiles or blocks, and how much of the layer it is.
        let part = |extent, unit| largest_part(extent, unit, threads);
        let share = |extent: usize, part: usize| part.min(extent) * 1000 / extent.max(1);
        let rows = part(height, grain.rows);
        let by_rows = share(height, rows)
            + if grain.transforms.contains(&form.layout) { REPEATED_WEIGHTS } else { 0 };
        let by_channels = match grain.channels {
            0 => usize::MAX,
            unit => share(channels, part(channels, unit)) + REPEATED_INPUT,
        };
        if by_channels < by_rows && channels > part(channels, grain.channels) {
            Self::Channels(part(channels, grain.channels))
        } else {
            Self::Rows(rows)
        }
    }

    /// How many parts there are.
    fn parts(self, shape: &ConvShape) -> usize {
        match self {
            Self::Rows(rows) => shape.output[0].div_ceil(rows),
            Self::Channels(channels) => shape.output[2].div_ceil(channels),
        }
    }
}

/// Multiply-accumulates of a convolution.
fn work(shape: &ConvShape) -> usize {
    let [height, width, channels] = shape.output;
    height.saturating_mul(width).saturating_mul(channels).saturating_mul(shape.patch_len())
}

/// The largest of `threads` parts of an extent, in whole units.
fn largest_part(extent: usize, unit: usize, threads: usize) -> usize {
    extent.div_ceil(unit.max(1)).div_ceil(threads.max(1)).saturating_mul(unit).max(1)
}

/// Scratch of one part, whichever: what its kernel needs and, of a block of channels, room for its output.
#[derive(Debug, Clone, Copy)]
struct Share {
    kernel: usize,
    output: usize,
}

impl Share {
    fn for_division(
        division: Division,
        shape: &ConvShape,
        form: WeightForm,
        kernels: Choice,
    ) -> Self {
        let kernel_bytes =
            |shape: &ConvShape| kernels.conv_kernel(shape, form).scratch_bytes(shape, form);
        match division {
            // A band's kernel sees the whole shape.
            Division::Rows(_) => Self { kernel: align_up(kernel_bytes(shape)), output: 0 },
            Division::Channels(channels) => {
                let [height, width, all] = shape.output;
                // A smaller block may need more: its kernel keeps more weights, or is another one.
                let kernel = block_sizes(all, channels)
                    .map(|n| kernel_bytes(&with_output_channels(shape, n)));
                let output = height.saturating_mul(width).saturating_mul(channels);
                let kernel = kernel.into_iter().max().unwrap_or(0);
                Self { kernel: align_up(kernel), output: align_up(output) }
            }
        }
    }

    const fn bytes(self) -> usize {
        self.kernel.saturating_add(self.output)
    }
}

/// Channels of the first blocks and of the last, of blocks of `channels` of `all`.
fn block_sizes(all: usize, channels: usize) -> [usize; 2] {
    let first = channels.min(all);
    let last = all.checked_rem(channels).filter(|&rest| rest > 0);
    [first, last.unwrap_or(first)]
}

/// The same convolution to fewer channels.
fn with_output_channels(shape: &ConvShape, channels: usize) -> ConvShape {
    let [height, width, _] = shape.output;
    ConvShape { output: [height, width, channels], ..*shape }
}

/// Scratch of a step on some threads, in bytes.
pub(crate) fn scratch_bytes(kernels: Choice, step: &Step<'_>, threads: usize) -> usize {
    let divided = || {
        let Operator::Conv { shape, weights, .. } = &step.operator else { return None };
        if step.output.is_streamed() {
            // Its parts are divided by rows, however many there are at a time.
            let share = Share::for_division(Division::Rows(1), shape, weights.form, kernels);
            return (threads > 1).then(|| share.bytes().saturating_mul(threads));
        }
        divided_bytes(kernels, shape, weights.form, threads)
    };
    divided().unwrap_or_else(|| kernels.scratch_bytes(&step.operator))
}

/// Scratch of a convolution that is computed as a whole; `None` if it is not divided.
fn divided_bytes(
    kernels: Choice,
    shape: &ConvShape,
    form: WeightForm,
    threads: usize,
) -> Option<usize> {
    let division = Division::choose(kernels.conv_kernel(shape, form), shape, form, threads);
    let parts = division.parts(shape);
    let share = Share::for_division(division, shape, form, kernels);
    (parts > 1).then(|| share.bytes().saturating_mul(parts))
}

/// Runs a convolution, or some of its rows, in at most `threads` parts. `args.scratch` is as long as
/// [`scratch_bytes`] says.
pub(crate) fn conv(kernels: KernelSet, threads: usize, args: ConvArgs<'_>) -> Result<(), Fault> {
    if threads < 2 {
        return kernels.conv(args);
    }
    let (shape, form) = (args.shape, args.weights.form);
    let kernel = kernels.conv_kernel(shape, form);
    let [height, width, channels] = shape.output;
    let rows = args.output.len() / width.saturating_mul(channels).max(1);
    let division = if rows < height {
        let grain = kernel.grain();
        let part = ConvShape { output: [rows, width, channels], ..*shape };
        let threads = if work(&part) < grain.least_work { 1 } else { threads };
        Division::Rows(largest_part(rows, grain.rows, threads))
    } else {
        Division::choose(kernel, shape, form, threads)
    };
    conv_divided(kernels, division, args)
}

fn conv_divided(kernels: KernelSet, division: Division, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (shape, form) = (args.shape, args.weights.form);
    let share = Share::for_division(division, shape, form, kernels.choice());
    match division {
        Division::Rows(rows) if rows >= shape.output[0] => kernels.conv(args),
        Division::Rows(rows) => by_rows(kernels, rows, share, args),
        Division::Channels(channels) => by_channels(kernels, channels, share, args),
    }
}

fn by_rows(kernels: KernelSet, rows: usize, share: Share, args: ConvArgs<'_>) -> Result<(), Fault> {
    let [_, width, channels] = args.shape.output;
    let ConvArgs { shape, input, weights, channels: constants, requantization, .. } = args;
    let len = rows.saturating_mul(width).saturating_mul(channels).max(1);
    // Kernels find fault with what is missing.
    let mut scratch = args.scratch.chunks_mut(share.bytes().max(1));
    let bands = args.output.chunks_mut(len).enumerate().map(|(band, output)| ConvArgs {
        shape,
        input,
        weights,
        channels: constants,
        requantization,
        residual: match args.residual {
            Residual::Separate(values) => {
                Residual::Separate(values.get(band.saturating_mul(len)..).unwrap_or(&[]))
            }
            other => other,
        },
        first_row: args.first_row.saturating_add(band.saturating_mul(rows)),
        output,
        scratch: scratch.next().unwrap_or_default(),
    });
    run(bands, |band| kernels.conv(band))
}

/// A block of output channels and its share of the scratch.
struct Block<'a> {
    channels: Range<usize>,
    share: &'a mut [u8],
}

impl Block<'_> {
    /// The kernel's scratch, and the block's output of `pixels` pixels: `[pixel][channel of the block]`.
    fn split(&mut self, share: Share, pixels: usize) -> Option<(&mut [u8], &mut [i8])> {
        let (scratch, output) = self.share.split_at_mut_checked(share.kernel)?;
        let output = output.get_mut(..pixels.checked_mul(self.channels.len())?)?;
        Some((scratch, <[i8] as zerocopy::FromBytes>::mut_from_bytes(output).ok()?))
    }
}

fn by_channels(
    kernels: KernelSet,
    channels: usize,
    share: Share,
    args: ConvArgs<'_>,
) -> Result<(), Fault> {
    check::conv(&args)?;
    let ConvArgs { shape, input, weights, channels: constants, requantization, .. } = args;
    let [height, width, all] = shape.output;
    let (residual, output, pixels) = (args.residual, args.output, height.saturating_mul(width));
    let parts = all.div_ceil(channels.max(1));
    let (needed, available) = (share.bytes().saturating_mul(parts), args.scratch.len());
    if available < needed {
        return Err(Fault::Length { buffer: Buffer::Scratch, needed, available });
    }
    let ranges =
        || (0..all).step_by(channels.max(1)).map(|n| n..all.min(n.saturating_add(channels)));
    let shares = args.scratch.chunks_exact_mut(share.bytes().max(1));
    let blocks = ranges().zip(shares).map(|(channels, share)| Block { channels, share });
    let shared = &*output;
    run(blocks, |mut block| {
        let channels = block.channels.clone();
        let (scratch, output) = block.split(share, pixels).ok_or(Fault::Plan)?;
        let residual = match residual {
            Residual::None => None,
            Residual::InPlace => Some(shared),
            Residual::Separate(values) => Some(values),
        };
        if let Some(residual) = residual {
            copy_columns(residual, all, &channels, output).ok_or(Fault::Plan)?;
        }
        kernels.conv(ConvArgs {
            shape: &with_output_channels(shape, channels.len()),
            input,
            weights: rows_of(weights, channels.clone(), all),
            channels: constants.part(channels).ok_or(Fault::Plan)?,
            requantization,
            residual: if residual.is_some() { Residual::InPlace } else { Residual::None },
            first_row: 0,
            output,
            scratch,
        })
    })?;
    let shares = args.scratch.chunks_exact_mut(share.bytes().max(1));
    for (channels, bytes) in ranges().zip(shares) {
        let mut block = Block { channels: channels.clone(), share: bytes };
        let (_, staged) = block.split(share, pixels).ok_or(Fault::Plan)?;
        let staged = staged.chunks_exact(channels.len().max(1));
        for (pixel, from) in output.chunks_exact_mut(all.max(1)).zip(staged) {
            copy(pixel.get_mut(channels.clone()).ok_or(Fault::Plan)?, from);
        }
    }
    Ok(())
}

/// Copies as much as both have.
fn copy(to: &mut [i8], from: &[i8]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

/// Copies some of the `all` channels of each pixel; `None` if there are not as many pixels.
fn copy_columns(from: &[i8], all: usize, channels: &Range<usize>, to: &mut [i8]) -> Option<()> {
    let from = from.get(..(to.len() / channels.len().max(1)).checked_mul(all)?)?;
    let pixels = to.chunks_exact_mut(channels.len().max(1));
    for (to, from) in pixels.zip(from.chunks_exact(all.max(1))) {
        copy(to, from.get(channels.clone())?);
    }
    Some(())
}

/// The weights of some of `all` output channels, which lie one behind the other; none if there are not all
/// of them, which the kernel finds fault with.
fn rows_of(weights: Weights<'_>, channels: Range<usize>, all: usize) -> Weights<'_> {
    let row = weights.bytes.len() / all.max(1);
    let bytes = weights.bytes.get(channels.start * row..channels.end * row);
    Weights { bytes: bytes.unwrap_or_default(), ..weights }
}

/// Runs a maximum pool in at most `threads` bands of rows.
pub(crate) fn max_pool(
    kernels: KernelSet,
    threads: usize,
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let window = shape.kernel[0].saturating_mul(shape.kernel[1]);
    let work = output.len().saturating_mul(window);
    let parts = if work < LEAST_WORK { 1 } else { threads.max(1) };
    max_pool_divided(kernels, shape.output[0].div_ceil(parts).max(1), shape, clamp, input, output)
}

/// Bands of `rows` rows.
fn max_pool_divided(
    kernels: KernelSet,
    rows: usize,
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    check::pool(shape, input, output)?;
    let [_, width, channels] = shape.output;
    let [in_h, in_w, in_c] = shape.input;
    let len = rows.saturating_mul(width).saturating_mul(channels).max(1);
    let bands = output.chunks_mut(len).enumerate();
    run(bands, |(band, output)| {
        let row = band * rows;
        let first = (row * shape.strides[0]).saturating_sub(shape.pads[0]).min(in_h);
        let band = shape.for_rows(row, output.len() / (width * channels).max(1), in_h - first);
        let input = input.get(first * in_w * in_c..).ok_or(Fault::Plan)?;
        kernels.max_pool(&band, clamp, input, output)
    })
}

/// Runs a classifier in at most `threads` parts of its classes.
pub(crate) fn logits(
    kernels: KernelSet,
    threads: usize,
    args: LogitsArgs<'_>,
) -> Result<(), Fault> {
    let parts = if args.weights.len() < LEAST_WORK { 1 } else { threads.max(1) };
    logits_divided(kernels, args.output.len().div_ceil(parts).max(1), args)
}

/// Parts of `len` classes.
fn logits_divided(kernels: KernelSet, len: usize, args: LogitsArgs<'_>) -> Result<(), Fault> {
    check::logits(&args)?;
    let LogitsArgs { input, weights, channels, shift, output } = args;
    let parts = output.chunks_mut(len).enumerate();
    run(parts, |(part, output)| {
        let classes = part * len..part * len + output.len();
        let rows = classes.start * input.len()..classes.end * input.len();
        let weights = weights.get(rows).ok_or(Fault::Plan)?;
        kernels.logits(LogitsArgs {
            input,
            weights,
            channels: channels.part(classes).ok_or(Fault::Plan)?,
            shift,
            output,
        })
    })
}

#[cfg(not(feature = "threads"))]
fn run<P>(
    mut parts: impl Iterator<Item = P>,
    work: impl Fn(P) -> Result<(), Fault>,
) -> Result<(), Fault> {
    parts.try_for_each(work)
}

/// Runs all parts but one on other threads of the pool, and that one here. Of several faults the first to be
/// found is told.
#[cfg(feature = "threads")]
fn run<P: Send>(
    mut parts: impl Iterator<Item = P>,
    work: impl Fn(P) -> Result<(), Fault> + Sync,
) -> Result<(), Fault> {
    let Some(first) = parts.next() else { return Ok(()) };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return work(first);
    }
    let found = std::sync::OnceLock::new();
    let work = |part| {
        if let Err(fault) = work(part) {
            found.get_or_init(|| fault);
        }
    };
    rayon::in_place_scope(|scope| {
        for part in parts {
            scope.spawn(|_| work(part));
        }
        work(first);
    });
    found.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
