//! What must hold of a kernel's arguments, whoever calls: [`KernelSet`](super::KernelSet), the one way to a
//! kernel, looks here first.
//!
//! What may not be broken: once a check has passed, every slice is as long as the geometry says, no window
//! ends outside its padded input, and no product or sum of extents overflows, also where a kernel computes
//! whole tiles that reach a little beyond the output.

use super::{
    ConcatArgs, ConvArgs, ConvKernel, ConvShape, LogitsArgs, PoolShape, Residual, SubsampleArgs,
    layouts,
};
use crate::error::{Buffer, Fault};
use crate::format::{ALIGNMENT, Channels, WeightForm, WeightLayout};
use crate::numerics::{FRACTION_BITS, MAX_SHIFT, Requantization, TABLE_ENTRIES};

/// Most rows and columns of a padded input; a model file has at most 3 * 65,535.
const MAX_EXTENT: usize = 1 << 24;
/// Largest stride, as in a model file.
const MAX_STRIDE: usize = 1 << 16;
/// Alignment of packed weights, which are read as words.
const WEIGHTS_ALIGNMENT: usize = 4;

/// A convolution's input without what lies behind it, which kernels would take for rows below the last.
pub(crate) fn input<'a>(args: &ConvArgs<'a>) -> Result<&'a [i8], Fault> {
    let (needed, available) = (elements(args.shape.input)?, args.input.len());
    let buffer = Buffer::Input;
    args.input.get(..needed).ok_or(Fault::Length { buffer, needed, available })
}

/// A convolution without its input and its scratch.
pub(crate) fn conv(args: &ConvArgs<'_>) -> Result<(), Fault> {
    let ConvArgs { shape, weights, channels, first_row, .. } = *args;
    let [height, width, out_c] = shape.output;
    windows(shape)?;
    requantization(args.requantization)?;
    at_least(Buffer::Input, elements(shape.input)?, args.input.len())?;
    let row = product(width, out_c)?;
    let (count, available) = (args.output.len() / row.max(1), args.output.len());
    exactly(Buffer::Output, product(count, row)?, available)?;
    if first_row > height || count > height - first_row {
        return Err(Fault::Rows { first: first_row, count, height });
    }
    if let Residual::Separate(values) = args.residual {
        at_least(Buffer::Operand, available, values.len())?;
    }
    at_least(Buffer::Channels, out_c, channels.bias.len().min(channels.multipliers.len()))?;
    let WeightForm { target, layout } = weights.form;
    let needed = layouts::weights_bytes(weights.form, shape);
    let needed = needed.ok_or(Fault::Weights { target, layout })?;
    let needed = usize::try_from(needed).map_err(|_| Fault::Geometry)?;
    at_least(Buffer::Weights, needed, weights.bytes.len())?;
    if layout != WeightLayout::Ohwi {
        aligned(Buffer::Weights, WEIGHTS_ALIGNMENT, weights.bytes)?;
    }
    Ok(())
}

/// Weights that `kernel` reads: what no kernel of a set computes is left to the portable one, which reads
/// OHWI alone.
pub(crate) fn readable(args: &ConvArgs<'_>, kernel: ConvKernel) -> Result<(), Fault> {
    let WeightForm { target, layout } = args.weights.form;
    if kernel.reads(args.weights.form) { Ok(()) } else { Err(Fault::Weights { target, layout }) }
}

/// The scratch of a convolution by `kernel`.
pub(crate) fn scratch(args: &ConvArgs<'_>, kernel: ConvKernel) -> Result<(), Fault> {
    let needed = kernel.scratch_bytes(args.shape, args.weights.form);
    at_least(Buffer::Scratch, needed, args.scratch.len())?;
    if needed == 0 { Ok(()) } else { aligned(Buffer::Scratch, ALIGNMENT, args.scratch) }
}

/// A pool.
pub(crate) fn pool(shape: &PoolShape, input: &[i8], output: &[i8]) -> Result<(), Fault> {
    for axis in 0..2 {
        let extents = [shape.input[axis], shape.output[axis]];
        axis_of(extents, shape.kernel[axis], 1, shape.strides[axis], pads(shape.pads, axis))?;
    }
    if shape.input[2] != shape.output[2] || shape.input[2] == 0 {
        return Err(Fault::Geometry);
    }
    at_least(Buffer::Input, elements(shape.input)?, input.len())?;
    exactly(Buffer::Output, elements(shape.output)?, output.len())
}

/// An average pool whose padding does not count: every window sees something, and there are constants for
/// as many taps as it may see.
pub(crate) fn pool_inside(
    shape: &PoolShape,
    channels: Channels<'_>,
    input: &[i8],
    output: &[i8],
) -> Result<(), Fault> {
    pool(shape, input, output)?;
    let padding_alone = (0..4).any(|side| shape.pads[side] >= shape.kernel[side % 2]);
    if padding_alone || shape.input.contains(&0) {
        return Err(Fault::Geometry);
    }
    let constants = channels.bias.len().min(channels.multipliers.len());
    at_least(Buffer::Channels, product(shape.kernel[0], shape.kernel[1])?, constants)
}

/// A classifier.
pub(crate) fn logits(args: &LogitsArgs<'_>) -> Result<(), Fault> {
    let classes = args.output.len();
    if args.input.is_empty() {
        return Err(Fault::Geometry);
    }
    let constants = args.channels.bias.len().min(args.channels.multipliers.len());
    at_least(Buffer::Channels, classes, constants)?;
    at_least(Buffer::Weights, product(args.input.len(), classes)?, args.weights.len())?;
    if args.shift <= MAX_SHIFT { Ok(()) } else { Err(Fault::Constant) }
}

/// Two tensors element by element; the second may be the output, or have one value for each channel.
pub(crate) fn elementwise([a, b]: [&[i8]; 2], output: &[i8]) -> Result<(), Fault> {
    exactly(Buffer::Input, output.len(), a.len())?;
    match output.len().checked_rem(b.len()) {
        Some(0) => Ok(()),
        _ => exactly(Buffer::Operand, output.len(), b.len()),
    }
}

/// Tables of an activation function: one, or one for each channel.
pub(crate) fn lookup(tables: &[[i8; TABLE_ENTRIES]], values: &[i8]) -> Result<(), Fault> {
    match values.len().checked_rem(tables.len()) {
        Some(0) => Ok(()),
        _ => Err(Fault::Geometry),
    }
}

/// One input of a concatenation.
pub(crate) fn concat(args: &ConcatArgs<'_>) -> Result<(), Fault> {
    let ConcatArgs { input, first, total, weights, channels, .. } = *args;
    let own = weights.len();
    let fits = first.checked_add(own).is_some_and(|end| end <= total);
    let pixels = args.output.len().checked_div(total).filter(|_| fits && own > 0);
    let pixels = pixels.ok_or(Fault::Geometry)?;
    exactly(Buffer::Output, pixels * total, args.output.len())?;
    exactly(Buffer::Input, product(pixels, own)?, input.len())?;
    at_least(Buffer::Channels, own, channels.bias.len().min(channels.multipliers.len()))?;
    requantization(args.requantization)
}

/// A strided copy.
pub(crate) fn subsample(args: &SubsampleArgs<'_>) -> Result<(), Fault> {
    let (from, to) = (args.from.shape(), args.to.shape());
    for axis in 0..2 {
        axis_of([from[axis], to[axis]], 1, 1, args.strides[axis], [0, 0])?;
    }
    let fits = args.channels_before.checked_add(from[2]).is_some_and(|channels| channels <= to[2]);
    if !fits || from[2] == 0 {
        return Err(Fault::Geometry);
    }
    at_least(Buffer::Input, elements(from)?, args.input.len())?;
    exactly(Buffer::Output, elements(to)?, args.output.len())
}

/// The constants of a requantization.
pub(crate) fn requantization(rq: &Requantization) -> Result<(), Fault> {
    if rq.shift > MAX_SHIFT || !FRACTION_BITS.contains(&rq.fraction_bits) {
        return Err(Fault::Constant);
    }
    clamp(rq.clamp)
}

/// The bounds of an output.
pub(crate) fn clamp((low, high): (i8, i8)) -> Result<(), Fault> {
    if low <= high { Ok(()) } else { Err(Fault::Constant) }
}

/// The windows and channels of a convolution.
fn windows(shape: &ConvShape) -> Result<(), Fault> {
    let ConvShape { input, output, kernel, strides, dilations, groups, .. } = *shape;
    for axis in 0..2 {
        let extents = [input[axis], output[axis]];
        axis_of(extents, kernel[axis], dilations[axis], strides[axis], pads(shape.pads, axis))?;
    }
    let divides = |channels: usize| channels > 0 && channels.checked_rem(groups) == Some(0);
    if divides(input[2]) && divides(output[2]) { Ok(()) } else { Err(Fault::Geometry) }
}

/// One axis: extents of input and output; the last window ends inside the padded input.
fn axis_of(
    [input, output]: [usize; 2],
    kernel: usize,
    dilation: usize,
    stride: usize,
    pads: [usize; 2],
) -> Result<(), Fault> {
    let padded = pads.into_iter().try_fold(input, usize::checked_add);
    let span = kernel.checked_sub(1).and_then(|taps| taps.checked_mul(dilation)?.checked_add(1));
    let last = output.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
    let end = last.zip(span).and_then(|(last, span)| last.checked_add(span));
    let strides = 1..=MAX_STRIDE;
    match end.zip(padded) {
        Some((end, padded))
            if end <= padded
                && padded <= MAX_EXTENT
                && dilation > 0
                && strides.contains(&stride) =>
        {
            Ok(())
        }
        _ => Err(Fault::Geometry),
    }
}

/// Padding before and behind an axis.
fn pads(pads: [usize; 4], axis: usize) -> [usize; 2] {
    let [top, left, bottom, right] = pads;
    if axis == 0 { [top, bottom] } else { [left, right] }
}

fn elements([height, width, channels]: [usize; 3]) -> Result<usize, Fault> {
    product(product(height, width)?, channels)
}

fn product(a: usize, b: usize) -> Result<usize, Fault> {
    a.checked_mul(b).ok_or(Fault::Geometry)
}

fn at_least(buffer: Buffer, needed: usize, available: usize) -> Result<(), Fault> {
    if available >= needed { Ok(()) } else { Err(Fault::Length { buffer, needed, available }) }
}

fn exactly(buffer: Buffer, needed: usize, available: usize) -> Result<(), Fault> {
    if available == needed { Ok(()) } else { Err(Fault::Length { buffer, needed, available }) }
}

fn aligned(buffer: Buffer, needed: usize, bytes: &[u8]) -> Result<(), Fault> {
    let address = bytes.as_ptr().addr();
    if address.is_multiple_of(needed) {
        Ok(())
    } else {
        Err(Fault::Misaligned { buffer, needed, address })
    }
}
