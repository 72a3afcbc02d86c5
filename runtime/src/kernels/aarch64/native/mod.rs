//! AArch64 kernels: with the instructions that every AArch64 processor has (ARMv8.0 with NEON), and with
//! the dot products of newer ones.

mod direct8;
mod direct8_dotprod;
mod direct8_neon;
mod outer_product;
mod requantize_block;
mod winograd4_neon;

pub use direct8_dotprod::conv_direct8_dotprod;
pub use direct8_neon::conv_direct8_neon;
pub use winograd4_neon::conv_winograd4_neon;

use crate::error::Fault;
use crate::kernels::{KernelFamily, KernelSet};

/// Proof that this CPU has NEON: the target's ABI asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// Every processor of this target has it.
    #[must_use]
    pub fn is_there() -> bool {
        true
    }

    /// The token.
    ///
    /// # Errors
    /// [`Fault::Plan`] if the set does not have NEON.
    pub fn of(set: KernelSet) -> Result<Self, Fault> {
        if set.has(KernelFamily::Neon) { Ok(Self(())) } else { Err(Fault::Plan) }
    }
}

/// Proof that this CPU has dot products of bytes (`SDOT`): a set of kernels that has them says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dotprod(());

impl Dotprod {
    /// Whether the CPU has the instructions. Programs may not read the processor's own registers that say so;
    /// the operating system tells (on Linux in HWCAP), and the standard library asks it. Without `std` only
    /// what was compiled for such CPUs knows.
    #[must_use]
    pub fn is_there() -> bool {
        #[cfg(feature = "std")]
        let there = std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(feature = "std"))]
        let there = cfg!(target_feature = "dotprod");
        there
    }

    /// The token.
    ///
    /// # Errors
    /// [`Fault::Plan`] if the set does not have dot products.
    pub fn of(set: KernelSet) -> Result<Self, Fault> {
        if set.has(KernelFamily::Dotprod) { Ok(Self(())) } else { Err(Fault::Plan) }
    }
}
