//! Kernels of 32-bit ARM in assembly, for Cortex-M.
//!
//! The Thumb-2 code needs no privilege and no address of its own, so it runs on ARMv7-A, too, where the
//! kernels' tests run it. Instructions depend on shapes alone: no weight and no input changes what is read
//! or written.

mod copy;
#[cfg(target_abi = "eabihf")]
mod cortex_m4;

#[cfg(target_abi = "eabihf")]
pub use cortex_m4::{CortexM4, conv_cortex_m4};
