//! What packed weights look like: for each target the layouts that its kernels read, their sizes and,
//! on the host, the way there and back.
//!
//! A layout holds weights only; biases and multipliers stay as they are. What may not be broken: a
//! packed file gives the bytes of the portable one. So `pack` refuses weights that break a bound of
//! the layout's arithmetic, `unpack` gives back the very weights, and the size of a layout follows
//! from the shape alone.

mod aarch64;
mod cortex_m;
mod vnni;
#[cfg(feature = "write")]
pub mod winograd;
pub(crate) mod x86_64;

use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::ConvShape;

/// Bytes of a convolution's weights in this form; `None` if the target has no such layout, or not for
/// this shape, or if there are no weights.
#[must_use]
pub fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    if shape.output[2] == 0 || shape.patch_len() == 0 {
        return None;
    }
    match (form.target, form.layout) {
        (_, WeightLayout::Ohwi) => {
            (shape.output[2] as u64).checked_mul(u64::try_from(shape.patch_len()).ok()?)
        }
        (Target::Portable, _) => None,
        (Target::X86_64Avx2, layout) => x86_64::weights_bytes(layout, shape),
        (Target::X86_64Avx512Vnni, layout) => vnni::weights_bytes(layout, shape),
        (Target::Armv8Neon | Target::Armv8Dotprod, _) => aarch64::weights_bytes(form, shape),
        (Target::CortexM4 | Target::CortexM3, _) => cortex_m::weights_bytes(form, shape),
    }
}

/// Packs OHWI weights; `None` if the target has no such layout for this shape, or if the weights
/// break a bound that it needs.
#[cfg(feature = "write")]
#[must_use]
pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<std::vec::Vec<u8>> {
    weights_bytes(form, shape)?;
    if ohwi.len() != shape.output[2].checked_mul(shape.patch_len())? {
        return None;
    }
    match (form.target, form.layout) {
        (_, WeightLayout::Ohwi) => Some(zerocopy::IntoBytes::as_bytes(ohwi).to_vec()),
        (Target::Portable, _) => None,
        (Target::X86_64Avx2, layout) => x86_64::pack(layout, shape, ohwi),
        (Target::X86_64Avx512Vnni, layout) => vnni::pack(layout, shape, ohwi),
        (Target::Armv8Neon | Target::Armv8Dotprod, _) => aarch64::pack(form, shape, ohwi),
        (Target::CortexM4 | Target::CortexM3, _) => cortex_m::pack(form, shape, ohwi),
    }
}

/// The OHWI weights behind packed bytes; `None` if there are none.
#[cfg(feature = "write")]
#[must_use]
pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<std::vec::Vec<i8>> {
    if weights_bytes(form, shape)? != packed.len() as u64 {
        return None;
    }
    let weights = match (form.target, form.layout) {
        (_, WeightLayout::Ohwi) => packed.iter().map(|&byte| byte as i8).collect(),
        (Target::Portable, _) => return None,
        (Target::X86_64Avx2, layout) => x86_64::unpack(layout, shape, packed)?,
        (Target::X86_64Avx512Vnni, layout) => vnni::unpack(layout, shape, packed)?,
        (Target::Armv8Neon | Target::Armv8Dotprod, _) => aarch64::unpack(form, shape, packed)?,
        (Target::CortexM4 | Target::CortexM3, _) => cortex_m::unpack(form, shape, packed)?,
    };
    (pack(form, shape, &weights)? == packed).then_some(weights)
}
