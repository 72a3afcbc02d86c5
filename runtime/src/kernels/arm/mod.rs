//! Kernels of 32-bit ARM in assembly, for Cortex-M.
//!
//! The Thumb-2 code needs no privilege and no address of its own, so it runs on ARMv7-A, too, where the
//! kernels' tests run it. Instructions depend on shapes alone: no weight and no input changes what is read
//! or written. Each function has a section of its own, which an image without a use for it leaves out.

mod copy;
#[cfg(cortex_m3)]
mod cortex_m3;
#[cfg(cortex_m4)]
mod cortex_m4;
mod rows_call;
mod winograd_call;

#[cfg(cortex_m3)]
pub use cortex_m3::{CortexM3, conv_cortex_m3};
#[cfg(cortex_m4)]
pub use cortex_m4::{CortexM4, conv_cortex_m4};

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

#[cfg(cortex_m4)]
macro_rules! assembly_for_m4 {
    ($($processor:expr),*) => {
        assembly!(
            $($processor,)*
            include_str!("macros.s"),
            include_str!("copy.s"),
            include_str!("cortex_m3_direct.s"),
            include_str!("cortex_m3_winograd.s"),
            include_str!("cortex_m4_direct.s"),
            include_str!("cortex_m4_winograd.s")
        );
    };
}

#[cfg(all(cortex_m4, not(armv8m)))]
assembly_for_m4!(".fpu fpv4-sp-d16");
// Of ARMv8-M the DSP extension and the floating-point unit are both options, which a Cortex-M33 has.
#[cfg(all(cortex_m4, armv8m))]
assembly_for_m4!(".cpu cortex-m33", ".fpu fpv5-sp-d16");
#[cfg(not(cortex_m4))]
assembly!(
    include_str!("macros.s"),
    include_str!("copy.s"),
    include_str!("cortex_m3_direct.s"),
    include_str!("cortex_m3_winograd.s")
);
