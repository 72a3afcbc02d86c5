//! The one definition of rounding: every kernel on every target computes these formulas, bit for bit.
//!
//! What may not be broken: all arithmetic here is on integers and wraps, rounding happens exactly
//! once, and no intermediate is wider than the 64-bit product of [`fixed_point`]. A kernel may
//! reorder the accumulation (it is exact) but nothing from [`fixed_point`] on. `docs/numerics.md`
//! gives each formula with widths, bounds and the instructions that implement it.

/// Fewest and most fraction bits of [`Requantization::fraction_bits`].
pub const FRACTION_BITS: core::ops::RangeInclusive<u32> = 1..=16;

/// Largest left shift of an accumulator: [`Requantization::shift`].
pub const MAX_SHIFT: u32 = 30;

/// Fewest fraction bits of a step with a residual, whose multiplier they round: the bound of
/// [`requantize_residual`] needs them.
pub const RESIDUAL_FRACTION_BITS: u32 = 14;

/// Fraction bits of the sum in a plain [`add`] of two int8 inputs.
pub const ADD_FRACTION_BITS: u32 = 18;

/// Largest `multiplier` of a residual or of an [`add`] operand: 22 bits, so that AVX2 can form the
/// product exactly as one `vpmaddwd` of 16-bit halves.
pub const MAX_OPERAND_MULTIPLIER: i32 = (1 << 22) - 1;

/// How one step turns accumulators into int8; the per-channel part is [`Channel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requantization {
    /// Left shift of the accumulator before it is multiplied, at most [`MAX_SHIFT`].
    pub shift: u32,
    /// Fraction bits of the fixed-point form in which offset and residual are added to the scaled
    /// accumulator, within [`FRACTION_BITS`].
    pub fraction_bits: u32,
    /// In fixed point: the output's zero point, plus one half for rounding, minus the residual's
    /// zero point times its multiplier.
    pub offset: i32,
    /// Multiplier of the int8 residual input in fixed point; 0 without one.
    pub residual_multiplier: i32,
    /// Lowest and highest output: the activation function and the range of int8 in one clamp.
    pub clamp: (i8, i8),
}

/// The per-channel constants of a convolution or a Gemm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Bias in units of `input_scale * weight_scale`, with `-zero_point * sum(weights)` folded in.
    pub bias: i32,
    /// Even, 0 to `i32::MAX - 1`: the real factor is
    /// `multiplier * 2^(shift - 32 - fraction_bits)` output steps per unit of the accumulator.
    pub multiplier: i32,
}

/// `floor(((acc + bias) << shift) * multiplier / 2^32)`: the accumulator in output steps, in
/// fixed point.
///
/// `SMMUL` on Cortex-M4, `SQDMULH` with half the multiplier on AArch64, the high word of
/// `vpmuldq` on AVX2. The sum and the shift wrap; the quantizer proves that they never do.
#[inline(always)]
#[must_use]
pub const fn fixed_point(acc: i32, channel: Channel, shift: u32) -> i32 {
    let shifted = acc.wrapping_add(channel.bias).wrapping_shl(shift);
    ((shifted as i64 * channel.multiplier as i64) >> 32) as i32
}

/// Adds the offset, rounds once (half up) and clamps: fixed point to int8.
#[inline(always)]
#[must_use]
pub const fn round_to_int8(fixed: i32, rq: &Requantization) -> i8 {
    clamp(fixed.wrapping_add(rq.offset).wrapping_shr(rq.fraction_bits), rq.clamp)
}

/// Accumulator to int8.
///
/// Because nested floors compose, the result is
/// `clamp(zero_point + floor((acc + bias) * real_factor + 1/2))` for the exact rational
/// `real_factor` of the channel: one rounding, ties towards positive infinity.
#[inline(always)]
#[must_use]
pub const fn requantize(acc: i32, channel: Channel, rq: &Requantization) -> i8 {
    round_to_int8(fixed_point(acc, channel, rq.shift), rq)
}

/// Accumulator plus int8 residual to int8, rounded once; at most 0.51 of a step from real
/// arithmetic with [`RESIDUAL_FRACTION_BITS`] or more: `residual` deviates at most 255 steps from
/// its zero point, each of which costs at most `2^-15` of an output step.
#[inline(always)]
#[must_use]
pub const fn requantize_residual(
    acc: i32,
    residual: i8,
    channel: Channel,
    rq: &Requantization,
) -> i8 {
    let shortcut = (residual as i32).wrapping_mul(rq.residual_multiplier);
    round_to_int8(fixed_point(acc, channel, rq.shift).wrapping_add(shortcut), rq)
}

/// Accumulator to logit: [`fixed_point`] itself, not rounded to int8.
#[inline(always)]
#[must_use]
pub const fn logit(acc: i32, channel: Channel, shift: u32) -> i32 {
    fixed_point(acc, channel, shift)
}

/// Constants of a plain addition of two int8 tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// Multipliers of the two operands, with [`ADD_FRACTION_BITS`] fraction bits.
    pub multipliers: (i32, i32),
    /// Output zero point and rounding half with [`ADD_FRACTION_BITS`] fraction bits, minus each
    /// operand's zero point times its multiplier.
    pub offset: i32,
    /// Lowest and highest output.
    pub clamp: (i8, i8),
}

/// Sum of two int8 values at their own scales, rounded once (half up) and clamped.
#[inline(always)]
#[must_use]
pub const fn add(a: i8, b: i8, p: &Addition) -> i8 {
    let sum = (a as i32)
        .wrapping_mul(p.multipliers.0)
        .wrapping_add((b as i32).wrapping_mul(p.multipliers.1))
        .wrapping_add(p.offset);
    clamp(sum >> ADD_FRACTION_BITS, p.clamp)
}

/// Constants of an elementwise product of two int8 tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplication {
    /// Zero points of the two operands.
    pub zero_points: (i8, i8),
    /// How the product of the two distances from zero, at most 2^16 in magnitude, becomes int8; its bias is
    /// added to that product.
    pub channel: Channel,
    pub requantization: Requantization,
}

/// Product of two int8 values at their own scales, rounded once (half up) and clamped.
#[inline(always)]
#[must_use]
pub const fn multiply(a: i8, b: i8, p: &Multiplication) -> i8 {
    let (a, b) = (a as i32 - p.zero_points.0 as i32, b as i32 - p.zero_points.1 as i32);
    requantize(a.wrapping_mul(b), p.channel, &p.requantization)
}

/// Entries of a [`lookup`] table, from that of -128 on.
pub const TABLE_ENTRIES: usize = 256;

/// An activation function by table: the entry of `value`, clamped.
#[inline(always)]
#[must_use]
pub const fn lookup(table: &[i8; TABLE_ENTRIES], value: i8, bounds: (i8, i8)) -> i8 {
    clamp(table[(value as u8 ^ 0x80) as usize] as i32, bounds)
}

#[inline(always)]
const fn clamp(value: i32, (low, high): (i8, i8)) -> i8 {
    if value < low as i32 {
        low
    } else if value > high as i32 {
        high
    } else {
        value as i8
    }
}
