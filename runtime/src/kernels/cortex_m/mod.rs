//! Convolutions on Cortex-M: plans and drivers of kernels whose inner loops are assembly.
//!
//! A driver walks over tiles, takes care of padding, borders and the clamp, and divides the scratch; an
//! instruction set computes one tile ([`direct::Direct`], [`winograd::Winograd`]). Drivers are safe code
//! that depends on nothing of the machine; plans are needed on every machine, for boards.
//!
//! Whether a slice was too short is known of every part, and asked once, at the end: a way out of each loop
//! would double the code of the drivers.

pub(crate) mod direct;
pub(crate) mod winograd;

use super::{ConvArgs, Residual};
use crate::format::Channels;
use crate::numerics::Requantization;

/// How sums become int8, and where they go, for all kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    pub channels: Channels<'a>,
    pub requantization: &'a Requantization,
    /// 0 without a residual, whose values the output holds.
    pub residual_multiplier: i32,
}

impl<'a> Epilogue<'a> {
    /// Brings the residual to where the kernels read it; `None` if it is shorter than the output.
    fn begin(args: &mut ConvArgs<'a>) -> Option<Self> {
        let residual_multiplier = match args.residual {
            Residual::None => 0,
            Residual::InPlace => args.requantization.residual_multiplier,
            Residual::Separate(values) => {
                let values = values.get(..args.output.len())?;
                for (to, &from) in args.output.iter_mut().zip(values) {
                    *to = from;
                }
                args.requantization.residual_multiplier
            }
        };
        let (channels, requantization) = (args.channels, args.requantization);
        Some(Self { channels, requantization, residual_multiplier })
    }

    /// Clamps what the kernels have saturated to int8.
    fn end(self, output: &mut [i8]) {
        let (low, high) = self.requantization.clamp;
        if (low, high) != (i8::MIN, i8::MAX) {
            for value in output {
                *value = (*value).max(low).min(high);
            }
        }
    }
}
