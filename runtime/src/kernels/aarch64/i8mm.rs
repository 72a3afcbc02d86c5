//! Products of matrices of bytes (`SMMLA`): Cortex-A510, A710, Neoverse V1 and later.

use super::dotprod::DOTPROD;
#[cfg(native_i8mm)]
use super::native;
use super::neon::OPERATORS;
use super::{GRAIN, direct8, grouped, layouts};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::KernelFamily;
use crate::kernels::declare::{Grain, InstructionSet, Kernel, declare_code, kernels, layouts_of};
use crate::kernels::grouped::is_depthwise;
use crate::kernels::layouts::Layouts;

declare_code!($ native_i8mm);

/// NEON with `SDOT` and `SMMLA`.
pub(crate) static I8MM: InstructionSet = InstructionSet {
    family: KernelFamily::I8mm,
    base: Some(&DOTPROD),
    kernels: kernels! { GRAIN;
        conv_grouped_i8mm(I8mm) {
            computes: grouped::computes,
            is_profitable: |shape| !is_depthwise(shape),
            scratch_bytes: grouped::scratch_bytes,
            grain: Grain { channels: 0, ..GRAIN },
        }
        conv_direct8_i8mm(I8mm) {
            reads: &[WeightForm::PORTABLE, Target::Armv8I8mm.with(WeightLayout::Direct8)],
            computes: direct8::computes,
            scratch_bytes: direct8::scratch_bytes::<{ direct8::PAIR }>,
        }
    },
    layouts: layouts_of!(layouts),
    operators: OPERATORS,
    is_there: code!(is_there I8mm),
};
