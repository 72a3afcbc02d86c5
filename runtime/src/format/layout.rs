//! Which machine a file's weights are laid out for, and in which order.
//!
//! Machines are listed with the instruction sets, in `kernels/instruction_sets.rs`.

use zerocopy::FromBytes;

pub use crate::kernels::Target;

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

impl Target {
    /// This layout as this machine has it.
    #[must_use]
    pub const fn with(self, layout: WeightLayout) -> WeightForm {
        WeightForm { target: self, layout }
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
    pub const PORTABLE: Self = Target::Portable.with(WeightLayout::Ohwi);
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
