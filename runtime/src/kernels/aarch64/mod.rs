//! AArch64 kernels with the instructions that every AArch64 processor has (ARMv8.0 with NEON).

mod conv_packed_neon;
mod outer_product;
mod requantize_neon;
mod winograd4_neon;

pub use conv_packed_neon::conv_packed_neon;
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
