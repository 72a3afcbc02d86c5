//! Depthwise convolutions, sixteen channels of a pixel at a time: the products of two taps are added in 16
//! bits, these sums in 32.
//!
//! Two products of bytes fit 16 bits where no weight is -128: 2 * 127 * 128 < 2^15. Weights with a -128 among
//! them, which fixnet's quantizer never makes, are multiplied one tap at a time.

use core::arch::aarch64::{
    int8x16_t, int16x8_t, int32x4_t, vaddw_high_s16, vaddw_s16, vdupq_n_s16, vget_low_s8,
    vget_low_s16, vld1q_s8, vmlal_high_s8, vmlal_s8, vmull_high_s8, vmull_s8, vst1q_s8,
};
use core::arch::asm;

use super::Neon;
use super::copy::copy;
use super::requantize_block::{Constants, Requantizer, Sums};
use crate::error::Fault;
use crate::kernels::aarch64::depthwise;
use crate::kernels::depthwise::Rows;
use crate::kernels::divide::buffer;
use crate::kernels::winograd4::BLOCK;
use crate::kernels::{ConvArgs, ConvShape};

/// Some rows of the output.
struct Job<'v> {
    /// The input, from the first pixel's window on.
    from: &'v [i8],
    /// What is added to where a window begins, for each tap.
    offsets: &'v [usize],
    /// A block of channels in front, and from one tap to the next.
    weights: &'v [i8],
    padded: usize,
    /// Rows and pixels of the output, and from one of them to the next in the input.
    extents: [usize; 2],
    steps: [usize; 2],
    /// Where the first output lies, and from one pixel to the next.
    at: usize,
    channels: usize,
}

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_depthwise_neon(token: Neon, args: ConvArgs<'_>) -> Result<(), Fault> {
    run(token, args).ok_or(Fault::Plan)
}

fn run(token: Neon, mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let plan = depthwise::plan(shape);
    let weights: &mut [i8] = buffer(&mut args.scratch, plan.weights_bytes())?;
    let mut rows = Rows::new(plan, shape, &mut args.scratch)?;
    let symmetric = transpose(args.weights.as_ohwi(), plan.taps, plan.padded, weights)?;
    let ConvShape { output: [_, out_w, channels], strides, .. } = *shape;
    let copy = |to: &mut [i8], from: &[i8]| copy(token, to, from);
    rows.each(&mut args, copy, |args, from, offsets, [first, count]| {
        for block in (0..plan.padded).step_by(BLOCK) {
            let constants = Constants::new(args.channels, block)?;
            let job = Job {
                from: from.get(block..)?,
                offsets,
                weights: weights.get(block..)?,
                padded: plan.padded,
                extents: [count, out_w],
                steps: [strides[0] * plan.pitch, strides[1] * channels],
                at: first * out_w * channels + block,
                channels,
            };
            // SAFETY: the token proves that the CPU has NEON.
            unsafe {
                let rq =
                    Requantizer::new(constants.channels(), args.requantization, args.residual)?
                        .with_channels((channels - block).min(BLOCK));
                compute(&job, &rq, channels - block >= BLOCK, symmetric, args.output)?;
            }
        }
        Some(())
    })
}

/// `[channel][tap]` to `[tap][channel]`; whether no weight is -128.
fn transpose(ohwi: &[i8], taps: usize, padded: usize, to: &mut [i8]) -> Option<bool> {
    let mut lowest = 0;
    for (tap, to) in to.chunks_exact_mut(padded.max(1)).take(taps).enumerate() {
        let from = ohwi.get(tap..)?.iter().step_by(taps.max(1));
        let mut channels = to.iter_mut();
        for (to, &weight) in channels.by_ref().zip(from) {
            lowest = weight.min(lowest);
            *to = weight;
        }
        channels.for_each(|to| *to = 0);
    }
    Some(lowest != i8::MIN)
}

/// A block of channels, which may be `whole`.
#[target_feature(enable = "neon")]
fn compute(
    job: &Job<'_>,
    rq: &Requantizer<'_>,
    whole: bool,
    symmetric: bool,
    output: &mut [i8],
) -> Option<()> {
    let [rows, columns] = job.extents;
    let pixels = rows * columns;
    let last: usize = (0..2).map(|axis| (job.extents[axis] - 1) * job.steps[axis]).sum();
    let farthest = job.offsets.iter().max()? + last + BLOCK;
    let weights = (job.offsets.len() - 1) * job.padded + BLOCK;
    if job.from.len() < farthest || job.weights.len() < weights {
        return None;
    }
    // SAFETY: no window of these extents ends behind `farthest`, there are weights for every tap, and the
    // functions of whole blocks are called where the outputs are as long.
    unsafe {
        if let Some(zero_point) = rq.usual_zero_point().filter(|_| whole && symmetric) {
            let len = (pixels - 1) * job.channels + BLOCK;
            let outputs = output.get_mut(job.at..)?.get_mut(..len)?;
            match job.offsets.len() {
                1 => return whole_blocks::<1>(job, rq, zero_point, outputs, one_tap),
                9 => return whole_blocks::<9>(job, rq, zero_point, outputs, nine_taps),
                _ => {}
            }
        }
        any_taps(job, rq, symmetric, output)
    }
}

/// So many taps, whose weights stay in registers.
///
/// # Safety
/// There are so many taps, with a block of readable weights each; a block is readable at every offset from every
/// pixel, and writable for every pixel. `sums` reads no more than that.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn whole_blocks<const TAPS: usize>(
    job: &Job<'_>,
    rq: &Requantizer<'_>,
    zero_point: i16,
    outputs: &mut [i8],
    sums: unsafe fn(&Sums, *const i8, &[usize; TAPS], &[int8x16_t; TAPS]) -> Sums,
) -> Option<()> {
    let mut offsets = [0; TAPS];
    offsets.iter_mut().zip(job.offsets).for_each(|(to, &from)| *to = from);
    let weights: [int8x16_t; TAPS] = core::array::from_fn(|tap| {
        // SAFETY: a block of weights is readable for each of the taps.
        unsafe { vld1q_s8(job.weights.as_ptr().add(tap * job.padded)) }
    });
    let (rq, zero_point) = (*rq, vdupq_n_s16(zero_point));
    let mut to = outputs.as_mut_ptr();
    for y in 0..job.extents[0] {
        let mut from = job.from.as_ptr().wrapping_add(y * job.steps[0]);
        for _ in 0..job.extents[1] {
            // SAFETY: a block is readable at every offset from here, and writable there.
            unsafe {
                let sums = sums(&rq.bias, from, &offsets, &weights);
                vst1q_s8(to, rq.usual_bytes(sums, rq.halves, zero_point));
            }
            from = from.wrapping_add(job.steps[1]);
            to = to.wrapping_add(job.channels);
        }
    }
    Some(())
}

/// See [`whole_blocks`].
#[inline(always)]
unsafe fn one_tap(
    bias: &Sums,
    from: *const i8,
    offsets: &[usize; 1],
    weights: &[int8x16_t; 1],
) -> Sums {
    // SAFETY: the caller sees to it.
    unsafe { single(*bias, vld1q_s8(from.add(offsets[0])), weights[0]) }
}

/// See [`whole_blocks`]. As assembly, since offsets would become pointers of their own, which nothing keeps in
/// registers, and halves of weights vectors of their own.
#[inline(always)]
unsafe fn nine_taps(
    bias: &Sums,
    from: *const i8,
    offsets: &[usize; 9],
    weights: &[int8x16_t; 9],
) -> Sums {
    macro_rules! pair {
        ($first:literal $second:literal $from:literal) => {
            concat!(
                "ldr {x:q}, [{from}, {o",
                $first,
                "}]\n",
                "ldr {y:q}, [{from}, {o",
                $second,
                "}]\n",
                "smull {l:v}.8h, {x:v}.8b, {w",
                $first,
                ":v}.8b\n",
                "smull2 {h:v}.8h, {x:v}.16b, {w",
                $first,
                ":v}.16b\n",
                "smlal {l:v}.8h, {y:v}.8b, {w",
                $second,
                ":v}.8b\n",
                "smlal2 {h:v}.8h, {y:v}.16b, {w",
                $second,
                ":v}.16b\n",
                add!($from)
            )
        };
    }
    macro_rules! add {
        ($from:literal) => {
            concat!(
                "saddw {s0:v}.4s, {",
                $from,
                "0:v}.4s, {l:v}.4h\n",
                "saddw2 {s1:v}.4s, {",
                $from,
                "1:v}.4s, {l:v}.8h\n",
                "saddw {s2:v}.4s, {",
                $from,
                "2:v}.4s, {h:v}.4h\n",
                "saddw2 {s3:v}.4s, {",
                $from,
                "3:v}.4s, {h:v}.8h\n",
            )
        };
    }
    let (s0, s1, s2, s3): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
    // SAFETY: the caller sees to it that sixteen bytes are readable at every offset; nothing is written.
    unsafe {
        asm!(
            pair!("0" "1" "b"),
            pair!("2" "3" "s"),
            pair!("4" "5" "s"),
            pair!("6" "7" "s"),
            "ldr {x:q}, [{from}, {o8}]",
            "smull {l:v}.8h, {x:v}.8b, {w8:v}.8b",
            "smull2 {h:v}.8h, {x:v}.16b, {w8:v}.16b",
            add!("s"),
            from = in(reg) from,
            o0 = in(reg) offsets[0], o1 = in(reg) offsets[1], o2 = in(reg) offsets[2],
            o3 = in(reg) offsets[3], o4 = in(reg) offsets[4], o5 = in(reg) offsets[5],
            o6 = in(reg) offsets[6], o7 = in(reg) offsets[7], o8 = in(reg) offsets[8],
            w0 = in(vreg) weights[0], w1 = in(vreg) weights[1], w2 = in(vreg) weights[2],
            w3 = in(vreg) weights[3], w4 = in(vreg) weights[4], w5 = in(vreg) weights[5],
            w6 = in(vreg) weights[6], w7 = in(vreg) weights[7], w8 = in(vreg) weights[8],
            b0 = in(vreg) bias[0], b1 = in(vreg) bias[1], b2 = in(vreg) bias[2], b3 = in(vreg) bias[3],
            x = out(vreg) _, y = out(vreg) _, l = out(vreg) _, h = out(vreg) _,
            s0 = out(vreg) s0, s1 = out(vreg) s1, s2 = out(vreg) s2, s3 = out(vreg) s3,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [s0, s1, s2, s3]
}

/// As many taps as there are; if `symmetric`, no weight is -128.
///
/// # Safety
/// A block is readable at every offset from every pixel, and a block of weights for every tap.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn any_taps(
    job: &Job<'_>,
    rq: &Requantizer<'_>,
    symmetric: bool,
    output: &mut [i8],
) -> Option<()> {
    let mut at = job.at;
    for y in 0..job.extents[0] {
        for x in 0..job.extents[1] {
            let from = job.from.as_ptr().wrapping_add(y * job.steps[0] + x * job.steps[1]);
            let (mut sums, mut weights) = (rq.bias, job.weights.as_ptr());
            // SAFETY: a block is readable at every offset, and a block of weights for every tap.
            unsafe {
                let (pairs, rest) = job.offsets.as_chunks::<2>();
                for &[first, second] in pairs {
                    let values = [vld1q_s8(from.add(first)), vld1q_s8(from.add(second))];
                    let taps = [vld1q_s8(weights), vld1q_s8(weights.add(job.padded))];
                    sums = if symmetric {
                        pair(sums, values, taps)
                    } else {
                        single(single(sums, values[0], taps[0]), values[1], taps[1])
                    };
                    weights = weights.wrapping_add(2 * job.padded);
                }
                for &offset in rest {
                    sums = single(sums, vld1q_s8(from.add(offset)), vld1q_s8(weights));
                }
            }
            rq.store_called(sums, at, output)?;
            at += job.channels;
        }
    }
    Some(())
}

/// Two taps, of which no weight is -128.
#[target_feature(enable = "neon")]
#[inline]
fn pair(sums: Sums, values: [int8x16_t; 2], weights: [int8x16_t; 2]) -> Sums {
    let low = vmull_s8(vget_low_s8(values[0]), vget_low_s8(weights[0]));
    let low = vmlal_s8(low, vget_low_s8(values[1]), vget_low_s8(weights[1]));
    let high = vmull_high_s8(values[0], weights[0]);
    let high = vmlal_high_s8(high, values[1], weights[1]);
    add(sums, low, high)
}

#[target_feature(enable = "neon")]
#[inline]
fn single(sums: Sums, values: int8x16_t, weights: int8x16_t) -> Sums {
    let low = vmull_s8(vget_low_s8(values), vget_low_s8(weights));
    add(sums, low, vmull_high_s8(values, weights))
}

#[target_feature(enable = "neon")]
#[inline]
fn add([a, b, c, d]: Sums, low: int16x8_t, high: int16x8_t) -> Sums {
    [
        vaddw_s16(a, vget_low_s16(low)),
        vaddw_high_s16(b, low),
        vaddw_s16(c, vget_low_s16(high)),
        vaddw_high_s16(d, high),
    ]
}
