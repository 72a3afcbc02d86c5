//! AArch64 kernels: with the instructions that every AArch64 processor has (ARMv8.0 with NEON), and with
//! the dot products and the products of matrices of newer ones.

mod add_neon;
mod average_pool_neon;
mod copy;
mod depthwise_neon;
mod direct8;
#[cfg(native_dotprod)]
mod direct8_dotprod;
#[cfg(native_i8mm)]
mod direct8_i8mm;
mod direct8_neon;
mod gates_neon;
mod grouped;
mod logits_neon;
mod max_pool_neon;
mod outer_product;
mod requantize_block;
mod winograd4_neon;

pub use add_neon::{add_in_place_neon, add_neon};
pub use average_pool_neon::{average_pool_inside_neon, average_pool_neon};
pub use depthwise_neon::conv_depthwise_neon;
#[cfg(native_dotprod)]
pub use direct8_dotprod::conv_direct8_dotprod;
#[cfg(native_i8mm)]
pub use direct8_i8mm::conv_direct8_i8mm;
pub use direct8_neon::conv_direct8_neon;
pub use gates_neon::{
    concat_neon, lookup_neon, multiply_in_place_neon, multiply_neon, subsample_neon,
};
#[cfg(native_dotprod)]
pub use grouped::conv_grouped_dotprod;
#[cfg(native_i8mm)]
pub use grouped::conv_grouped_i8mm;
pub use grouped::conv_grouped_neon;
pub use logits_neon::logits_neon;
pub use max_pool_neon::max_pool_neon;
pub use winograd4_neon::{conv_winograd4_neon, conv_winograd4_neon as conv_winograd4_stem_neon};

use crate::kernels::declare::token;

/// Programs may not read the processor's own registers that say so; the operating system tells (on Linux in
/// HWCAP), and the standard library asks it. Without `std` the code is there only where it was compiled for such
/// CPUs.
#[cfg(any(native_dotprod, native_i8mm))]
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(feature = "std")]
        let there = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let there = true;
        there
    }};
}

token! {
    /// Proof that this CPU has NEON, as every one of this target.
    Neon, if true
}

#[cfg(native_dotprod)]
token! {
    /// Proof that this CPU has dot products of bytes (`SDOT`).
    Dotprod, if has!("dotprod")
}

#[cfg(native_i8mm)]
token! {
    /// Proof that this CPU has products of matrices of bytes (`SMMLA`).
    I8mm, if Dotprod::is_there() && has!("i8mm")
}

#[cfg(native_dotprod)]
impl Dotprod {
    /// What the kernels of NEON take.
    const fn neon(self) -> Neon {
        Neon(())
    }
}

#[cfg(native_i8mm)]
impl I8mm {
    /// What the kernels of NEON take.
    const fn neon(self) -> Neon {
        Neon(())
    }
}
