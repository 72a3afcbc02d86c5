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
pub use winograd4_neon::{conv_winograd4_neon, conv_winograd4_neon as conv_winograd4_stem_neon};

use crate::kernels::declare::token;

token! {
    /// Proof that this CPU has NEON, as every one of this target.
    Neon, if true
}

token! {
    /// Proof that this CPU has dot products of bytes (`SDOT`).
    Dotprod, if has_dotprod()
}

/// Programs may not read the processor's own registers that say so; the operating system tells (on Linux in
/// HWCAP), and the standard library asks it. Without `std` only what was compiled for such CPUs knows.
fn has_dotprod() -> bool {
    #[cfg(feature = "std")]
    let there = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(feature = "std"))]
    let there = cfg!(target_feature = "dotprod");
    there
}
