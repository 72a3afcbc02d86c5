//! Cortex-M3: MLA, the multiply-accumulate of all of ARMv7-M.

#[cfg(native_cortex_m3)]
use super::native;
use super::{GRAIN, depthwise, direct, layouts, winograd};
use crate::format::{Target, WeightLayout};
use crate::kernels::declare::{InstructionSet, Kernel, declare_code, kernels, layouts_of};
use crate::kernels::layouts::Layouts;
use crate::kernels::{KernelFamily, grouped, portable};

declare_code!($ native_cortex_m3);

/// F(4x4, 3x3) of values in 32 bits, as MLA takes them.
pub(super) const WINOGRAD4: winograd::Form = winograd::Form { side: 4, value_bytes: 4 };

/// Cortex-M3.
pub(crate) static M3: InstructionSet = InstructionSet {
    family: KernelFamily::CortexM3,
    base: Some(&portable::GENERIC),
    kernels: kernels! { GRAIN;
        conv_depthwise_cortex_m3(CortexM3) {
            computes: grouped::is_depthwise,
            is_profitable: depthwise::is_profitable,
            scratch_bytes: |shape, _| depthwise::scratch_bytes(shape, 1),
        }
        conv_winograd4_cortex_m3(CortexM3) {
            reads: &[Target::CortexM3.with(WeightLayout::Winograd4)],
            computes: winograd::computes,
            scratch_bytes: |shape, _| WINOGRAD4.scratch_bytes(shape),
        }
        conv_direct_cortex_m3(CortexM3) {
            computes: |shape| direct::ROWS.computes(shape),
            scratch_bytes: |shape, _| direct::ROWS.scratch_bytes(shape),
        }
    },
    layouts: layouts_of!(layouts),
    operators: portable::OPERATORS,
    is_there: code!(is_there CortexM3),
};
