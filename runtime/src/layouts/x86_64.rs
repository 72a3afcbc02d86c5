//! Layouts of x86-64 with AVX2.

use crate::format::WeightLayout;
use crate::kernels::ConvShape;

/// See [`super::weights_bytes`].
pub(super) fn weights_bytes(_layout: WeightLayout, _shape: &ConvShape) -> Option<u64> {
    None
}

/// See [`super::pack`]; the layout exists and `ohwi` has the shape's length.
#[cfg(feature = "write")]
pub(super) fn pack(
    _layout: WeightLayout,
    _shape: &ConvShape,
    _ohwi: &[i8],
) -> Option<std::vec::Vec<u8>> {
    None
}

/// See [`super::unpack`]; the layout exists and `packed` has its length.
#[cfg(feature = "write")]
pub(super) fn unpack(
    _layout: WeightLayout,
    _shape: &ConvShape,
    _packed: &[u8],
) -> Option<std::vec::Vec<i8>> {
    None
}
