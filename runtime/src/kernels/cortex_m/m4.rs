//! Cortex-M4: the DSP extension's SMLAD, and registers of the floating-point unit to keep values in.

#[cfg(native_cortex_m4)]
use super::native;
use super::{GRAIN, depthwise, direct, layouts, winograd};
use crate::format::{Target, WeightLayout};
use crate::kernels::declare::{InstructionSet, Kernel, declare_code, kernels, layouts_of};
use crate::kernels::layouts::Layouts;
use crate::kernels::{KernelFamily, grouped, portable};

declare_code!($ native_cortex_m4);

/// F(4x4, 3x3) of pairs of values, as SMLAD takes them.
pub(super) const WINOGRAD4: winograd::Form = winograd::Form { side: 4, value_bytes: 2 };
/// F(2x2, 3x3), likewise.
pub(super) const WINOGRAD2: winograd::Form = winograd::Form { side: 2, value_bytes: 2 };

/// Cortex-M4, M7 and M33.
pub(crate) static M4: InstructionSet = InstructionSet {
    family: KernelFamily::CortexM4,
    base: Some(&portable::GENERIC),
    kernels: kernels! { GRAIN;
        conv_depthwise_cortex_m4(CortexM4) {
            computes: grouped::is_depthwise,
            is_profitable: depthwise::is_profitable,
            scratch_bytes: |shape, _| depthwise::scratch_bytes(shape, 2),
        }
        conv_winograd4_cortex_m4(CortexM4) {
            reads: &[Target::CortexM4.with(WeightLayout::Winograd4)],
            computes: winograd::computes,
            scratch_bytes: |shape, _| WINOGRAD4.scratch_bytes(shape),
        }
        conv_winograd2_cortex_m4(CortexM4) {
            reads: &[Target::CortexM4.with(WeightLayout::Winograd2)],
            computes: winograd::computes,
            scratch_bytes: |shape, _| WINOGRAD2.scratch_bytes(shape),
        }
        conv_direct16_cortex_m4(CortexM4) {
            reads: &[Target::CortexM4.with(WeightLayout::Direct16)],
            computes: |shape| direct::PACKED.computes(shape),
            scratch_bytes: |shape, _| direct::PACKED.scratch_bytes(shape),
        }
        conv_direct8_cortex_m4(CortexM4) {
            reads: &[Target::CortexM4.with(WeightLayout::Direct8)],
            computes: |shape| direct::PACKED.computes(shape),
            scratch_bytes: |shape, _| direct::PACKED.scratch_bytes(shape),
        }
        conv_direct_cortex_m4(CortexM4) {
            computes: |shape| direct::ROWS.computes(shape),
            scratch_bytes: |shape, _| direct::ROWS.scratch_bytes(shape),
        }
    },
    layouts: layouts_of!(layouts),
    operators: portable::OPERATORS,
    is_there: code!(is_there CortexM4),
};
