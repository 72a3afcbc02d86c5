//! Portable kernels: plain Rust that compilers turn into the target's multiply-accumulates.
//!
//! A window is gathered once, widened to i16, and multiplied with every output channel's weights,
//! which lie in the same order. No panics: slices are walked by iterators. They end together, and no
//! product of extents overflows, as [`super::check`] has seen to.

use crate::error::Fault;
use crate::format::{Channels, align_up};
use crate::kernels::divide::buffer;
use crate::kernels::{
    ConcatArgs, ConvArgs, ConvShape, LogitsArgs, PoolShape, SubsampleArgs, patch,
};
use crate::numerics::{
    self, Addition, Channel, Multiplication, Requantization, TABLE_ENTRIES, requantize,
    requantize_residual,
};

/// Scratch of [`conv`]: one patch in 16 bits.
#[must_use]
pub fn conv_scratch_bytes(shape: &ConvShape) -> usize {
    align_up(shape.patch_len().saturating_mul(2))
}

/// See [`super::reference::conv`].
#[inline(never)]
pub fn conv(args: ConvArgs<'_>) -> Result<(), Fault> {
    run(args).ok_or(Fault::Plan)
}

#[inline(always)]
fn run(mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let len = shape.patch_len();
    let patch = buffer(&mut args.scratch, len * 2)?;
    let group_out = out_c.checked_div(shape.groups).unwrap_or(0).max(1);
    let per_group = args.weights.as_ohwi().chunks_exact((group_out * len).max(1));
    for (pixel, output) in args.output.chunks_exact_mut(out_c.max(1)).enumerate() {
        let position = (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
        let groups = output.chunks_exact_mut(group_out).zip(per_group.clone()).enumerate();
        for (group, (output, weights)) in groups {
            patch::gather(shape, args.input, position, group, patch, i16::from)?;
            let first = group * group_out;
            let constants = args.channels.part(first..first + group_out)?;
            let rows = weights.chunks_exact(len.max(1)).zip(constants.iter());
            for (oc, (out, (row, channel))) in output.iter_mut().zip(rows).enumerate() {
                let residual = args.residual.at(pixel * out_c + first + oc, *out)?;
                let acc = dot(patch, row);
                *out = requantize_residual(acc, residual, channel, args.requantization);
            }
        }
    }
    Some(())
}

/// `sum x * w`, wrapping.
#[inline(always)]
fn dot(x: &[i16], w: &[i8]) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(i16::from(w)));
    products.fold(0, i32::wrapping_add)
}

/// See [`super::reference::logits`].
pub fn logits(args: LogitsArgs<'_>) -> Result<(), Fault> {
    let rows = args.weights.chunks_exact(args.input.len().max(1)).zip(args.channels.iter());
    for (logit, (row, channel)) in args.output.iter_mut().zip(rows) {
        let products = args.input.iter().zip(row).map(|(&x, &w)| i32::from(x) * i32::from(w));
        *logit = numerics::logit(products.fold(0, i32::wrapping_add), channel, args.shift);
    }
    Ok(())
}

/// Calls `visit` with the input pixel under each tap of the window, or `None` in the padding; none if the input ends
/// before.
#[inline(always)]
fn taps<'i>(
    shape: &PoolShape,
    input: &'i [i8],
    (oy, ox): (usize, usize),
    mut visit: impl FnMut(Option<&'i [i8]>),
) -> Option<()> {
    let [in_h, in_w, channels] = shape.input;
    for ky in 0..shape.kernel[0] {
        let y = (oy * shape.strides[0] + ky).checked_sub(shape.pads[0]).filter(|&y| y < in_h);
        for kx in 0..shape.kernel[1] {
            let x = (ox * shape.strides[1] + kx).checked_sub(shape.pads[1]).filter(|&x| x < in_w);
            visit(match y.zip(x) {
                Some((y, x)) => Some(input.get((y * in_w + x) * channels..)?.get(..channels)?),
                None => None,
            });
        }
    }
    Some(())
}

/// See [`super::reference::max_pool`].
pub fn max_pool(
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let [_, out_w, channels] = shape.output;
    for (pixel, output) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let position = (pixel / out_w.max(1), pixel % out_w.max(1));
        output.fill(i8::MIN);
        let all = taps(shape, input, position, |values| {
            if let Some(values) = values {
                for (highest, &value) in output.iter_mut().zip(values) {
                    *highest = (*highest).max(value);
                }
            }
        });
        all.ok_or(Fault::Plan)?;
        for value in output {
            *value = (*value).max(clamp.0).min(clamp.1);
        }
    }
    Ok(())
}

/// Channels whose sums are held at once.
const BLOCK: usize = 32;

/// Sums of a block of channels over the window, `padding` standing for each tap outside the map; and the
/// number of taps inside it.
#[inline(never)]
fn window_sums(
    shape: &PoolShape,
    input: &[i8],
    position: (usize, usize),
    block: usize,
    padding: i32,
) -> Option<([i32; BLOCK], usize)> {
    let (mut sums, mut inside) = ([0i32; BLOCK], 0);
    taps(shape, input, position, |values| match values {
        Some(values) => {
            inside += 1;
            for (sum, &value) in sums.iter_mut().zip(values.iter().skip(block * BLOCK)) {
                *sum = sum.wrapping_add(i32::from(value));
            }
        }
        None => sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(padding)),
    })?;
    Some((sums, inside))
}

/// Average pooling: the constants of a window follow from its taps inside the map.
#[inline(always)]
fn average(
    shape: &PoolShape,
    (input, output): (&[i8], &mut [i8]),
    padding: i32,
    rq: &Requantization,
    constants: impl Fn(usize) -> Option<Channel>,
) -> Option<()> {
    let [_, out_w, channels] = shape.output;
    for (pixel, output) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let position = (pixel / out_w.max(1), pixel % out_w.max(1));
        for (block, output) in output.chunks_mut(BLOCK).enumerate() {
            let (sums, inside) = window_sums(shape, input, position, block, padding)?;
            let channel = constants(inside)?;
            for (out, &sum) in output.iter_mut().zip(&sums) {
                *out = requantize(sum, channel, rq);
            }
        }
    }
    Some(())
}

/// See [`super::reference::average_pool`].
pub fn average_pool(
    shape: &PoolShape,
    channel: Channel,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let padding = i32::from(shape.input_zero_point);
    average(shape, (input, output), padding, rq, |_| Some(channel)).ok_or(Fault::Plan)
}

/// See [`super::reference::average_pool_inside`].
pub fn average_pool_inside(
    shape: &PoolShape,
    channels: Channels<'_>,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let constants = |inside: usize| channels.part(inside.checked_sub(1)?..inside)?.iter().next();
    average(shape, (input, output), 0, rq, constants).ok_or(Fault::Plan)
}

/// All of int8: what saturates to it and is clamped then is the same as what is clamped at once. Processors have an
/// instruction for these bounds, which compilers find where they are constants.
const INT8: (i8, i8) = (i8::MIN, i8::MAX);

/// Clamps what has been saturated.
#[inline(never)]
fn restrict(values: &mut [i8], (low, high): (i8, i8)) {
    if (low, high) != INT8 {
        values.iter_mut().for_each(|value| *value = (*value).max(low).min(high));
    }
}

/// See [`super::reference::add`].
pub fn add(p: &Addition, a: &[i8], b: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    let saturating = Addition { clamp: INT8, ..*p };
    for (out, (&a, &b)) in output.iter_mut().zip(a.iter().zip(b)) {
        *out = numerics::add(a, b, &saturating);
    }
    restrict(output, p.clamp);
    Ok(())
}

/// See [`super::reference::add_in_place`].
pub fn add_in_place(p: &Addition, a: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    let saturating = Addition { clamp: INT8, ..*p };
    for (out, &a) in output.iter_mut().zip(a) {
        *out = numerics::add(a, *out, &saturating);
    }
    restrict(output, p.clamp);
    Ok(())
}

/// See [`super::reference::lookup`].
pub fn lookup(
    tables: &[[i8; TABLE_ENTRIES]],
    clamp: (i8, i8),
    values: &mut [i8],
) -> Result<(), Fault> {
    if let [table] = tables {
        values.iter_mut().for_each(|value| *value = numerics::lookup(table, *value, INT8));
    } else {
        for pixel in values.chunks_exact_mut(tables.len().max(1)) {
            for (value, table) in pixel.iter_mut().zip(tables) {
                *value = numerics::lookup(table, *value, INT8);
            }
        }
    }
    restrict(values, clamp);
    Ok(())
}

/// The same constants with the bounds of int8.
#[inline(always)]
fn saturating(p: &Multiplication) -> Multiplication {
    Multiplication { requantization: Requantization { clamp: INT8, ..p.requantization }, ..*p }
}

/// See [`super::reference::multiply`].
pub fn multiply(p: &Multiplication, a: &[i8], b: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    let constants = saturating(p);
    for (out, (&a, &b)) in output.iter_mut().zip(a.iter().zip(b)) {
        *out = numerics::multiply(a, b, &constants);
    }
    restrict(output, p.requantization.clamp);
    Ok(())
}

/// See [`super::reference::multiply_in_place`].
pub fn multiply_in_place(p: &Multiplication, a: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    let constants = saturating(p);
    for (out, &a) in output.iter_mut().zip(a) {
        *out = numerics::multiply(a, *out, &constants);
    }
    restrict(output, p.requantization.clamp);
    Ok(())
}

/// See [`super::reference::concat`].
pub fn concat(args: ConcatArgs<'_>) -> Result<(), Fault> {
    let ConcatArgs { input, first, total, weights, channels, requantization, output } = args;
    let pixels = output.chunks_exact_mut(total.max(1));
    for (output, input) in pixels.zip(input.chunks_exact(weights.len().max(1))) {
        let values = input.iter().zip(weights).zip(channels.iter());
        let outputs = output.iter_mut().skip(first);
        for (out, ((&value, &weight), channel)) in outputs.zip(values) {
            *out = requantize(i32::from(value) * i32::from(weight), channel, requantization);
        }
    }
    Ok(())
}

/// See [`super::reference::subsample`].
pub fn subsample(args: SubsampleArgs<'_>) -> Result<(), Fault> {
    let SubsampleArgs { strides, channels_before, from, to, input, output } = args;
    let width = to.width.max(1);
    for (pixel, out) in output.chunks_exact_mut(to.channels.max(1)).enumerate() {
        let source = pixel / width * strides[0] * from.width + pixel % width * strides[1];
        let source = input.get(source * from.channels..).ok_or(Fault::Plan)?;
        out.fill(from.zero_point);
        let copied = out.iter_mut().skip(channels_before).take(from.channels);
        copied.zip(source).for_each(|(out, &value)| *out = value);
    }
    Ok(())
}
