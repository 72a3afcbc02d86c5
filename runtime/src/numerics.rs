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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same in exact integers: `zero_point + floor((acc + bias) * m * 2^shift / 2^46 + 1/2)`.
    fn exact(acc: i64, bias: i64, multiplier: i64, shift: u32, zero_point: i64) -> i64 {
        let scaled = (i128::from(acc + bias) * i128::from(multiplier)) << shift;
        zero_point + ((scaled + (1 << 45)) >> 46) as i64
    }

    proptest! {
        #[test]
        fn requantize_is_one_rounding(
            acc in -(1i32 << 24)..1 << 24, bias in -(1i32 << 20)..1 << 20,
            half in 0i32..1 << 30, shift in 0u32..5, zero_point in -128i32..128,
        ) {
            let rq = Requantization {
                shift,
                fraction_bits: 14,
                offset: (zero_point << 14) + (1 << 13),
                residual_multiplier: 0,
                clamp: (-128, 127),
            };
            // Stay inside the bound that the quantizer proves: fixed point fits an i32.
            let multiplier = half.min((1 << 30) >> (shift + 4)) * 2;
            let want = exact(acc.into(), bias.into(), multiplier.into(), shift, zero_point.into());
            let got = requantize(acc, Channel { bias, multiplier }, &rq);
            prop_assert_eq!(i64::from(got), want.clamp(-128, 127));
        }

        #[test]
        fn residual_is_within_half_a_step(
            acc in -60_000i32..60_000, residual: i8, zero_in in -128i32..128,
            factor in 1e-4f64..0.01, ratio in 0.01f64..4.0, zero_out in -128i32..128,
        ) {
            // The factor is multiplier * 2^(10 - 32 - 14).
            let multiplier = (factor * f64::from(2).powi(35)).round() as i32 * 2;
            let k = (ratio * f64::from(1 << RESIDUAL_FRACTION_BITS)).round() as i32;
            let rq = Requantization {
                shift: 10,
                fraction_bits: RESIDUAL_FRACTION_BITS,
                offset: (zero_out << 14) + (1 << 13) - zero_in * k,
                residual_multiplier: k,
                clamp: (-128, 127),
            };
            let real = f64::from(zero_out) + f64::from(acc) * factor
                + f64::from(i32::from(residual) - zero_in) * ratio;
            let got = requantize_residual(acc, residual, Channel { bias: 0, multiplier }, &rq);
            prop_assert!((f64::from(got) - real.clamp(-128.0, 127.0)).abs() <= 0.51);
        }

        #[test]
        fn add_is_within_half_a_step(
            a: i8, b: i8, za in -128i32..128, zb in -128i32..128, zo in -128i32..128,
            ra in 0.001f64..8.0, rb in 0.001f64..8.0,
        ) {
            let one = f64::from(1 << ADD_FRACTION_BITS);
            let (ka, kb) = ((ra * one).round() as i32, (rb * one).round() as i32);
            let half = 1i32 << (ADD_FRACTION_BITS - 1);
            let offset = (zo << ADD_FRACTION_BITS)
                .wrapping_add(half)
                .wrapping_sub(za.wrapping_mul(ka))
                .wrapping_sub(zb.wrapping_mul(kb));
            let p = Addition { multipliers: (ka, kb), offset, clamp: (-128, 127) };
            let real = f64::from(zo) + f64::from(i32::from(a) - za) * ra
                + f64::from(i32::from(b) - zb) * rb;
            let got = add(a, b, &p);
            prop_assert!((f64::from(got) - real.clamp(-128.0, 127.0)).abs() <= 0.51);
        }
    }

    #[test]
    fn ties_go_up() {
        let rq = Requantization {
            shift: 0,
            fraction_bits: 14,
            offset: 1 << 13,
            residual_multiplier: 0,
            clamp: (-128, 127),
        };
        // The factor 2^-16 exactly: multiplier 2^30, no shift.
        let channel = Channel { bias: 0, multiplier: 1 << 30 };
        for (acc, want) in [(1 << 15, 1), (-(1 << 15), 0), (3 << 15, 2), (-(3 << 15), -1)] {
            assert_eq!(requantize(acc, channel, &rq), want);
        }
    }

    #[test]
    fn extreme_accumulators_wrap_and_do_not_panic() {
        let rq = Requantization {
            shift: 30,
            fraction_bits: 16,
            offset: i32::MAX,
            residual_multiplier: MAX_OPERAND_MULTIPLIER,
            clamp: (-128, 127),
        };
        for acc in [i32::MIN, -1, 0, 1, i32::MAX] {
            let channel = Channel { bias: i32::MIN, multiplier: i32::MAX - 1 };
            let _ = requantize_residual(acc, -128, channel, &rq);
        }
    }
}
