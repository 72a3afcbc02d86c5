//! Layouts of AArch64.

use crate::format::WeightForm;
use crate::kernels::ConvShape;

/// See [`super::weights_bytes`].
pub(super) fn weights_bytes(_form: WeightForm, _shape: &ConvShape) -> Option<u64> {
    None
}

/// See [`super::pack`]; the layout exists and `ohwi` has the shape's length.
#[cfg(feature = "write")]
pub(super) fn pack(
    _form: WeightForm,
    _shape: &ConvShape,
    _ohwi: &[i8],
) -> Option<std::vec::Vec<u8>> {
    None
}

/// See [`super::unpack`]; the layout exists and `packed` has its length.
#[cfg(feature = "write")]
pub(super) fn unpack(
    _form: WeightForm,
    _shape: &ConvShape,
    _packed: &[u8],
) -> Option<std::vec::Vec<i8>> {
    None
}
