//! How `conv_depthwise_neon` divides its work: known on every machine, for plans of boards.

use crate::format::WeightLayout;
use crate::kernels::ConvShape;
use crate::kernels::depthwise::{Form, Plan};
use crate::kernels::winograd4::BLOCK;

/// Blocks of sixteen channels, and rows that stay in the second-level cache.
const FORM: Form = Form { lanes: BLOCK, weight_bytes: 1, most_bytes: 96 << 10 };

pub(super) fn plan(shape: &ConvShape) -> Plan {
    Plan::new(FORM, shape)
}

pub(super) fn scratch_bytes(shape: &ConvShape, _: WeightLayout) -> usize {
    plan(shape).scratch_bytes()
}
