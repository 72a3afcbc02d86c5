//! The driver of depthwise convolutions: rows of pixels, whose channels the assembly computes four at a time.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Epilogue;
use crate::kernels::cortex_m::depthwise::{LANES, form};
use crate::kernels::depthwise::{Plan, Rows};
use crate::kernels::divide::buffer;
use crate::kernels::{ConvArgs, ConvShape};
use crate::numerics::{self, Requantization};

/// The arguments of a row of pixels, in the order of its frame.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct DepthwiseCall {
    from: *const i8,
    pixel_bytes: usize,
    output: *mut i8,
    /// From the last of the channels that are computed to the first of the next pixel.
    skipped: usize,
    pixels: usize,
    offsets: *const usize,
    offsets_end: *const usize,
    weights: *const u8,
    bias: *const i32,
    bias_end: *const i32,
    /// From a bias that was read to its multiplier.
    multipliers: usize,
    shift: u32,
    offset: i32,
    fraction_bits: u32,
    residual_multiplier: i32,
}

/// The function of one kind of processor.
///
/// # Safety
/// It reads and writes what its call's pointers say, keeps the registers that a procedure call keeps, and uses
/// less than 1 KiB of stack; holders of a token may call it.
pub(super) unsafe trait DepthwiseIsa: Copy {
    const RUN: unsafe extern "C" fn(&DepthwiseCall);
    /// A weight as it is read, and where those of four channels lie.
    type Weight: From<i8> + FromBytes + IntoBytes + KnownLayout + Immutable + 'static;
    const ORDER: [usize; LANES];
}

/// Runs the convolution. `None` if a slice is too short.
pub(super) fn conv<I: DepthwiseIsa>(_isa: I, mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let plan = Plan::new(form(size_of::<I::Weight>()), shape);
    let weights: &mut [I::Weight] = buffer(&mut args.scratch, plan.weights_bytes())?;
    let mut rows = Rows::new(plan, shape, &mut args.scratch)?;
    let ohwi = args.weights.as_ohwi().get(..plan.taps * shape.output[2])?;
    transpose(ohwi, plan.taps, I::ORDER, weights);
    let epilogue = Epilogue::begin(&mut args)?;
    let row = shape.output[1] * shape.output[2];
    let copy = |to: &mut [i8], from: &[i8]| {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    };
    rows.each(&mut args, copy, |args, from, offsets, [first, count]| {
        let outputs = args.output.chunks_exact_mut(row.max(1)).skip(first).take(count);
        for (y, output) in outputs.enumerate() {
            let from = from.get(y * shape.strides[0] * plan.pitch..)?;
            let line = Line { shape, from, offsets, epilogue };
            line.quads::<I>(weights, output)?;
            line.rest(ohwi, output)?;
        }
        Some(())
    })?;
    epilogue.end(args.output);
    Some(())
}

/// `[channel][tap]` to `[four channels][tap][channel]`, filled up with zeros.
fn transpose<T: From<i8>>(ohwi: &[i8], taps: usize, order: [usize; LANES], to: &mut [T]) {
    let quads = to.chunks_exact_mut((taps * LANES).max(1));
    for (quad, to) in quads.enumerate() {
        for (tap, to) in to.chunks_exact_mut(LANES).enumerate() {
            for (to, lane) in to.iter_mut().zip(order) {
                // There are no weights of the lanes behind the last channel.
                let weight = ohwi.get((quad * LANES + lane) * taps + tap);
                *to = weight.copied().unwrap_or_default().into();
            }
        }
    }
}

/// A row of the output.
struct Line<'v> {
    shape: &'v ConvShape,
    /// The input, from the first pixel's window on.
    from: &'v [i8],
    offsets: &'v [usize],
    epilogue: Epilogue<'v>,
}

impl Line<'_> {
    /// Channels in whole quads.
    #[inline(never)]
    fn quads<I: DepthwiseIsa>(&self, weights: &[I::Weight], output: &mut [i8]) -> Option<()> {
        let [_, pixels, channels] = self.shape.output;
        let (computed, pixel_bytes) = (channels / LANES * LANES, self.shape.strides[1] * channels);
        let Requantization { shift, offset, fraction_bits, .. } = *self.epilogue.requantization;
        let bias = self.epilogue.channels.bias.get(..computed)?;
        let multipliers = self.epilogue.channels.multipliers.get(..computed)?;
        let farthest = self.offsets.iter().max()? + pixels.checked_sub(1)? * pixel_bytes + computed;
        let kept = self.from.len() >= farthest
            && output.len() >= pixels * channels
            && weights.len() >= self.offsets.len() * computed;
        if computed == 0 || !kept {
            return kept.then_some(());
        }
        let (offsets, bias) = (self.offsets.as_ptr_range(), bias.as_ptr_range());
        let call = DepthwiseCall {
            from: self.from.as_ptr(),
            pixel_bytes,
            output: output.as_mut_ptr(),
            skipped: channels - computed,
            pixels,
            offsets: offsets.start,
            offsets_end: offsets.end,
            weights: weights.as_ptr().cast(),
            bias: bias.start,
            bias_end: bias.end,
            multipliers: multipliers.as_ptr().addr().wrapping_sub(bias.start.addr()),
            shift,
            offset,
            fraction_bits,
            residual_multiplier: self.epilogue.residual_multiplier,
        };
        // SAFETY: for each of `pixels` and each of `computed` channels, whole quads of them, the input is readable
        // at all offsets, of which there is one at least, and the output writable; so many constants and weights
        // are readable, which are aligned to words.
        unsafe { (I::RUN)(&call) }
        Some(())
    }

    /// Channels behind the last quad.
    #[inline(never)]
    fn rest(&self, ohwi: &[i8], output: &mut [i8]) -> Option<()> {
        let [_, _, channels] = self.shape.output;
        let (first, taps) = (channels / LANES * LANES, self.offsets.len());
        if first == channels {
            return Some(());
        }
        let Epilogue { channels: constants, requantization, residual_multiplier } = self.epilogue;
        let rq =
            Requantization { residual_multiplier, clamp: (i8::MIN, i8::MAX), ..*requantization };
        for (x, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
            let from = self.from.get(x * self.shape.strides[1] * channels..)?;
            let constants = constants.part(first..channels)?;
            let outputs = pixel.iter_mut().skip(first).zip(constants.iter());
            for (channel, (output, constants)) in (first..channels).zip(outputs) {
                let weights = ohwi.get(channel * taps..)?;
                let mut sum = 0i32;
                for (offset, &weight) in self.offsets.iter().zip(weights) {
                    let value = *from.get(offset + channel)?;
                    sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
                }
                *output = numerics::requantize_residual(sum, *output, constants, &rq);
            }
        }
        Some(())
    }
}
