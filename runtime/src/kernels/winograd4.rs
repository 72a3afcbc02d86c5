//! 3x3 convolution by Winograd's F(4x4, 3x3) in integers: 36 multiplications where direct convolution
//! takes 144, and the same bytes.
//!
//! Transforms: Lavin and Gray, arXiv:1509.09308, with points 0, 1, -1, 2, -2 and infinity, scaled to
//! integers. An output tile of 4x4 pixels needs an input window of 6x6. With `d` the window, `g` the
//! 3x3 weights and all products summed over the input channels,
//! `576 * y = A^T [(G g G^T) . (B^T d B)] A`. The transformed values fit 16 bits for every int8
//! input (|B^T d B| <= 12,800) and weight (|G g G^T| <= 18,432), so multiply-adds of 16
//! bits take them; sums and the last transform wrap modulo 2^32. 576 is 64 * 9 and 9 has an inverse modulo 2^32, so
//! `(r * inverse) >> 6` is `y` exactly while |y| < 2^25.
//!
//! What may not be broken: that bound. Packing weights proves it of their channels; a kernel that takes
//! any weights sees to it that they keep it.

use super::ConvShape;
use super::packing::Filter;

/// Output pixels on a side of a tile.
pub(super) const TILE: usize = 4;
/// Output channels of a block, whose weights lie together: of vectors of sums, one to four.
pub(crate) const BLOCK: usize = 16;
/// Channels come in multiples of the longest vector of i16.
const LANES: usize = 16;
/// The inverse of 9 modulo 2^32.
pub(super) const INVERSE_OF_9: i32 = 0x38e3_8e39;
const _: () = assert!(INVERSE_OF_9.wrapping_mul(9) == 1);

/// Whether Winograd's algorithm computes this convolution.
#[must_use]
pub(crate) fn computes(shape: &ConvShape) -> bool {
    let [_, _, in_c] = shape.input;
    let [_, _, out_c] = shape.output;
    shape.kernel == [3, 3]
        && shape.strides == [1, 1]
        && shape.dilations == [1, 1]
        && shape.groups == 1
        && in_c >= LANES
        && in_c.is_multiple_of(LANES)
        && out_c >= BLOCK
        && out_c.is_multiple_of(BLOCK)
}

/// Whether it is worth that: one tile does not pay for the transform of the weights.
#[must_use]
pub(super) fn is_profitable(shape: &ConvShape) -> bool {
    shape.output[0] > TILE || shape.output[1] > TILE
}

/// Whether this is a stem: 7x7 at stride 2 over three channels, which is 4x4 at stride 1 over 2x2 pixels
/// of twelve, a case for F(3x3, 4x4).
pub(crate) fn is_stem(shape: &ConvShape) -> bool {
    shape.kernel == [7, 7]
        && shape.strides == [2, 2]
        && shape.dilations == [1, 1]
        && shape.groups == 1
        && shape.input[2] == 3
}

/// What its weights become where they are stored.
pub(super) fn filter(shape: &ConvShape) -> Filter {
    if is_stem(shape) { Filter::Stem4 } else { Filter::Winograd4 }
}
