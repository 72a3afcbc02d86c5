//! Rounding: the formulas of [`fixnet::numerics`] against exact and real arithmetic.

use fixnet::numerics::{
    ADD_FRACTION_BITS, Addition, Channel, MAX_OPERAND_MULTIPLIER, RESIDUAL_FRACTION_BITS,
    Requantization, add, requantize, requantize_residual,
};
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
