//! Kernels of 32-bit ARM in assembly, for Cortex-M.
//!
//! The Thumb-2 code needs no privilege and no address of its own, so it runs on ARMv7-A, too, where the
//! kernels' tests run it. Instructions depend on shapes alone: no weight and no input changes what is read
//! or written. Each function has a section of its own, which an image without a use for it leaves out.

mod copy;
#[cfg(not(all(target_abi = "eabihf", target_os = "none")))]
mod cortex_m3;
#[cfg(target_abi = "eabihf")]
mod cortex_m4;
mod rows_call;
mod winograd_call;

#[cfg(not(all(target_abi = "eabihf", target_os = "none")))]
pub use cortex_m3::{CortexM3, conv_cortex_m3};
#[cfg(target_abi = "eabihf")]
pub use cortex_m4::{CortexM4, conv_cortex_m4};

// One text for each kind of processor: macros of one file are used in others.
#[cfg(target_abi = "eabihf")]
core::arch::global_asm!(
    ".syntax unified",
    ".thumb",
    ".fpu fpv4-sp-d16",
    include_str!("macros.s"),
    include_str!("copy.s"),
    include_str!("cortex_m3_direct.s"),
    include_str!("cortex_m3_winograd.s"),
    include_str!("cortex_m4_direct.s"),
    include_str!("cortex_m4_winograd.s"),
    options(raw)
);
#[cfg(not(target_abi = "eabihf"))]
core::arch::global_asm!(
    ".syntax unified",
    ".thumb",
    include_str!("macros.s"),
    include_str!("copy.s"),
    include_str!("cortex_m3_direct.s"),
    include_str!("cortex_m3_winograd.s"),
    options(raw)
);
