//! Dot products of bytes (`SDOT`): Cortex-A55, A76 and later.

#[cfg(native_dotprod)]
use super::native;
use super::neon::{NEON, OPERATORS};
use super::{GRAIN, direct8, grouped, layouts};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::KernelFamily;
use crate::kernels::declare::{Grain, InstructionSet, Kernel, declare_code, kernels, layouts_of};
use crate::kernels::grouped::is_depthwise;
use crate::kernels::layouts::Layouts;

declare_code!($ native_dotprod);

/// NEON with `SDOT`.
pub(crate) static DOTPROD: InstructionSet = InstructionSet {
    family: KernelFamily::Dotprod,
    base: Some(&NEON),
    kernels: kernels! { GRAIN;
        conv_grouped_dotprod(Dotprod) {
            computes: grouped::computes,
            is_profitable: |shape| !is_depthwise(shape),
            scratch_bytes: grouped::scratch_bytes,
            grain: Grain { channels: 0, ..GRAIN },
        }
        conv_direct8_dotprod(Dotprod) {
            reads: &[WeightForm::PORTABLE, Target::Armv8Dotprod.with(WeightLayout::Direct8)],
            computes: direct8::computes,
            scratch_bytes: direct8::scratch_bytes::<1>,
        }
    },
    layouts: layouts_of!(layouts),
    operators: OPERATORS,
    is_there: code!(is_there Dotprod),
};
