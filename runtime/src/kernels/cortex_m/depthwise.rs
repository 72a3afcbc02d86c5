//! How depthwise convolutions divide their work: four channels of a pixel at a time, from the rows that one
//! row of the output sees. What is left of the channels is portable code.
//!
//! Weights are `[four channels][tap][channel]`, on Cortex-M4 in 16 bits and in the order in which SXTB16 leaves
//! the bytes of a word: c0, c2, c1, c3.

use crate::kernels::ConvShape;
use crate::kernels::depthwise::{Form, Plan};

/// Channels that are computed together.
pub(crate) const LANES: usize = 4;

/// Weights of so many bytes.
pub(crate) const fn form(weight_bytes: usize) -> Form {
    Form { lanes: LANES, weight_bytes, most_bytes: 0 }
}

/// Whether there are channels to compute together.
pub(super) const fn is_profitable(shape: &ConvShape) -> bool {
    shape.groups >= LANES
}

/// Scratch for weights of so many bytes.
pub(super) fn scratch_bytes(shape: &ConvShape, weight_bytes: usize) -> usize {
    Plan::new(form(weight_bytes), shape).scratch_bytes()
}
