//! Fixed-point constants of one step: the proof that its arithmetic does not overflow.

use fixnet::format::StepSpec;
use fixnet::numerics::{MAX_OPERAND_MULTIPLIER, RESIDUAL_FRACTION_BITS};

use super::constants::ChannelRange;
use crate::calibrate::Range;

/// The constants of `fixnet::numerics::Requantization` and the channels' multipliers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FixedPoint {
    pub shift: u32,
    pub fraction_bits: u32,
    pub offset: i32,
    pub residual_multiplier: i32,
    pub multipliers: Vec<i32>,
}

/// Largest multiplier: even, below 2^31.
const MAX_MULTIPLIER: f64 = (i32::MAX - 1) as f64;
/// Largest left shift.
const MAX_SHIFT: u32 = 30;

/// The even multiplier of a real factor: `factor * 2^(32 + fraction_bits - shift)`.
pub(super) fn multiplier(factor: f64, shift: u32, fraction_bits: u32) -> i32 {
    let exponent = 32 + fraction_bits as i32 - shift as i32;
    let half = (factor * f64::from(exponent - 1).exp2()).round();
    (half * 2.0).min(MAX_MULTIPLIER) as i32
}

impl FixedPoint {
    /// The most precise constants for channels of these real factors (output steps per unit of the
    /// accumulator) and accumulator ranges.
    ///
    /// # Errors
    /// The channels that overflow even at the lowest precision; none where the residual does.
    pub fn choose(
        factors: &[f64],
        channels: &[ChannelRange],
        residual: Option<Range>,
        output: Range,
    ) -> Result<Self, Vec<usize>> {
        let bits = match residual {
            Some(_) => RESIDUAL_FRACTION_BITS..=16,
            None => 1..=14,
        };
        let mut overflowing = Vec::new();
        for bits in bits.rev() {
            let Some(constants) = Self::with_bits(bits, factors, residual, output) else {
                continue;
            };
            let pairs = channels.iter().zip(&constants.multipliers).enumerate();
            let over = pairs.filter(|(_, (channel, m))| !constants.cannot_overflow(channel, **m));
            overflowing = over.map(|(index, _)| index).collect();
            if overflowing.is_empty() {
                return Ok(constants);
            }
        }
        Err(overflowing)
    }

    fn with_bits(
        fraction_bits: u32,
        factors: &[f64],
        residual: Option<Range>,
        output: Range,
    ) -> Option<Self> {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        let fits = |shift: &u32| {
            largest * f64::from(32 + fraction_bits as i32 - *shift as i32).exp2() <= MAX_MULTIPLIER
        };
        let shift = (0..=MAX_SHIFT).find(fits)?;
        let one = f64::from(fraction_bits as i32).exp2();
        let ratio = residual.map_or(0.0, |r| f64::from(r.scale) / f64::from(output.scale));
        let residual_multiplier = (ratio * one).round();
        if residual_multiplier > f64::from(MAX_OPERAND_MULTIPLIER) {
            return None;
        }
        let k = residual_multiplier as i64;
        let residual_zero = residual.map_or(0, |r| i64::from(r.zero_point));
        let zero = i64::from(output.zero_point) << fraction_bits;
        let offset = zero + (1i64 << (fraction_bits - 1)) - residual_zero * k;
        Some(Self {
            shift,
            fraction_bits,
            offset: i32::try_from(offset).ok()?,
            residual_multiplier: residual_multiplier as i32,
            multipliers: factors.iter().map(|&f| multiplier(f, shift, fraction_bits)).collect(),
        })
    }

    /// Whether neither the shifted accumulator nor the sum with residual and offset leaves an i32.
    fn cannot_overflow(&self, channel: &ChannelRange, multiplier: i32) -> bool {
        let within = |value: i128| i32::try_from(value).is_ok();
        let shortcuts = [-128i128, 127].map(|x| x * i128::from(self.residual_multiplier));
        [channel.low, channel.high].iter().all(|&acc| {
            let shifted = i128::from(acc) << self.shift;
            let fixed = (shifted * i128::from(multiplier)) >> 32;
            let sums = shortcuts.map(|s| fixed + s + i128::from(self.offset));
            within(shifted) && sums.into_iter().all(within)
        })
    }

    /// Writes the constants to a step.
    pub fn apply(self, step: &mut StepSpec) {
        step.record.shift = self.shift;
        step.record.fraction_bits = self.fraction_bits as u16;
        step.record.offset = self.offset;
        step.record.operand_multiplier = self.residual_multiplier;
        step.multipliers = self.multipliers;
    }
}
