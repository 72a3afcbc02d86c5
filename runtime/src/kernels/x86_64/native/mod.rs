//! x86-64 kernels. A token type proves that the CPU has the instructions.

mod conv_direct_avx2;
mod cpuid;
mod elementwise;
mod few;
mod gates;
mod grouped;
mod logits_avx2;
mod logits_vnni;
mod lookup;
mod max_pool_avx2;
mod max_pool_avx512;
mod patch_avx2;
mod requantize_avx2;
mod tiled;
mod vnni;

pub use conv_direct_avx2::conv_direct_avx2;
pub use elementwise::{
    add_avx2, add_avx512, add_in_place_avx2, add_in_place_avx512, average_pool_avx2,
    average_pool_avx512, average_pool_inside_avx2, average_pool_inside_avx512, subsample_avx2,
};
pub use gates::{
    concat_avx2, concat_avx512, multiply_avx2, multiply_avx512, multiply_in_place_avx2,
    multiply_in_place_avx512,
};
pub use grouped::{
    conv_affine_avx2, conv_affine_avx512, conv_depthwise_avx_vnni, conv_depthwise_avx2,
    conv_depthwise_vnni, conv_grouped_avx_vnni, conv_grouped_avx2, conv_grouped_vnni,
};
pub use logits_avx2::logits_avx2;
pub use logits_vnni::{logits_avx_vnni, logits_vnni};
pub use lookup::{lookup_avx2, lookup_avx512};
pub use max_pool_avx2::max_pool_avx2;
pub use max_pool_avx512::max_pool_avx512;
pub use tiled::{
    conv_direct8_avx2, conv_direct16_avx2, conv_packed_avx2, conv_stem_avx2, conv_u8s8_avx2,
    conv_winograd2_avx2, conv_winograd4_avx2, conv_winograd4_avx512, conv_winograd4_int8_avx2,
    conv_winograd4_int8_avx512, winograd4_stem as conv_winograd4_stem_avx2,
    winograd4_stem as conv_winograd4_stem_avx512, winograd4_stored as conv_winograd4_stored_avx2,
    winograd4_stored as conv_winograd4_stored_avx512,
    winograd4_stride2 as conv_winograd4_stride2_avx2,
    winograd4_stride2 as conv_winograd4_stride2_avx512,
};
pub use vnni::{
    conv_avx_vnni as conv_direct8_avx_vnni, conv_avx_vnni as conv_packed_avx_vnni,
    conv_vnni as conv_direct8_vnni, conv_vnni as conv_packed_vnni,
};

use crate::kernels::declare::token;

token! {
    /// Proof that this CPU, and the operating system, support AVX2.
    Avx2, if cpuid::features().avx2
}

token! {
    /// Proof that this CPU, and the operating system, support AVX2 and `vpdpbusd` of 256 bits, in the encoding
    /// of AVX-VNNI or in that of AVX-512.
    AvxVnni, if Avx2::is_there() && (cpuid::features().avx_vnni || cpuid::features().avx512_vnni)
}

impl AvxVnni {
    /// Whether the encoding of AVX-VNNI is there; if not, that of AVX-512 is.
    fn is_vex(self) -> bool {
        cpuid::features().avx_vnni
    }
}

token! {
    /// Proof that this CPU, and the operating system, support AVX-512 F, BW, VL and VNNI, and AVX2.
    Avx512Vnni, if Avx2::is_there() && cpuid::features().avx512_vnni
}

impl Avx512Vnni {
    /// What the kernels for AVX2 take.
    #[must_use]
    pub const fn avx2(self) -> Avx2 {
        Avx2(())
    }

    /// Whether AVX-512 VBMI is there, too.
    fn has_vbmi(self) -> bool {
        cpuid::features().avx512_vbmi
    }
}

/// Brings the line of the cache at `at` nearer, as `HINT` says. `at` may be any address.
///
/// A function of its own, since whether the instruction is unsafe depends on the compiler's version and on the
/// caller's target features.
#[inline(always)]
fn prefetch<const HINT: i32>(at: *const i8) {
    // SAFETY: every x86-64 processor has the instruction; a hint neither reads nor faults.
    unsafe { core::arch::x86_64::_mm_prefetch::<HINT>(at) };
}
