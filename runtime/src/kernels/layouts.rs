//! What packed weights look like: for each target the layouts that its kernels read, their sizes and,
//! on the host, the way there and back.
//!
//! A layout holds weights only; biases and multipliers stay as they are. What may not be broken: a
//! packed file gives the bytes of the portable one. So `pack` refuses weights that break a bound of
//! the layout's arithmetic, `unpack` gives back the very weights, and the size of a layout follows
//! from the shape alone.

use super::{ConvShape, KernelFamily};
use crate::format::{WeightForm, WeightLayout};

/// An instruction set's own orders of weights: all but OHWI. Forms have its target.
pub(crate) struct Layouts {
    /// Bytes of weights; `None` if there is no such layout, or not for this shape.
    pub bytes: fn(WeightForm, &ConvShape) -> Option<u64>,
    /// See `pack`. The layout exists, and the weights have the shape's length.
    #[cfg(feature = "write")]
    pub pack: fn(WeightForm, &ConvShape, &[i8]) -> Option<std::vec::Vec<u8>>,
    /// See `unpack`, which packs the result again to see that it is right. The layout exists, and the bytes
    /// have its length.
    #[cfg(feature = "write")]
    pub unpack: fn(WeightForm, &ConvShape, &[u8]) -> Option<std::vec::Vec<i8>>,
}

impl Layouts {
    /// No layouts but OHWI.
    pub const NONE: Self = Self {
        bytes: |_, _| None,
        #[cfg(feature = "write")]
        pack: |_, _, _| None,
        #[cfg(feature = "write")]
        unpack: |_, _, _| None,
    };

    fn for_form(form: WeightForm) -> Option<&'static Self> {
        Some(&KernelFamily::for_target(form.target)?.set()?.layouts)
    }
}

/// Bytes of a convolution's weights in this form; `None` if the target has no such layout, or not for
/// this shape, or if there are no weights.
#[must_use]
pub fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    if shape.output[2] == 0 || shape.patch_len() == 0 {
        return None;
    }
    if form.layout == WeightLayout::Ohwi {
        return (shape.output[2] as u64).checked_mul(u64::try_from(shape.patch_len()).ok()?);
    }
    (Layouts::for_form(form)?.bytes)(form, shape)
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
    if form.layout == WeightLayout::Ohwi {
        return Some(zerocopy::IntoBytes::as_bytes(ohwi).to_vec());
    }
    (Layouts::for_form(form)?.pack)(form, shape, ohwi)
}

/// The OHWI weights behind packed bytes; `None` if there are none.
#[cfg(feature = "write")]
#[must_use]
pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<std::vec::Vec<i8>> {
    if weights_bytes(form, shape)? != packed.len() as u64 {
        return None;
    }
    if form.layout == WeightLayout::Ohwi {
        return Some(packed.iter().map(|&byte| byte as i8).collect());
    }
    let weights = (Layouts::for_form(form)?.unpack)(form, shape, packed)?;
    (pack(form, shape, &weights)? == packed).then_some(weights)
}
