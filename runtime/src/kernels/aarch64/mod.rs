//! AArch64: NEON, which every processor has, and the dot products of newer ones.
//!
//! Both compute directly in 8 bits ([`direct8`]) or by F(4x4, 3x3) ([`winograd4`]), and pack weights in blocks
//! of sixteen output channels ([`layouts`]).

pub(crate) mod direct8;
mod layouts;
#[cfg(native_aarch64)]
mod native;
pub(crate) mod winograd4;

use super::declare::{Grain, InstructionSet, Kernel, OHWI, always, declare_code};
use super::layouts::{Layouts, layouts_of};
use super::winograd4 as geometry;
use super::{KernelFamily, portable};
use crate::format::{Target, WeightForm, WeightLayout};

declare_code!($ native_aarch64);

/// Blocks of sixteen channels.
const GRAIN: Grain = Grain { rows: 1, channels: 16, transforms: &[], least_work: 500_000 };

/// What is said of each kernel, unless it differs.
const COMMON: Kernel = Kernel {
    name: "",
    reads: OHWI,
    computes: always,
    pays: always,
    scratch_bytes: |_, _| 0,
    grain: GRAIN,
    run: None,
};

const fn neon(layout: WeightLayout) -> WeightForm {
    WeightForm { target: Target::Armv8Neon, layout }
}

/// ARMv8.0 with NEON.
pub(crate) static NEON: InstructionSet = InstructionSet {
    family: KernelFamily::Neon,
    base: Some(KernelFamily::Generic),
    kernels: &[
        Kernel {
            name: "conv_winograd4_neon",
            reads: &[WeightForm::PORTABLE, neon(WeightLayout::Winograd4)],
            computes: geometry::computes,
            pays: geometry::pays,
            scratch_bytes: winograd4::scratch_bytes,
            grain: Grain { rows: 4, transforms: &[WeightLayout::Ohwi], ..GRAIN },
            run: code!(Neon: native::conv_winograd4_neon, args),
        },
        Kernel {
            name: "conv_winograd4_stem_neon",
            reads: &[neon(WeightLayout::Winograd4)],
            computes: geometry::is_stem,
            scratch_bytes: winograd4::scratch_bytes,
            grain: Grain { rows: 3, ..GRAIN },
            run: code!(Neon: native::conv_winograd4_neon, args),
            ..COMMON
        },
        Kernel {
            name: "conv_direct8_neon",
            reads: &[WeightForm::PORTABLE, neon(WeightLayout::Direct8)],
            computes: direct8::computes,
            pays: direct8::pays,
            scratch_bytes: direct8::scratch_bytes,
            run: code!(Neon: native::conv_direct8_neon, args),
            ..COMMON
        },
    ],
    layouts: layouts_of!(
        |layout, shape| layouts::weights_bytes(neon(layout), shape),
        |layout, shape, ohwi| layouts::pack(neon(layout), shape, ohwi),
        |layout, shape, packed| layouts::unpack(neon(layout), shape, packed)
    ),
    operators: portable::OPERATORS,
    is_there: code!(is_there Neon),
};

const fn dotprod(layout: WeightLayout) -> WeightForm {
    WeightForm { target: Target::Armv8Dotprod, layout }
}

/// NEON with `SDOT`.
pub(crate) static DOTPROD: InstructionSet = InstructionSet {
    family: KernelFamily::Dotprod,
    base: Some(KernelFamily::Neon),
    kernels: &[Kernel {
        name: "conv_direct8_dotprod",
        reads: &[WeightForm::PORTABLE, dotprod(WeightLayout::Direct8)],
        computes: direct8::computes,
        pays: direct8::pays,
        scratch_bytes: direct8::scratch_bytes,
        run: code!(Dotprod: native::conv_direct8_dotprod, args),
        ..COMMON
    }],
    layouts: layouts_of!(
        |layout, shape| layouts::weights_bytes(dotprod(layout), shape),
        |layout, shape, ohwi| layouts::pack(dotprod(layout), shape, ohwi),
        |layout, shape, packed| layouts::unpack(dotprod(layout), shape, packed)
    ),
    operators: portable::OPERATORS,
    is_there: code!(is_there Dotprod),
};
