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

/// Proof that this CPU has AVX2: the only constructor looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// A token if the CPU (and the operating system) support AVX2.
    #[must_use]
    pub fn detect() -> Option<Self> {
        cpuid::features().avx2.then_some(Self(()))
    }
}

/// Proof that this CPU has AVX-512 with VNNI, and AVX2: the only constructor looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512Vnni(Avx2);

impl Avx512Vnni {
    /// A token if the CPU (and the operating system) support AVX-512 F, BW, VL and VNNI.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Avx2::detect().filter(|_| cpuid::features().avx512_vnni).map(Self)
    }

    /// What the kernels for AVX2 take.
    #[must_use]
    pub const fn avx2(self) -> Avx2 {
        self.0
    }
}
