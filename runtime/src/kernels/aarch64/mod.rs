//! AArch64 kernels: with the instructions that every AArch64 processor has (ARMv8.0 with NEON), and with
//! the dot products of newer ones.

mod direct8_dotprod;
mod direct8_neon;
mod outer_product;
mod requantize_block;
mod winograd4_neon;

pub use direct8_dotprod::conv_direct8_dotprod;
pub use direct8_neon::conv_direct8_neon;
pub use winograd4_neon::conv_winograd4_neon;

/// Proof that this CPU has NEON: the target's ABI asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The token.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self(())
    }
}

/// Proof that this CPU has dot products of bytes (`SDOT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dotprod(());

impl Dotprod {
    /// The token, if the CPU has the instructions. Programs may not read the processor's own registers
    /// that say so; the operating system tells (on Linux in HWCAP), and the standard library asks it.
    /// Without `std` only what was compiled for such CPUs knows.
    #[must_use]
    pub(super) fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let there = std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(feature = "std"))]
        let there = cfg!(target_feature = "dotprod");
        there.then_some(Self(()))
    }
}
