//! x86-64 kernels. A token type proves that the CPU has the instructions.

mod conv_direct_avx2;
mod cpuid;
mod logits_avx2;
mod logits_vnni;
mod max_pool_avx2;
mod max_pool_avx512;
mod patch_avx2;
mod requantize_avx2;
mod tiled;
mod vnni;

pub use conv_direct_avx2::conv_direct_avx2;
pub use logits_avx2::logits_avx2;
pub use logits_vnni::logits_vnni;
pub use max_pool_avx2::max_pool_avx2;
pub use max_pool_avx512::max_pool_avx512;
pub use tiled::{
    conv_direct8_avx2, conv_direct16_avx2, conv_packed_avx2, conv_stem_avx2, conv_u8s8_avx2,
    conv_winograd2_avx2, conv_winograd4_avx2, conv_winograd4_avx512, conv_winograd4_int8_avx2,
    conv_winograd4_int8_avx512, conv_winograd4_stem_avx2, conv_winograd4_stem_avx512,
    conv_winograd4_stored_avx2, conv_winograd4_stored_avx512, conv_winograd4_stride2_avx2,
    conv_winograd4_stride2_avx512,
};
pub use vnni::{conv_direct8_vnni, conv_packed_vnni};

use crate::error::Fault;
use crate::kernels::{KernelFamily, KernelSet};

/// Proof that this CPU has AVX2: a set of kernels that has it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// Whether the CPU (and the operating system) support AVX2.
    #[must_use]
    pub fn is_there() -> bool {
        cpuid::features().avx2
    }

    /// The token.
    ///
    /// # Errors
    /// [`Fault::Plan`] if the set does not have AVX2.
    pub fn of(set: KernelSet) -> Result<Self, Fault> {
        if set.has(KernelFamily::Avx2) { Ok(Self(())) } else { Err(Fault::Plan) }
    }
}

/// Proof that this CPU has AVX-512 with VNNI, and AVX2: a set of kernels that has it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512Vnni(Avx2);

impl Avx512Vnni {
    /// Whether the CPU (and the operating system) support AVX-512 F, BW, VL and VNNI, and AVX2.
    #[must_use]
    pub fn is_there() -> bool {
        Avx2::is_there() && cpuid::features().avx512_vnni
    }

    /// The token.
    ///
    /// # Errors
    /// [`Fault::Plan`] if the set does not have AVX-512 with VNNI.
    pub fn of(set: KernelSet) -> Result<Self, Fault> {
        if set.has(KernelFamily::Avx512Vnni) { Ok(Self(Avx2(()))) } else { Err(Fault::Plan) }
    }

    /// What the kernels for AVX2 take.
    #[must_use]
    pub const fn avx2(self) -> Avx2 {
        self.0
    }
}
