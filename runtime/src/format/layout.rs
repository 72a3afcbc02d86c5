//! Which machine a file's weights are laid out for, and in which order.

use zerocopy::FromBytes;

/// The machine that a file's weights are laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
#[non_exhaustive]
pub enum Target {
    /// Runs everywhere.
    Portable = 0,
    /// x86-64 with AVX2.
    X86_64Avx2 = 1,
    /// AArch64 as of ARMv8.0: Cortex-A53, A57, A72.
    Armv8Neon = 2,
    /// AArch64 with dot products: Cortex-A55, A76 and later.
    Armv8Dotprod = 3,
    /// Cortex-M4 and M7: the DSP extension.
    CortexM4 = 4,
    /// Cortex-M3.
    CortexM3 = 5,
    /// x86-64 with AVX-512 and its dot products of bytes (VNNI). Since version 1.3.
    X86_64Avx512Vnni = 6,
}

impl Target {
    /// All targets, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Portable,
        Self::X86_64Avx2,
        Self::Armv8Neon,
        Self::Armv8Dotprod,
        Self::CortexM4,
        Self::CortexM3,
        Self::X86_64Avx512Vnni,
    ];

    /// The target with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|target| *target as u16 == code)
    }

    /// The name, as `--target` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::X86_64Avx2 => "x86-64-avx2",
            Self::Armv8Neon => "armv8-neon",
            Self::Armv8Dotprod => "armv8-dotprod",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM3 => "cortex-m3",
            Self::X86_64Avx512Vnni => "x86-64-avx512vnni",
        }
    }
}

/// Order of a step's weights. All but the first mean what [`crate::layouts`] says for the file's
/// target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
#[non_exhaustive]
pub enum WeightLayout {
    /// `[out][kernel_h][kernel_w][in]` int8; what a portable file holds, and legal for every target.
    Ohwi = 0,
    /// Int8 in the order of the target's direct kernel.
    Direct8 = 1,
    /// The same, widened to 16 bits.
    Direct16 = 2,
    /// Transformed for Winograd's F(2x2, 3x3), 16 positions of 16 bits.
    Winograd2 = 3,
    /// Transformed for Winograd's F(4x4, 3x3), 36 positions of 16 bits.
    Winograd4 = 4,
    /// Int8 in the order in which a kernel transforms them for F(4x4, 3x3) while it runs.
    Winograd4Int8 = 5,
    /// Int8 in an order in which few products at a time add up in 16 bits; for inputs of 7 bits.
    U8s8 = 6,
}

impl WeightLayout {
    /// All layouts, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Ohwi,
        Self::Direct8,
        Self::Direct16,
        Self::Winograd2,
        Self::Winograd4,
        Self::Winograd4Int8,
        Self::U8s8,
    ];

    /// The layout with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| *layout as u16 == code)
    }

    /// The name, as reports print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ohwi => "ohwi",
            Self::Direct8 => "direct8",
            Self::Direct16 => "direct16",
            Self::Winograd2 => "winograd2",
            Self::Winograd4 => "winograd4",
            Self::Winograd4Int8 => "winograd4_int8",
            Self::U8s8 => "u8s8",
        }
    }
}

/// Target and layout: what the bytes of a step's weights mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightForm {
    pub target: Target,
    pub layout: WeightLayout,
}

impl WeightForm {
    /// What a portable file holds.
    pub const PORTABLE: Self = Self { target: Target::Portable, layout: WeightLayout::Ohwi };
}

/// A convolution's weights, borrowed from the file.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'m> {
    pub form: WeightForm,
    pub bytes: &'m [u8],
}

impl<'m> Weights<'m> {
    /// Weights as `[out][kernel_h][kernel_w][in]`.
    #[must_use]
    pub fn ohwi(weights: &'m [i8]) -> Self {
        Self { form: WeightForm::PORTABLE, bytes: zerocopy::IntoBytes::as_bytes(weights) }
    }

    /// The weights as `[out][kernel_h][kernel_w][in]`; none if they have another layout.
    #[must_use]
    pub fn as_ohwi(self) -> &'m [i8] {
        if self.form.layout == WeightLayout::Ohwi { self.int8() } else { &[] }
    }

    /// The bytes as int8.
    #[must_use]
    pub fn int8(self) -> &'m [i8] {
        <[i8]>::ref_from_bytes(self.bytes).unwrap_or_default()
    }

    /// The bytes as 16-bit values; none if they are misaligned or of odd length.
    #[must_use]
    pub fn int16(self) -> &'m [i16] {
        <[i16]>::ref_from_bytes(self.bytes).unwrap_or_default()
    }
}
