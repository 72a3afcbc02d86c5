//! NEON, which every AArch64 processor has.

#[cfg(native_aarch64)]
use super::native;
use super::{GRAIN, depthwise, direct8, grouped, layouts, winograd4 as tiles};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::declare::{
    Grain, InstructionSet, Kernel, Named, Operators, declare_code, kernels, layouts_of,
};
use crate::kernels::grouped::is_depthwise;
use crate::kernels::layouts::Layouts;
use crate::kernels::{KernelFamily, portable, winograd4};

declare_code!($ native_aarch64);

/// All operators but convolutions, the same for all sets.
pub(super) const OPERATORS: Operators = Operators {
    max_pool: Named {
        name: "max_pool_neon",
        run: code!(Neon: max_pool_neon, shape, clamp, input, output),
    },
    average_pool: Named {
        name: "average_pool_neon",
        run: code!(Neon: average_pool_neon, shape, channel, rq, input, output),
    },
    average_pool_inside: Named {
        name: "average_pool_inside_neon",
        run: code!(Neon: average_pool_inside_neon, shape, channels, rq, input, output),
    },
    add: Named { name: "add_neon", run: code!(Neon: add_neon, p, a, b, output) },
    add_in_place: Named { name: "add_neon", run: code!(Neon: add_in_place_neon, p, a, output) },
    logits: Named { name: "logits_neon", run: code!(Neon: logits_neon, args) },
    subsample: Named { name: "subsample_neon", run: code!(Neon: subsample_neon, args) },
    lookup: Named { name: "lookup_neon", run: code!(Neon: lookup_neon, tables, clamp, values) },
    multiply: Named { name: "multiply_neon", run: code!(Neon: multiply_neon, p, a, b, output) },
    multiply_in_place: Named {
        name: "multiply_neon",
        run: code!(Neon: multiply_in_place_neon, p, a, output),
    },
    concat: Named { name: "concat_neon", run: code!(Neon: concat_neon, args) },
};

/// ARMv8.0 with NEON.
pub(crate) static NEON: InstructionSet = InstructionSet {
    family: KernelFamily::Neon,
    base: Some(&portable::GENERIC),
    kernels: kernels! { GRAIN;
        conv_depthwise_neon(Neon) {
            computes: is_depthwise,
            scratch_bytes: depthwise::scratch_bytes,
            grain: Grain { channels: 0, ..GRAIN },
        }
        conv_winograd4_neon(Neon) {
            reads: &[WeightForm::PORTABLE, Target::Armv8Neon.with(WeightLayout::Winograd4)],
            computes: winograd4::computes,
            is_profitable: winograd4::is_profitable,
            scratch_bytes: tiles::scratch_bytes,
            grain: Grain { rows: 4, transforms: &[WeightLayout::Ohwi], ..GRAIN },
        }
        conv_winograd4_stem_neon(Neon) {
            reads: &[Target::Armv8Neon.with(WeightLayout::Winograd4)],
            computes: winograd4::is_stem,
            scratch_bytes: tiles::scratch_bytes,
            grain: Grain { rows: 3, ..GRAIN },
        }
        conv_grouped_neon(Neon) {
            computes: grouped::computes,
            is_profitable: |shape| !is_depthwise(shape),
            scratch_bytes: grouped::scratch_bytes,
            grain: Grain { channels: 0, ..GRAIN },
        }
        conv_direct8_neon(Neon) {
            reads: &[WeightForm::PORTABLE, Target::Armv8Neon.with(WeightLayout::Direct8)],
            computes: direct8::computes,
            scratch_bytes: direct8::scratch_bytes::<1>,
        }
    },
    layouts: layouts_of!(layouts),
    operators: OPERATORS,
    is_there: code!(is_there Neon),
};
