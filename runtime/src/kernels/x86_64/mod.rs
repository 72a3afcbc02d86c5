//! x86-64: AVX2, the same with dot products of bytes, and AVX-512 with those.
//!
//! They divide a convolution into tiles ([`tiled`], [`vnni`], [`direct`], [`grouped`]) and pack its weights in
//! blocks of sixteen output channels ([`layouts`], [`vnni_layouts`], [`u8s8`]).

pub(crate) mod direct;
pub(crate) mod grouped;
mod layouts;
#[cfg(native_x86_64)]
mod native;
pub(crate) mod tiled;
pub(crate) mod u8s8;
pub(crate) mod vnni;
mod vnni_layouts;

use self::grouped::Affine;
use self::tiled::Plan;
use super::declare::{
    Grain, InstructionSet, Kernel, Named, Operators, declare_code, kernels, layouts_of,
};
use super::grouped::is_affine;
use super::layouts::Layouts;
use super::{ConvShape, KernelFamily, portable, winograd4};
use crate::format::{Target, WeightForm, WeightLayout};

declare_code!($ native_x86_64);

/// Blocks of sixteen channels.
///
/// Two threads over one with the least work set to 0 (`kernel-bench resnet20.fxn resnet8.fxn` with
/// `--threads=2` and without, AMD EPYC with AVX-512, 2026-11-27), medians over kernels and layers: 1.26 at 0.13
/// million multiply-accumulates, 0.68 at 0.44, 0.85 at 1.18 and 0.84 at 2.36 million. Below two million less
/// than 10 µs are to be won, and single layers took up to 1.8 times as long.
const GRAIN: Grain = Grain { rows: 1, channels: 16, transforms: &[], least_work: 2_000_000 };

/// Grouped convolutions: all blocks of channels see the same rows. Depthwise ones cost several times as much a
/// multiply-accumulate, which is what their outputs cost.
const GROUPED: Grain = Grain { channels: 0, least_work: 500_000, ..GRAIN };

/// Direct8 of `vpdpbusd` is the same at any width.
const fn vnni(layout: WeightLayout) -> [WeightForm; 2] {
    [Target::X86_64AvxVnni.with(layout), Target::X86_64Avx512Vnni.with(layout)]
}

/// Winograd's weights are the same for all.
const fn all(layout: WeightLayout) -> [WeightForm; 3] {
    let [avx_vnni, avx512_vnni] = vnni(layout);
    [Target::X86_64Avx2.with(layout), avx_vnni, avx512_vnni]
}

const WINOGRAD2: &[WeightForm] = &all(WeightLayout::Winograd2);
const WINOGRAD4: &[WeightForm] = &all(WeightLayout::Winograd4);
const WINOGRAD4_INT8: &[WeightForm] = &all(WeightLayout::Winograd4Int8);
const DIRECT16: &[WeightForm] = &all(WeightLayout::Direct16);
const DIRECT8_VNNI: &[WeightForm] = &vnni(WeightLayout::Direct8);

fn is_at_stride_1(shape: &ConvShape) -> bool {
    shape.strides == [1, 1]
}

/// Of the layout Winograd4: 3x3 at stride 2.
fn is_strided(shape: &ConvShape) -> bool {
    shape.strides == [2, 2] && shape.kernel == [3, 3]
}

const AVX2_OPERATORS: Operators = Operators {
    max_pool: Named {
        name: "max_pool_avx2",
        run: code!(Avx2: max_pool_avx2, shape, clamp, input, output),
    },
    logits: Named { name: "logits_avx2", run: code!(Avx2: logits_avx2, args) },
    average_pool: Named {
        name: "average_pool_avx2",
        run: code!(Avx2: average_pool_avx2, shape, channel, rq, input, output),
    },
    average_pool_inside: Named {
        name: "average_pool_inside_avx2",
        run: code!(Avx2: average_pool_inside_avx2, shape, channels, rq, input, output),
    },
    add: Named { name: "add_avx2", run: code!(Avx2: add_avx2, p, a, b, output) },
    add_in_place: Named { name: "add_avx2", run: code!(Avx2: add_in_place_avx2, p, a, output) },
    subsample: Named { name: "subsample_avx2", run: code!(Avx2: subsample_avx2, args) },
    lookup: Named { name: "lookup_avx2", run: code!(Avx2: lookup_avx2, tables, clamp, values) },
    multiply: Named { name: "multiply_avx2", run: code!(Avx2: multiply_avx2, p, a, b, output) },
    multiply_in_place: Named {
        name: "multiply_avx2",
        run: code!(Avx2: multiply_in_place_avx2, p, a, output),
    },
    concat: Named { name: "concat_avx2", run: code!(Avx2: concat_avx2, args) },
};

/// AVX2.
pub(crate) static AVX2: InstructionSet = InstructionSet {
    family: KernelFamily::Avx2,
    base: Some(&portable::GENERIC),
    kernels: kernels! { GRAIN;
        conv_winograd4_stored_avx2(Avx2) {
            reads: WINOGRAD4,
            computes: is_at_stride_1,
            scratch_bytes: |shape, _| Plan::winograd4(tiled::AVX2, shape).scratch_bytes(),
            grain: Grain { rows: 4, ..GRAIN },
        }
        conv_winograd4_int8_avx2(Avx2) {
            reads: WINOGRAD4_INT8,
            scratch_bytes: |shape, _| Plan::winograd4_int8(shape).scratch_bytes(),
            grain: Grain { rows: 4, transforms: &[WeightLayout::Winograd4Int8], ..GRAIN },
        }
        conv_winograd4_stride2_avx2(Avx2) {
            reads: WINOGRAD4,
            computes: is_strided,
            scratch_bytes: |shape, _| Plan::strided4(tiled::AVX2, shape).scratch_bytes(),
            grain: Grain { rows: 4, ..GRAIN },
        }
        conv_winograd4_stem_avx2(Avx2) {
            reads: WINOGRAD4,
            computes: winograd4::is_stem,
            scratch_bytes: |shape, _| Plan::stem(tiled::AVX2, shape).scratch_bytes(),
            grain: Grain { rows: 3, ..GRAIN },
        }
        conv_winograd2_avx2(Avx2) {
            reads: WINOGRAD2,
            scratch_bytes: |shape, _| Plan::winograd2(shape).scratch_bytes(),
            grain: Grain { rows: 2, ..GRAIN },
        }
        conv_u8s8_avx2(Avx2) {
            reads: &[Target::X86_64Avx2.with(WeightLayout::U8s8)],
            scratch_bytes: |shape, _| Plan::u8s8(shape).scratch_bytes(),
        }
        conv_direct16_avx2(Avx2) {
            reads: DIRECT16,
            scratch_bytes: |shape, _| Plan::direct(shape).scratch_bytes(),
        }
        conv_direct8_avx2(Avx2) {
            reads: &[Target::X86_64Avx2.with(WeightLayout::Direct8)],
            scratch_bytes: |shape, _| Plan::direct(shape).scratch_bytes(),
        }
        conv_winograd4_avx2(Avx2) {
            computes: winograd4::computes,
            is_profitable: winograd4::is_profitable,
            scratch_bytes: |shape, _| Plan::winograd4_ohwi_bytes(Plan::winograd4_int8(shape), shape),
            grain: Grain { rows: 4, transforms: &[WeightLayout::Ohwi], ..GRAIN },
        }
        conv_stem_avx2(Avx2) {
            computes: |shape| tiled::computes(shape) && winograd4::is_stem(shape),
            scratch_bytes: |shape, _| Plan::stem_ohwi(shape).scratch_bytes(),
            grain: Grain { rows: 3, ..GRAIN },
        }
        conv_packed_avx2(Avx2) {
            computes: tiled::computes,
            is_profitable: tiled::is_profitable,
            scratch_bytes: |shape, _| Plan::direct_ohwi(shape).scratch_bytes(),
            grain: Grain { transforms: &[WeightLayout::Ohwi], ..GRAIN },
        }
        conv_affine_avx2(Avx2) {
            computes: is_affine,
            scratch_bytes: |shape, _| Affine::new(shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_depthwise_avx2(Avx2) {
            computes: grouped::computes_depthwise,
            is_profitable: |shape| !is_affine(shape),
            scratch_bytes: |shape, _| grouped::Plan::depthwise(grouped::AVX2, grouped::BLOCK, shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_grouped_avx2(Avx2) {
            computes: grouped::computes_grouped,
            scratch_bytes: |shape, _| grouped::Plan::grouped(grouped::AVX2, shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_direct_avx2(Avx2) {
            computes: |shape| shape.groups == 1,
            scratch_bytes: |shape, _| direct::AVX2.scratch_bytes(shape),
        }
    },
    layouts: layouts_of!(layouts),
    operators: AVX2_OPERATORS,
    is_there: code!(is_there Avx2),
};

/// AVX2 with `vpdpbusd`.
pub(crate) static AVX_VNNI: InstructionSet = InstructionSet {
    family: KernelFamily::AvxVnni,
    base: Some(&AVX2),
    kernels: kernels! { GRAIN;
        conv_direct8_avx_vnni(AvxVnni) {
            reads: DIRECT8_VNNI,
            computes: vnni::computes,
            scratch_bytes: |shape, _| vnni::Plan::packed(vnni::AVX, shape).scratch_bytes(),
        }
        conv_packed_avx_vnni(AvxVnni) {
            computes: vnni::computes,
            is_profitable: |shape| {
                let is_winograds = winograd4::computes(shape) && tiled::winograd4_is_profitable(shape);
                vnni::is_profitable(shape) && !is_winograds
            },
            scratch_bytes: |shape, _| vnni::Plan::from_ohwi(vnni::AVX, shape).scratch_bytes(),
        }
        conv_depthwise_avx_vnni(AvxVnni) {
            computes: grouped::computes_depthwise,
            is_profitable: |shape| !is_affine(shape),
            scratch_bytes: |shape, _| grouped::Plan::depthwise(grouped::VNNI, grouped::BLOCK, shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_grouped_avx_vnni(AvxVnni) {
            computes: grouped::computes_grouped,
            scratch_bytes: |shape, _| grouped::Plan::grouped(grouped::VNNI, shape).scratch_bytes(),
            grain: GROUPED,
        }
    },
    layouts: layouts_of!(vnni_layouts),
    operators: Operators {
        logits: Named { name: "logits_avx_vnni", run: code!(AvxVnni: logits_avx_vnni, args) },
        ..AVX2_OPERATORS
    },
    is_there: code!(is_there AvxVnni),
};

/// AVX-512 with VNNI.
pub(crate) static AVX512_VNNI: InstructionSet = InstructionSet {
    family: KernelFamily::Avx512Vnni,
    base: Some(&AVX_VNNI),
    kernels: kernels! { GRAIN;
        conv_winograd4_stored_avx512(Avx512Vnni) {
            reads: WINOGRAD4,
            computes: is_at_stride_1,
            scratch_bytes: |shape, _| Plan::winograd4(tiled::AVX512, shape).scratch_bytes(),
            grain: Grain { rows: 4, ..GRAIN },
        }
        conv_winograd4_int8_avx512(Avx512Vnni) {
            reads: WINOGRAD4_INT8,
            scratch_bytes: |shape, _| Plan::winograd4(tiled::AVX512, shape).scratch_bytes(),
            grain: Grain { rows: 4, ..GRAIN },
        }
        conv_winograd4_stride2_avx512(Avx512Vnni) {
            reads: WINOGRAD4,
            computes: is_strided,
            scratch_bytes: |shape, _| Plan::strided4(tiled::AVX512, shape).scratch_bytes(),
            grain: Grain { rows: 4, ..GRAIN },
        }
        conv_winograd4_stem_avx512(Avx512Vnni) {
            reads: WINOGRAD4,
            computes: winograd4::is_stem,
            scratch_bytes: |shape, _| Plan::stem(tiled::AVX512, shape).scratch_bytes(),
            grain: Grain { rows: 3, ..GRAIN },
        }
        conv_direct8_vnni(Avx512Vnni) {
            reads: DIRECT8_VNNI,
            computes: vnni::computes,
            scratch_bytes: |shape, _| vnni::Plan::packed(vnni::AVX512, shape).scratch_bytes(),
        }
        conv_winograd4_avx512(Avx512Vnni) {
            computes: winograd4::computes,
            is_profitable: tiled::winograd4_is_profitable,
            scratch_bytes: |shape, _| Plan::winograd4_ohwi_bytes(Plan::winograd4_from_ohwi(shape), shape),
            grain: Grain { rows: 4, transforms: &[WeightLayout::Ohwi], ..GRAIN },
        }
        conv_packed_vnni(Avx512Vnni) {
            computes: vnni::computes,
            is_profitable: vnni::is_profitable,
            scratch_bytes: |shape, _| vnni::Plan::from_ohwi(vnni::AVX512, shape).scratch_bytes(),
        }
        conv_affine_avx512(Avx512Vnni) {
            computes: is_affine,
            scratch_bytes: |shape, _| Affine::new(shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_depthwise_vnni(Avx512Vnni) {
            computes: grouped::computes_depthwise,
            is_profitable: |shape| !is_affine(shape),
            scratch_bytes: |shape, _| grouped::Plan::depthwise(grouped::VNNI, grouped::WIDE, shape).scratch_bytes(),
            grain: GROUPED,
        }
        conv_grouped_vnni(Avx512Vnni) {
            computes: grouped::computes_grouped,
            scratch_bytes: |shape, _| grouped::Plan::grouped(grouped::VNNI, shape).scratch_bytes(),
            grain: GROUPED,
        }
    },
    layouts: layouts_of!(vnni_layouts),
    operators: Operators {
        max_pool: Named {
            name: "max_pool_avx512",
            run: code!(Avx512Vnni: max_pool_avx512, shape, clamp, input, output),
        },
        logits: Named { name: "logits_vnni", run: code!(Avx512Vnni: logits_vnni, args) },
        average_pool: Named {
            name: "average_pool_avx512",
            run: code!(Avx512Vnni: average_pool_avx512, shape, channel, rq, input, output),
        },
        average_pool_inside: Named {
            name: "average_pool_inside_avx512",
            run: code!(Avx512Vnni: average_pool_inside_avx512, shape, channels, rq, input, output),
        },
        add: Named { name: "add_avx512", run: code!(Avx512Vnni: add_avx512, p, a, b, output) },
        add_in_place: Named {
            name: "add_avx512",
            run: code!(Avx512Vnni: add_in_place_avx512, p, a, output),
        },
        lookup: Named {
            name: "lookup_avx512",
            run: code!(Avx512Vnni: lookup_avx512, tables, clamp, values),
        },
        multiply: Named {
            name: "multiply_avx512",
            run: code!(Avx512Vnni: multiply_avx512, p, a, b, output),
        },
        multiply_in_place: Named {
            name: "multiply_avx512",
            run: code!(Avx512Vnni: multiply_in_place_avx512, p, a, output),
        },
        concat: Named { name: "concat_avx512", run: code!(Avx512Vnni: concat_avx512, args) },
        ..AVX2_OPERATORS
    },
    is_there: code!(is_there Avx512Vnni),
};
