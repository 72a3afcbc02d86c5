//! Tables, products, concatenations and strided copies: sixteen values at a time.

use core::arch::aarch64::{
    int8x16_t, int8x16x4_t, int16x8_t, vaddq_s32, vaddw_high_s16, vaddw_s16, vdupq_n_s8,
    vdupq_n_u8, veorq_u8, vget_low_s8, vget_low_s16, vld1q_s8, vld1q_s8_x4, vmaxq_s8, vminq_s8,
    vmull_high_s8, vmull_high_s16, vmull_s8, vmull_s16, vqtbl4q_s8, vqtbx4q_s8,
    vreinterpretq_u8_s8, vst1q_s8, vsubl_high_s8, vsubl_s8, vsubq_u8,
};

use super::Neon;
use super::copy::copy;
use super::requantize_block::{Constants, Requantizer, Sums};
use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::portable::generic;
use crate::kernels::winograd4::BLOCK;
use crate::kernels::{ConcatArgs, Residual, SubsampleArgs};
use crate::numerics::{self, Multiplication, TABLE_ENTRIES};

/// Entries that four registers hold.
const QUARTER: usize = TABLE_ENTRIES / 4;

/// See [`crate::kernels::portable::reference::lookup`].
pub fn lookup_neon(
    _token: Neon,
    tables: &[[i8; TABLE_ENTRIES]],
    clamp: (i8, i8),
    values: &mut [i8],
) -> Result<(), Fault> {
    // Registers hold one table.
    let [table] = tables else { return generic::lookup(tables, clamp, values) };
    // SAFETY: the token proves that the CPU has NEON.
    unsafe { look_up(table, clamp, values) };
    Ok(())
}

#[target_feature(enable = "neon")]
fn look_up(table: &[i8; TABLE_ENTRIES], clamp: (i8, i8), values: &mut [i8]) {
    let (low, high) = (vdupq_n_s8(clamp.0), vdupq_n_s8(clamp.1));
    let quarter = |n: usize| {
        // SAFETY: `n` is less than four, and four quarters make up the table.
        let int8x16x4_t(a, b, c, d) = unsafe { vld1q_s8_x4(table.as_ptr().add(n * QUARTER)) };
        let [a, b, c, d] = [a, b, c, d].map(|part| vminq_s8(vmaxq_s8(part, low), high));
        int8x16x4_t(a, b, c, d)
    };
    let quarters = [quarter(0), quarter(1), quarter(2), quarter(3)];
    // The table begins with the entry of -128. What is behind a quarter finds 0, or leaves what was found.
    let (first, step) = (vdupq_n_u8(0x80), vdupq_n_u8(QUARTER as u8));
    let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
    for block in blocks {
        // SAFETY: a block is sixteen readable bytes.
        let mut index = veorq_u8(vreinterpretq_u8_s8(unsafe { vld1q_s8(block.as_ptr()) }), first);
        let mut found = vqtbl4q_s8(quarters[0], index);
        for quarter in &quarters[1..] {
            index = vsubq_u8(index, step);
            found = vqtbx4q_s8(found, *quarter, index);
        }
        // SAFETY: and as many writable ones.
        unsafe { vst1q_s8(block.as_mut_ptr(), found) };
    }
    for value in rest {
        *value = numerics::lookup(table, *value, clamp);
    }
}

/// See [`crate::kernels::portable::reference::multiply`].
pub fn multiply_neon(
    _token: Neon,
    p: &Multiplication,
    a: &[i8],
    b: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    if a.len() != output.len() || b.len() != output.len() {
        return Err(Fault::Plan);
    }
    let (blocks, rest) = output.as_chunks_mut::<BLOCK>();
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b.as_chunks());
    // SAFETY: the token proves that the CPU has NEON.
    unsafe {
        let product = Product::new(p).ok_or(Fault::Plan)?;
        for (to, (a, b)) in blocks.iter_mut().zip(a.iter().zip(b)) {
            *to = product.of(a, b);
        }
    }
    for (to, (&a, &b)) in rest.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *to = numerics::multiply(a, b, p);
    }
    Ok(())
}

/// See [`crate::kernels::portable::reference::multiply_in_place`].
pub fn multiply_in_place_neon(
    _token: Neon,
    p: &Multiplication,
    a: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    if a.len() != output.len() {
        return Err(Fault::Plan);
    }
    let (blocks, rest) = output.as_chunks_mut::<BLOCK>();
    let (a, a_rest) = a.as_chunks();
    // SAFETY: the token proves that the CPU has NEON.
    unsafe {
        let product = Product::new(p).ok_or(Fault::Plan)?;
        for (to, a) in blocks.iter_mut().zip(a) {
            *to = product.of(a, to);
        }
    }
    for (to, &a) in rest.iter_mut().zip(a_rest) {
        *to = numerics::multiply(a, *to, p);
    }
    Ok(())
}

/// [`numerics::multiply`] of sixteen values.
struct Product {
    zero_points: (int8x16_t, int8x16_t),
    requantizer: Requantizer<'static>,
}

impl Product {
    #[target_feature(enable = "neon")]
    #[inline]
    fn new(p: &Multiplication) -> Option<Self> {
        let (bias, multipliers) = ([p.channel.bias; BLOCK], [p.channel.multiplier; BLOCK]);
        let channels = Channels { bias: &bias, multipliers: &multipliers };
        Some(Self {
            zero_points: (vdupq_n_s8(p.zero_points.0), vdupq_n_s8(p.zero_points.1)),
            requantizer: Requantizer::new(channels, &p.requantization, Residual::None)?,
        })
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn of(&self, a: &[i8; BLOCK], b: &[i8; BLOCK]) -> [i8; BLOCK] {
        // SAFETY: both are sixteen readable bytes.
        let (a, b) = unsafe { (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr())) };
        let (a, b) = (from_zero(a, self.zero_points.0), from_zero(b, self.zero_points.1));
        let product = |half: usize| {
            [
                vmull_s16(vget_low_s16(a[half]), vget_low_s16(b[half])),
                vmull_high_s16(a[half], b[half]),
            ]
        };
        let ([p, q], [r, s]) = (product(0), product(1));
        let bias = self.requantizer.bias;
        let sums: Sums = [
            vaddq_s32(p, bias[0]),
            vaddq_s32(q, bias[1]),
            vaddq_s32(r, bias[2]),
            vaddq_s32(s, bias[3]),
        ];
        let mut to = [0; BLOCK];
        // SAFETY: `to` is sixteen writable bytes.
        unsafe { vst1q_s8(to.as_mut_ptr(), self.requantizer.any_bytes(sums)) };
        to
    }
}

/// Distances from a zero point.
#[target_feature(enable = "neon")]
#[inline]
fn from_zero(values: int8x16_t, zero: int8x16_t) -> [int16x8_t; 2] {
    [vsubl_s8(vget_low_s8(values), vget_low_s8(zero)), vsubl_high_s8(values, zero)]
}

/// See [`crate::kernels::portable::reference::concat`].
pub fn concat_neon(_token: Neon, args: ConcatArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has NEON.
    unsafe { concat(args) }.ok_or(Fault::Plan)
}

#[target_feature(enable = "neon")]
fn concat(args: ConcatArgs<'_>) -> Option<()> {
    let ConcatArgs { input, first, total, weights, channels, requantization, output } = args;
    let own = weights.len();
    let pixels = output.len().checked_div(total)?;
    let input = input.get(..pixels.checked_mul(own)?)?;
    for block in (0..own).step_by(BLOCK) {
        let count = BLOCK.min(own - block);
        let constants = Constants::new(channels, block)?;
        let rq = Requantizer::new(constants.channels(), requantization, Residual::None)?
            .with_channels(count);
        let factors = some(weights.get(block..)?, count)?;
        for pixel in 0..pixels {
            let values = some(input.get(pixel * own + block..)?, count)?;
            let low = vmull_s8(vget_low_s8(values), vget_low_s8(factors));
            let high = vmull_high_s8(values, factors);
            let sums = [
                vaddw_s16(rq.bias[0], vget_low_s16(low)),
                vaddw_high_s16(rq.bias[1], low),
                vaddw_s16(rq.bias[2], vget_low_s16(high)),
                vaddw_high_s16(rq.bias[3], high),
            ];
            rq.store(sums, pixel * total + first + block, output)?;
        }
    }
    Some(())
}

/// A block of values, of which the first `count` matter; `None` if there are not as many.
#[target_feature(enable = "neon")]
#[inline]
fn some(from: &[i8], count: usize) -> Option<int8x16_t> {
    let mut part = [0; BLOCK];
    let values = match from.first_chunk() {
        Some(values) => values,
        None => {
            part.iter_mut().zip(from.get(..count)?).for_each(|(to, &from)| *to = from);
            &part
        }
    };
    // SAFETY: these are sixteen readable bytes.
    Some(unsafe { vld1q_s8(values.as_ptr()) })
}

/// See [`crate::kernels::portable::reference::subsample`].
pub fn subsample_neon(token: Neon, args: SubsampleArgs<'_>) -> Result<(), Fault> {
    subsample(token, args).ok_or(Fault::Plan)
}

fn subsample(token: Neon, args: SubsampleArgs<'_>) -> Option<()> {
    let SubsampleArgs { strides, channels_before, from, to, input, output } = args;
    let lines = output.chunks_exact_mut((to.width * to.channels).max(1));
    for (y, line) in lines.enumerate() {
        let row = y * strides[0] * from.width;
        for (x, pixel) in line.chunks_exact_mut(to.channels.max(1)).enumerate() {
            let source = input.get((row + x * strides[1]) * from.channels..)?;
            let (before, rest) = pixel.split_at_mut_checked(channels_before)?;
            let (copied, behind) = rest.split_at_mut_checked(from.channels)?;
            before.fill(from.zero_point);
            behind.fill(from.zero_point);
            copy(token, copied, source.get(..from.channels)?);
        }
    }
    Some(())
}
