//! AArch64: NEON, which every processor has, and the dot products and products of matrices of newer ones.
//!
//! All compute directly in 8 bits ([`direct8`]) or by F(4x4, 3x3) ([`winograd4`]), and pack weights in blocks
//! of sixteen output channels ([`layouts`]).

mod depthwise;
pub(crate) mod direct8;
mod layouts;
#[cfg(native_aarch64)]
mod native;
pub(crate) mod winograd4;

use super::declare::{
    Grain, InstructionSet, Kernel, Named, Operators, declare_code, kernels, layouts_of,
};
use super::layouts::Layouts;
use super::winograd4 as geometry;
use super::{KernelFamily, grouped, portable};
use crate::format::{Target, WeightForm, WeightLayout};

declare_code!($ native_aarch64);

/// Blocks of sixteen channels.
///
/// The least work is an estimate, since emulators know no time: at 2 to 4 multiply-accumulates a cycle it
/// takes 0.1 ms, as long as two to three hand-overs to a thread.
const GRAIN: Grain = Grain { rows: 1, channels: 16, transforms: &[], least_work: 500_000 };

/// All operators but convolutions, the same for all sets.
const OPERATORS: Operators = Operators {
    average_pool: Named { name: "average_pool_neon", run: code!(every average_pool_neon) },
    average_pool_inside: Named {
        name: "average_pool_inside_neon",
        run: code!(every average_pool_inside_neon),
    },
    add: Named { name: "add_neon", run: code!(every add_neon) },
    add_in_place: Named { name: "add_neon", run: code!(every add_in_place_neon) },
    logits: Named { name: "logits_neon", run: code!(Neon: logits_neon, args) },
    ..portable::OPERATORS
};

/// ARMv8.0 with NEON.
pub(crate) static NEON: InstructionSet = InstructionSet {
    family: KernelFamily::Neon,
    base: Some(&portable::GENERIC),
    kernels: kernels! { GRAIN;
        conv_depthwise_neon(Neon) {
            computes: grouped::is_depthwise,
            scratch_bytes: depthwise::scratch_bytes,
            grain: Grain { channels: 0, ..GRAIN },
        }
        conv_winograd4_neon(Neon) {
            reads: &[WeightForm::PORTABLE, Target::Armv8Neon.with(WeightLayout::Winograd4)],
            computes: geometry::computes,
            is_profitable: geometry::is_profitable,
            scratch_bytes: winograd4::scratch_bytes,
            grain: Grain { rows: 4, transforms: &[WeightLayout::Ohwi], ..GRAIN },
        }
        conv_winograd4_stem_neon(Neon) {
            reads: &[Target::Armv8Neon.with(WeightLayout::Winograd4)],
            computes: geometry::is_stem,
            scratch_bytes: winograd4::scratch_bytes,
            grain: Grain { rows: 3, ..GRAIN },
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

/// NEON with `SDOT`.
pub(crate) static DOTPROD: InstructionSet = InstructionSet {
    family: KernelFamily::Dotprod,
    base: Some(&NEON),
    kernels: kernels! { GRAIN;
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

/// NEON with `SDOT` and `SMMLA`.
pub(crate) static I8MM: InstructionSet = InstructionSet {
    family: KernelFamily::I8mm,
    base: Some(&DOTPROD),
    kernels: kernels! { GRAIN;
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
