//! The specification of every step: naive loops that follow the operator's definition.
//!
//! Never optimise these. Every other kernel is tested against them.
//! Operators as in the ONNX operator specification (Conv, MaxPool, AveragePool, Gemm), in HWC.

use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::{ConcatArgs, ConvArgs, LogitsArgs, PoolShape, SubsampleArgs};
use crate::numerics::{
    self, Addition, Channel, Multiplication, Requantization, TABLE_ENTRIES, requantize,
    requantize_residual,
};

/// Position in the input that tap `tap` of window `out` reads, or `None` in the padding.
fn source(
    out: usize,
    stride: usize,
    tap: usize,
    dilation: usize,
    pad: usize,
    extent: usize,
) -> Option<usize> {
    (out * stride + tap * dilation).checked_sub(pad).filter(|&position| position < extent)
}

/// `values[index]`. [`super::check`] saw to it that every index is inside.
fn element<T: Copy>(values: &[T], index: usize) -> Option<T> {
    values.get(index).copied()
}

/// The constants of channel `index`.
fn constants(channels: Channels<'_>, index: usize) -> Option<Channel> {
    let (bias, multiplier) =
        (element(channels.bias, index)?, element(channels.multipliers, index)?);
    Some(Channel { bias, multiplier })
}

/// Replaces each element of the whole rows of an HWC map by `compute` of its row, column and channel
/// and of what it holds.
fn fill(
    map: &mut [i8],
    [_, width, channels]: [usize; 3],
    mut compute: impl FnMut([usize; 3], i8) -> Option<i8>,
) -> Result<(), Fault> {
    for (y, row) in map.chunks_exact_mut((width * channels).max(1)).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(channels.max(1)).enumerate() {
            for (c, value) in pixel.iter_mut().enumerate() {
                *value = compute([y, x, c], *value).ok_or(Fault::Plan)?;
            }
        }
    }
    Ok(())
}

/// Convolution: `acc = sum x * w` with the zero point as padding, then requantization, with the
/// residual where there is one.
pub fn conv(args: ConvArgs<'_>) -> Result<(), Fault> {
    let shape = args.shape;
    let [in_h, in_w, in_c] = shape.input;
    let [_, out_w, out_c] = shape.output;
    let group_in = shape.group_channels();
    let weights = args.weights.as_ohwi();
    let group_out = (out_c / shape.groups.max(1)).max(1);
    fill(args.output, shape.output, |[row, ox, oc], current| {
        let oy = args.first_row + row;
        let first = oc / group_out * group_in;
        let mut acc = 0i32;
        for ky in 0..shape.kernel[0] {
            for kx in 0..shape.kernel[1] {
                let (sy, sx) = (shape.strides[0], shape.strides[1]);
                let y = source(oy, sy, ky, shape.dilations[0], shape.pads[0], in_h);
                let x = source(ox, sx, kx, shape.dilations[1], shape.pads[1], in_w);
                let tap = (oc * shape.kernel[0] + ky) * shape.kernel[1] + kx;
                for ic in 0..group_in {
                    let value = match (y, x) {
                        (Some(y), Some(x)) => {
                            element(args.input, (y * in_w + x) * in_c + first + ic)?
                        }
                        _ => shape.input_zero_point,
                    };
                    let weight = element(weights, tap * group_in + ic)?;
                    acc = acc.wrapping_add(i32::from(value) * i32::from(weight));
                }
            }
        }
        let channel = constants(args.channels, oc)?;
        let residual = args.residual.at((row * out_w + ox) * out_c + oc, current)?;
        Some(requantize_residual(acc, residual, channel, args.requantization))
    })
}

/// The classifier, without rounding to int8.
pub fn logits(args: LogitsArgs<'_>) -> Result<(), Fault> {
    for (index, logit) in args.output.iter_mut().enumerate() {
        let mut acc = 0i32;
        for (i, &x) in args.input.iter().enumerate() {
            let weight = element(args.weights, index * args.input.len() + i).ok_or(Fault::Plan)?;
            acc = acc.wrapping_add(i32::from(x) * i32::from(weight));
        }
        let channel = constants(args.channels, index).ok_or(Fault::Plan)?;
        *logit = numerics::logit(acc, channel, args.shift);
    }
    Ok(())
}

/// Calls `visit` with each tap of a window: the input's value, or `None` in the padding.
fn window(
    shape: &PoolShape,
    input: &[i8],
    [oy, ox, c]: [usize; 3],
    mut visit: impl FnMut(Option<i8>),
) -> Option<()> {
    let [in_h, in_w, channels] = shape.input;
    for ky in 0..shape.kernel[0] {
        for kx in 0..shape.kernel[1] {
            let y = source(oy, shape.strides[0], ky, 1, shape.pads[0], in_h);
            let x = source(ox, shape.strides[1], kx, 1, shape.pads[1], in_w);
            visit(match (y, x) {
                (Some(y), Some(x)) => Some(element(input, (y * in_w + x) * channels + c)?),
                _ => None,
            });
        }
    }
    Some(())
}

/// Maximum over the window; padding is ignored.
pub fn max_pool(
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    fill(output, shape.output, |position, _| {
        let mut highest = i8::MIN;
        window(shape, input, position, |value| highest = highest.max(value.unwrap_or(i8::MIN)))?;
        Some(highest.max(clamp.0).min(clamp.1))
    })
}

/// Average over the window, padding counting as real 0: the sum, requantized by `channel`, whose
/// multiplier carries the division by the window's size.
pub fn average_pool(
    shape: &PoolShape,
    channel: Channel,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    fill(output, shape.output, |position, _| {
        let mut acc = 0i32;
        window(shape, input, position, |value| {
            acc = acc.wrapping_add(i32::from(value.unwrap_or(shape.input_zero_point)));
        })?;
        Some(requantize(acc, channel, rq))
    })
}

/// Average over the taps of the window that lie inside the map: their sum, requantized by the constants for
/// as many taps, the first ones being those for one tap.
pub fn average_pool_inside(
    shape: &PoolShape,
    channels: Channels<'_>,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    fill(output, shape.output, |position, _| {
        let (mut acc, mut taps) = (0i32, 0usize);
        window(shape, input, position, |value| {
            acc = acc.wrapping_add(value.map_or(0, i32::from));
            taps += usize::from(value.is_some());
        })?;
        Some(requantize(acc, constants(channels, taps.checked_sub(1)?)?, rq))
    })
}

/// Replaces each element of a tensor by `compute` of its index and of what it holds.
fn each(output: &mut [i8], mut compute: impl FnMut(usize, i8) -> Option<i8>) -> Result<(), Fault> {
    for (index, out) in output.iter_mut().enumerate() {
        *out = compute(index, *out).ok_or(Fault::Plan)?;
    }
    Ok(())
}

/// Sum of two tensors at their own scales.
pub fn add(p: &Addition, a: &[i8], b: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    each(output, |index, _| Some(numerics::add(element(a, index)?, element(b, index)?, p)))
}

/// Sum of two tensors; `output` holds the second and is overwritten.
pub fn add_in_place(p: &Addition, a: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    each(output, |index, b| Some(numerics::add(element(a, index)?, b, p)))
}

/// An activation function by table: one for all channels, or one for each.
pub fn lookup(
    tables: &[[i8; TABLE_ENTRIES]],
    clamp: (i8, i8),
    values: &mut [i8],
) -> Result<(), Fault> {
    each(values, |index, value| {
        let table = tables.get(index.checked_rem(tables.len())?)?;
        Some(numerics::lookup(table, value, clamp))
    })
}

/// Product of two tensors at their own scales.
pub fn multiply(p: &Multiplication, a: &[i8], b: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    each(output, |index, _| Some(numerics::multiply(element(a, index)?, element(b, index)?, p)))
}

/// Product of two tensors; `output` holds the second and is overwritten.
pub fn multiply_in_place(p: &Multiplication, a: &[i8], output: &mut [i8]) -> Result<(), Fault> {
    each(output, |index, b| Some(numerics::multiply(element(a, index)?, b, p)))
}

/// `output[p][first + c] = requantize(input[p][c] * weights[c])` for each pixel `p`.
pub fn concat(args: ConcatArgs<'_>) -> Result<(), Fault> {
    let ConcatArgs { input, first, total, weights, channels, requantization, output } = args;
    fill(output, [1, 1, total], |[pixel, _, c], current| {
        let Some(c) = c.checked_sub(first).filter(|&c| c < weights.len()) else {
            return Some(current);
        };
        let value = element(input, pixel * weights.len() + c)?;
        let product = i32::from(value) * i32::from(element(weights, c)?);
        Some(requantize(product, constants(channels, c)?, requantization))
    })
}

/// `output[y][x][c] = input[y * stride_h][x * stride_w][c - channels_before]`, and the zero point
/// where there is no such channel.
pub fn subsample(args: SubsampleArgs<'_>) -> Result<(), Fault> {
    let SubsampleArgs { strides, channels_before, from, to, input, output } = args;
    fill(output, to.shape(), |[y, x, c], _| {
        let pixel = y * strides[0] * from.width + x * strides[1];
        match c.checked_sub(channels_before).filter(|&c| c < from.channels) {
            Some(c) => element(input, pixel * from.channels + c),
            None => Some(from.zero_point),
        }
    })
}
