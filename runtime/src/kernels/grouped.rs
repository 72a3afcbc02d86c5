//! Geometry that kernels of grouped and of depthwise convolutions share, on every machine.

use super::ConvShape;

/// Whether every output channel sees the input channel of its own number alone.
pub(super) const fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups == shape.input[2] && shape.groups == shape.output[2]
}

/// Whether every output value is a factor and a summand of the input value in its place: what is left of a
/// batch norm that no convolution takes up.
pub(super) fn is_affine(shape: &ConvShape) -> bool {
    is_depthwise(shape)
        && shape.kernel == [1, 1]
        && shape.strides == [1, 1]
        && shape.input == shape.output
        && shape.pads == [0; 4]
}

/// From the first input position of a window to behind its last one.
pub(super) const fn span(shape: &ConvShape, axis: usize) -> usize {
    let taps = shape.kernel[axis].saturating_sub(1);
    taps.saturating_mul(shape.dilations[axis]).saturating_add(1)
}

/// The row or column of the input at a position of the padded input; none in the padding.
pub(super) fn inside(shape: &ConvShape, axis: usize, padded: usize) -> Option<usize> {
    padded.checked_sub(shape.pads[axis]).filter(|&position| position < shape.input[axis])
}
