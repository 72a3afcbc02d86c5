//! Layouts of x86-64 with AVX-512 VNNI: those of AVX2 but for direct8 and u8s8.

use super::x86_64;
#[cfg(feature = "write")]
pub(super) use super::x86_64::unpack;
use crate::format::WeightLayout;
use crate::kernels::ConvShape;

/// See [`super::weights_bytes`].
pub(super) fn weights_bytes(layout: WeightLayout, shape: &ConvShape) -> Option<u64> {
    match layout {
        WeightLayout::Direct8 | WeightLayout::U8s8 => None,
        _ => x86_64::weights_bytes(layout, shape),
    }
}

/// See [`super::pack`].
#[cfg(feature = "write")]
pub(super) fn pack(
    layout: WeightLayout,
    shape: &ConvShape,
    ohwi: &[i8],
) -> Option<std::vec::Vec<u8>> {
    x86_64::pack(layout, shape, ohwi)
}
