//! Kernels of 32-bit ARM in assembly, for Cortex-M.
//!
//! The Thumb-2 code needs no privilege and no address of its own, so it runs on ARMv7-A, too, where the
//! kernels' tests run it. Instructions depend on shapes alone: no weight and no input changes what is read
//! or written. Each function has a section of its own, which an image without a use for it leaves out.

//!
//! A driver ([`direct`], [`winograd`]) walks over tiles; an instruction set computes one. Whether a slice was
//! too short is known of every part, and asked once, at the end: a way out of each loop would double the code
//! of the drivers.

mod copy;
#[cfg(native_cortex_m3)]
mod cortex_m3;
#[cfg(native_cortex_m4)]
mod cortex_m4;
mod depthwise;
mod direct;
mod rows_call;
mod winograd;
mod winograd_call;

#[cfg(native_cortex_m3)]
pub use cortex_m3::{
    CortexM3, conv_depthwise_cortex_m3, conv_direct_cortex_m3, conv_winograd4_cortex_m3,
};
#[cfg(native_cortex_m4)]
pub use cortex_m4::{
    CortexM4, conv_depthwise_cortex_m4, conv_direct_cortex_m4,
    conv_direct_packed_cortex_m4 as conv_direct8_cortex_m4,
    conv_direct_packed_cortex_m4 as conv_direct16_cortex_m4, conv_winograd2_cortex_m4,
    conv_winograd4_cortex_m4,
};

use crate::format::Channels;
use crate::kernels::{ConvArgs, Residual};
use crate::numerics::Requantization;

/// One text for each kind of processor: macros of one file are used in others.
macro_rules! assembly {
    ($($line:expr),*) => {
        core::arch::global_asm!(
            ".syntax unified",
            ".thumb",
            $($line,)*
            options(raw)
        );
    };
}

#[cfg(native_cortex_m4)]
macro_rules! assembly_for_m4 {
    ($($processor:expr),*) => {
        assembly!(
            $($processor,)*
            include_str!("macros.s"),
            include_str!("copy.s"),
            include_str!("depthwise.s"),
            include_str!("cortex_m3_direct.s"),
            include_str!("cortex_m3_winograd.s"),
            include_str!("cortex_m4_depthwise.s"),
            include_str!("cortex_m4_direct.s"),
            include_str!("cortex_m4_winograd.s")
        );
    };
}

#[cfg(all(native_cortex_m4, not(armv8m)))]
assembly_for_m4!(".fpu fpv4-sp-d16");
// Of ARMv8-M the DSP extension and the floating-point unit are both options, which a Cortex-M33 has.
#[cfg(all(native_cortex_m4, armv8m))]
assembly_for_m4!(".cpu cortex-m33", ".fpu fpv5-sp-d16");
#[cfg(not(native_cortex_m4))]
assembly!(
    include_str!("macros.s"),
    include_str!("copy.s"),
    include_str!("depthwise.s"),
    include_str!("cortex_m3_direct.s"),
    include_str!("cortex_m3_winograd.s")
);

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
