//! The table of convolution kernels: names, what they compute, what scratch they need.
//!
//! It is the same on every machine, so that a plan for a board can be made on another one.

use super::tiled::{AVX2, AVX512, Plan};
use super::{
    ConvShape, KernelFamily, cortex_m, direct, direct8, generic, tiled, vnni, winograd4,
    winograd4_neon,
};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::layouts;

/// A convolution kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvKernel {
    Reference,
    Generic,
    DirectAvx2,
    PackedAvx2,
    StemAvx2,
    Winograd4Avx2,
    Direct8Avx2,
    Direct16Avx2,
    Winograd2Avx2,
    Winograd4StoredAvx2,
    Winograd4Int8Avx2,
    Winograd4Stride2Avx2,
    Winograd4StemAvx2,
    U8s8Avx2,
    Direct8Vnni,
    PackedVnni,
    Winograd4Avx512,
    Winograd4StoredAvx512,
    Winograd4Int8Avx512,
    Winograd4Stride2Avx512,
    Winograd4StemAvx512,
    Direct8Neon,
    Winograd4Neon,
    Winograd4StemNeon,
    Direct8Dotprod,
    DirectCortexM4,
    Direct8CortexM4,
    Direct16CortexM4,
    Winograd2CortexM4,
    Winograd4CortexM4,
    DirectCortexM3,
    Winograd4CortexM3,
}

/// How a kernel's work may be divided among threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grain {
    /// Output rows that it computes together.
    pub rows: usize,
    /// Output channels whose weights lie together and that it computes together; 0 if they may not be
    /// parted.
    pub channels: usize,
    /// Whether it transforms the weights, which every band of rows does anew, at a cost that counts.
    pub transforms_weights: bool,
    /// Multiply-accumulates that are not worth a second thread.
    pub least_work: usize,
}

/// `conv_direct_avx2`.
pub(super) const DIRECT_AVX2: direct::Form = direct::Form { pixels: 3, vector: 16 };
const DIRECT8_VNNI: WeightForm =
    WeightForm { target: Target::X86_64Avx512Vnni, layout: WeightLayout::Direct8 };
const DIRECT8_NEON: WeightForm =
    WeightForm { target: Target::Armv8Neon, layout: WeightLayout::Direct8 };
const WINOGRAD4_NEON: WeightForm =
    WeightForm { target: Target::Armv8Neon, layout: WeightLayout::Winograd4 };
const DIRECT8_DOTPROD: WeightForm =
    WeightForm { target: Target::Armv8Dotprod, layout: WeightLayout::Direct8 };

const WINOGRAD4_CORTEX_M3: WeightForm =
    WeightForm { target: Target::CortexM3, layout: WeightLayout::Winograd4 };

/// Weights packed for Cortex-M4. A layout exists for the shapes that its kernel computes.
const fn cortex_m4(layout: WeightLayout) -> WeightForm {
    WeightForm { target: Target::CortexM4, layout }
}

impl ConvKernel {
    /// All kernels.
    pub const ALL: &[Self] = &[
        Self::Reference,
        Self::Generic,
        Self::DirectAvx2,
        Self::PackedAvx2,
        Self::StemAvx2,
        Self::Winograd4Avx2,
        Self::Direct8Avx2,
        Self::Direct16Avx2,
        Self::Winograd2Avx2,
        Self::Winograd4StoredAvx2,
        Self::Winograd4Int8Avx2,
        Self::Winograd4Stride2Avx2,
        Self::Winograd4StemAvx2,
        Self::U8s8Avx2,
        Self::Direct8Vnni,
        Self::PackedVnni,
        Self::Winograd4Avx512,
        Self::Winograd4StoredAvx512,
        Self::Winograd4Int8Avx512,
        Self::Winograd4Stride2Avx512,
        Self::Winograd4StemAvx512,
        Self::Direct8Neon,
        Self::Winograd4Neon,
        Self::Winograd4StemNeon,
        Self::Direct8Dotprod,
        Self::DirectCortexM4,
        Self::Direct8CortexM4,
        Self::Direct16CortexM4,
        Self::Winograd2CortexM4,
        Self::Winograd4CortexM4,
        Self::DirectCortexM3,
        Self::Winograd4CortexM3,
    ];

    /// The name in latency tables, as `--kernel` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "conv_reference",
            Self::Generic => "conv_generic",
            Self::DirectAvx2 => "conv_direct_avx2",
            Self::PackedAvx2 => "conv_packed_avx2",
            Self::StemAvx2 => "conv_stem_avx2",
            Self::Winograd4Avx2 => "conv_winograd4_avx2",
            Self::Direct8Avx2 => "conv_direct8_avx2",
            Self::Direct16Avx2 => "conv_direct16_avx2",
            Self::Winograd2Avx2 => "conv_winograd2_avx2",
            Self::Winograd4StoredAvx2 => "conv_winograd4_stored_avx2",
            Self::Winograd4Int8Avx2 => "conv_winograd4_int8_avx2",
            Self::Winograd4Stride2Avx2 => "conv_winograd4_stride2_avx2",
            Self::Winograd4StemAvx2 => "conv_winograd4_stem_avx2",
            Self::U8s8Avx2 => "conv_u8s8_avx2",
            Self::Direct8Vnni => "conv_direct8_vnni",
            Self::PackedVnni => "conv_packed_vnni",
            Self::Winograd4Avx512 => "conv_winograd4_avx512",
            Self::Winograd4StoredAvx512 => "conv_winograd4_stored_avx512",
            Self::Winograd4Int8Avx512 => "conv_winograd4_int8_avx512",
            Self::Winograd4Stride2Avx512 => "conv_winograd4_stride2_avx512",
            Self::Winograd4StemAvx512 => "conv_winograd4_stem_avx512",
            Self::Direct8Neon => "conv_direct8_neon",
            Self::Winograd4Neon => "conv_winograd4_neon",
            Self::Winograd4StemNeon => "conv_winograd4_stem_neon",
            Self::Direct8Dotprod => "conv_direct8_dotprod",
            Self::DirectCortexM4 => "conv_direct_cortex_m4",
            Self::Direct8CortexM4 => "conv_direct8_cortex_m4",
            Self::Direct16CortexM4 => "conv_direct16_cortex_m4",
            Self::Winograd2CortexM4 => "conv_winograd2_cortex_m4",
            Self::Winograd4CortexM4 => "conv_winograd4_cortex_m4",
            Self::DirectCortexM3 => "conv_direct_cortex_m3",
            Self::Winograd4CortexM3 => "conv_winograd4_cortex_m3",
        }
    }

    /// The kernel of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kernel| kernel.name() == name)
    }

    /// Whether this build plans with it: all kernels where there is an operating system, so that boards
    /// can be planned for, and those of its own instruction set in an image, which has no room for more.
    const fn is_planned(self) -> bool {
        let own = match self {
            Self::Reference | Self::Generic => true,
            Self::DirectAvx2
            | Self::PackedAvx2
            | Self::StemAvx2
            | Self::Winograd4Avx2
            | Self::Direct8Avx2
            | Self::Direct16Avx2
            | Self::Winograd2Avx2
            | Self::Winograd4StoredAvx2
            | Self::Winograd4Int8Avx2
            | Self::Winograd4Stride2Avx2
            | Self::Winograd4StemAvx2
            | Self::U8s8Avx2
            | Self::Direct8Vnni
            | Self::PackedVnni
            | Self::Winograd4Avx512
            | Self::Winograd4StoredAvx512
            | Self::Winograd4Int8Avx512
            | Self::Winograd4Stride2Avx512
            | Self::Winograd4StemAvx512 => cfg!(target_arch = "x86_64"),
            Self::Direct8Neon
            | Self::Winograd4Neon
            | Self::Winograd4StemNeon
            | Self::Direct8Dotprod => cfg!(target_arch = "aarch64"),
            Self::DirectCortexM4
            | Self::Direct8CortexM4
            | Self::Direct16CortexM4
            | Self::Winograd2CortexM4
            | Self::Winograd4CortexM4
            | Self::DirectCortexM3
            | Self::Winograd4CortexM3 => cfg!(any(cortex_m3, cortex_m4)),
        };
        own || cfg!(feature = "std")
    }

    /// Whether it computes this convolution from weights of this form.
    #[must_use]
    pub fn computes(self, shape: &ConvShape, form: WeightForm) -> bool {
        if !self.is_planned() {
            return false;
        }
        let portable = form.layout == WeightLayout::Ohwi;
        match self {
            Self::Reference | Self::Generic => portable,
            Self::DirectAvx2 => portable && shape.groups == 1,
            Self::PackedAvx2 => portable && tiled::computes(shape),
            Self::StemAvx2 => portable && tiled::computes(shape) && tiled::is_stem(shape),
            Self::Winograd4Avx2 | Self::Winograd4Avx512 => portable && winograd4::computes(shape),
            Self::Direct8Avx2 => avx2(form, shape, WeightLayout::Direct8),
            Self::Direct16Avx2 => avx2(form, shape, WeightLayout::Direct16),
            Self::Winograd2Avx2 => avx2(form, shape, WeightLayout::Winograd2),
            Self::Winograd4Int8Avx2 | Self::Winograd4Int8Avx512 => {
                avx2(form, shape, WeightLayout::Winograd4Int8)
            }
            Self::Winograd4StoredAvx2 | Self::Winograd4StoredAvx512 => {
                avx2(form, shape, WeightLayout::Winograd4) && shape.strides == [1, 1]
            }
            Self::Winograd4Stride2Avx2 | Self::Winograd4Stride2Avx512 => {
                avx2(form, shape, WeightLayout::Winograd4) && strided(shape, 3)
            }
            Self::Winograd4StemAvx2 | Self::Winograd4StemAvx512 => {
                avx2(form, shape, WeightLayout::Winograd4) && strided(shape, 7)
            }
            Self::U8s8Avx2 => avx2(form, shape, WeightLayout::U8s8),
            Self::Direct8Vnni => form == DIRECT8_VNNI && vnni::computes(shape),
            Self::PackedVnni => portable && vnni::computes(shape),
            Self::Direct8Neon => (portable || form == DIRECT8_NEON) && direct8::computes(shape),
            Self::Winograd4Neon => {
                (portable || form == WINOGRAD4_NEON) && winograd4::computes(shape)
            }
            Self::Winograd4StemNeon => {
                form == WINOGRAD4_NEON
                    && tiled::is_stem(shape)
                    && winograd4_neon::stored_depth(shape).is_some()
            }
            Self::Direct8Dotprod => {
                (portable || form == DIRECT8_DOTPROD) && direct8::computes(shape)
            }
            Self::DirectCortexM4 => portable && cortex_m::direct::ROWS_M4.computes(shape),
            Self::Direct8CortexM4 => {
                form == cortex_m4(WeightLayout::Direct8) && cortex_m::direct::M4.computes(shape)
            }
            Self::Direct16CortexM4 => {
                form == cortex_m4(WeightLayout::Direct16) && cortex_m::direct::M4.computes(shape)
            }
            Self::Winograd2CortexM4 => {
                form == cortex_m4(WeightLayout::Winograd2) && cortex_m::winograd::computes(shape)
            }
            Self::Winograd4CortexM4 => {
                form == cortex_m4(WeightLayout::Winograd4) && cortex_m::winograd::computes(shape)
            }
            Self::DirectCortexM3 => portable && cortex_m::direct::M3.computes(shape),
            Self::Winograd4CortexM3 => {
                form == WINOGRAD4_CORTEX_M3 && cortex_m::winograd::computes(shape)
            }
        }
    }

    /// Whether it is worth its preparations, where another kernel of its family would do.
    #[must_use]
    pub fn pays(self, shape: &ConvShape) -> bool {
        match self {
            Self::Direct8Neon | Self::Direct8Dotprod => direct8::pays(shape),
            Self::PackedAvx2 => tiled::pays(shape),
            Self::Winograd4Avx512 => tiled::winograd4_pays(shape),
            Self::Winograd4Avx2 | Self::Winograd4Neon => winograd4::pays(shape),
            _ => true,
        }
    }

    /// How its work may be divided.
    pub(crate) fn grain(self, form: WeightForm) -> Grain {
        let portable = form.layout == WeightLayout::Ohwi;
        let x86_64 = KernelFamily::Avx512Vnni.conv_kernels().contains(&self);
        let rows = match self {
            Self::Winograd4Avx2
            | Self::Winograd4Avx512
            | Self::Winograd4StoredAvx2
            | Self::Winograd4StoredAvx512
            | Self::Winograd4Int8Avx2
            | Self::Winograd4Int8Avx512
            | Self::Winograd4Stride2Avx2
            | Self::Winograd4Stride2Avx512
            | Self::Winograd4Neon => 4,
            Self::Winograd4StemAvx2
            | Self::Winograd4StemAvx512
            | Self::StemAvx2
            | Self::Winograd4StemNeon => 3,
            Self::Winograd2Avx2 => 2,
            _ => 1,
        };
        let aarch64 = KernelFamily::Dotprod.conv_kernels().contains(&self);
        let in_blocks = x86_64 || aarch64;
        Grain {
            rows,
            channels: if in_blocks { 16 } else { 0 },
            transforms_weights: match self {
                Self::Winograd4Avx2
                | Self::Winograd4Avx512
                | Self::Winograd4Int8Avx2
                | Self::PackedAvx2 => true,
                _ => portable && self == Self::Winograd4Neon,
            },
            least_work: if x86_64 { 2_000_000 } else { 500_000 },
        }
    }

    /// Bytes of scratch that it needs; as much as is counted for a convolution that it does not compute
    /// has no meaning.
    #[must_use]
    pub fn scratch_bytes(self, shape: &ConvShape, form: WeightForm) -> usize {
        if !self.is_planned() {
            return 0;
        }
        match self {
            Self::Reference => 0,
            Self::Generic => generic::conv_scratch_bytes(shape),
            Self::DirectAvx2 => DIRECT_AVX2.scratch_bytes(shape),
            Self::PackedAvx2 => Plan::direct_ohwi(shape).scratch_bytes(),
            Self::StemAvx2 => Plan::stem_ohwi(shape).scratch_bytes(),
            Self::U8s8Avx2 => Plan::u8s8(shape).scratch_bytes(),
            Self::Direct8Vnni => vnni::Plan::stored(shape).scratch_bytes(),
            Self::PackedVnni => vnni::Plan::turned(shape).scratch_bytes(),
            Self::Direct8Neon | Self::Direct8Dotprod => direct8::scratch_bytes(shape, form.layout),
            Self::Direct8Avx2 | Self::Direct16Avx2 => Plan::direct(shape).scratch_bytes(),
            Self::Winograd2Avx2 => Plan::winograd2(shape).scratch_bytes(),
            Self::Winograd4StoredAvx2 => Plan::winograd4(AVX2, shape).scratch_bytes(),
            Self::Winograd4StoredAvx512 => Plan::winograd4(AVX512, shape).scratch_bytes(),
            Self::Winograd4Int8Avx2 => Plan::winograd4_int8(shape).scratch_bytes(),
            Self::Winograd4Int8Avx512 => Plan::winograd4(AVX512, shape).scratch_bytes(),
            Self::Winograd4Stride2Avx2 => Plan::strided4(AVX2, shape).scratch_bytes(),
            Self::Winograd4Stride2Avx512 => Plan::strided4(AVX512, shape).scratch_bytes(),
            Self::Winograd4StemAvx2 => Plan::stem(AVX2, shape).scratch_bytes(),
            Self::Winograd4StemAvx512 => Plan::stem(AVX512, shape).scratch_bytes(),
            Self::Winograd4Avx2 => Plan::winograd4_ohwi_bytes(Plan::winograd4_int8(shape), shape),
            Self::Winograd4Avx512 => {
                Plan::winograd4_ohwi_bytes(Plan::winograd4_turned(shape), shape)
            }
            Self::Winograd4Neon | Self::Winograd4StemNeon => {
                winograd4_neon::scratch_bytes(shape, form.layout)
            }
            Self::DirectCortexM4 => cortex_m::direct::ROWS_M4.scratch_bytes(shape),
            Self::Direct8CortexM4 | Self::Direct16CortexM4 => {
                cortex_m::direct::M4.scratch_bytes(shape)
            }
            Self::Winograd2CortexM4 => cortex_m::winograd::F2_M4.scratch_bytes(shape),
            Self::Winograd4CortexM4 => cortex_m::winograd::F4_M4.scratch_bytes(shape),
            Self::DirectCortexM3 => cortex_m::direct::M3.scratch_bytes(shape),
            Self::Winograd4CortexM3 => cortex_m::winograd::F4_M3.scratch_bytes(shape),
        }
    }
}

/// Whether the weights lie as they are packed for AVX2, in a layout that there is for the shape.
fn avx2(form: WeightForm, shape: &ConvShape, layout: WeightLayout) -> bool {
    let own = match form.target {
        Target::X86_64Avx2 => true,
        Target::X86_64Avx512Vnni => layout != WeightLayout::Direct8,
        _ => false,
    };
    own && form.layout == layout && layouts::weights_bytes(form, shape).is_some()
}

fn strided(shape: &ConvShape, kernel: usize) -> bool {
    shape.strides == [2, 2] && shape.kernel == [kernel; 2]
}

impl KernelFamily {
    /// Convolution kernels of this family, best first; [`ConvKernel::Generic`] does what is left.
    #[must_use]
    pub const fn conv_kernels(self) -> &'static [ConvKernel] {
        match self {
            Self::Reference => &[ConvKernel::Reference],
            Self::Generic => &[],
            Self::Avx2 => &[
                ConvKernel::Winograd4StoredAvx2,
                ConvKernel::Winograd4Int8Avx2,
                ConvKernel::Winograd4Stride2Avx2,
                ConvKernel::Winograd4StemAvx2,
                ConvKernel::Winograd2Avx2,
                ConvKernel::U8s8Avx2,
                ConvKernel::Direct16Avx2,
                ConvKernel::Direct8Avx2,
                ConvKernel::Winograd4Avx2,
                ConvKernel::StemAvx2,
                ConvKernel::PackedAvx2,
                ConvKernel::DirectAvx2,
            ],
            Self::Avx512Vnni => &[
                ConvKernel::Winograd4StoredAvx512,
                ConvKernel::Winograd4Int8Avx512,
                ConvKernel::Winograd4Stride2Avx512,
                ConvKernel::Winograd4StemAvx512,
                ConvKernel::Direct8Vnni,
                ConvKernel::Winograd4Avx512,
                ConvKernel::PackedVnni,
                ConvKernel::Winograd4StoredAvx2,
                ConvKernel::Winograd4Int8Avx2,
                ConvKernel::Winograd4Stride2Avx2,
                ConvKernel::Winograd4StemAvx2,
                ConvKernel::Winograd2Avx2,
                ConvKernel::U8s8Avx2,
                ConvKernel::Direct16Avx2,
                ConvKernel::Direct8Avx2,
                ConvKernel::Winograd4Avx2,
                ConvKernel::StemAvx2,
                ConvKernel::PackedAvx2,
                ConvKernel::DirectAvx2,
            ],
            Self::Neon => {
                &[ConvKernel::Winograd4Neon, ConvKernel::Winograd4StemNeon, ConvKernel::Direct8Neon]
            }
            Self::Dotprod => &[
                ConvKernel::Direct8Dotprod,
                ConvKernel::Direct8Neon,
                ConvKernel::Winograd4Neon,
                ConvKernel::Winograd4StemNeon,
            ],
            Self::CortexM4 => &[
                ConvKernel::Winograd4CortexM4,
                ConvKernel::Winograd2CortexM4,
                ConvKernel::Direct16CortexM4,
                ConvKernel::Direct8CortexM4,
                ConvKernel::DirectCortexM4,
            ],
            Self::CortexM3 => &[ConvKernel::Winograd4CortexM3, ConvKernel::DirectCortexM3],
        }
    }

    /// The kernel that this family computes a convolution with.
    #[must_use]
    pub fn conv_kernel(self, shape: &ConvShape, form: WeightForm) -> ConvKernel {
        // Packed weights are there, whether they were worth it or not.
        let packed = form.layout != WeightLayout::Ohwi;
        let serves =
            |kernel: &ConvKernel| kernel.computes(shape, form) && (packed || kernel.pays(shape));
        self.conv_kernels().iter().copied().find(serves).unwrap_or(ConvKernel::Generic)
    }
}
