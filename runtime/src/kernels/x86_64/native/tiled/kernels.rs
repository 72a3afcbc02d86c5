//! The kernels: a form, an instruction set, and where the weights come from.

use super::Tiles;
use super::direct::{self, Direct};
use super::driver::{self, Source};
use super::filters;
use super::stem::{self, Stem};
use super::strided4::Strided4;
use super::u8s8::U8s8;
use super::vector::Vectors;
use super::winograd2::Winograd2;
use super::winograd4::{Winograd4, Winograd4Unscaled};
use crate::error::Fault;
use crate::kernels::x86_64::native::{Avx2, Avx512Vnni};
use crate::kernels::x86_64::tiled::{self, AVX512, Plan};
use crate::kernels::{ConvArgs, ConvShape};

/// See [`crate::kernels::portable::reference::conv`]; weights in int8, widened as they are multiplied.
pub fn conv_direct8_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) = (Plan::direct(args.shape), Source::Narrow(args.weights.int8()));
    conv::<Avx2, Direct>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; weights in 16 bits.
pub fn conv_direct16_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) = (Plan::direct(args.shape), Source::Stored(args.weights.int16()));
    conv::<Avx2, Direct>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; products of unsigned and signed bytes, added in 16 bits.
pub fn conv_u8s8_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) = (Plan::u8s8(args.shape), Source::Bytes(args.weights.bytes));
    conv::<Avx2, U8s8>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(2x2, 3x3) with stored weights.
pub fn conv_winograd2_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) = (Plan::winograd2(args.shape), Source::Stored(args.weights.int16()));
    conv::<Avx2, Winograd2>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) with weights that are transformed while it runs.
pub fn conv_winograd4_int8_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let plan = Plan::winograd4_int8(args.shape);
    let source = Source::Transformed(args.weights.int8(), filters::from_pairs);
    conv::<_, Winograd4Unscaled>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) with weights that are transformed while it runs.
pub fn conv_winograd4_int8_avx512(token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    let plan = Plan::winograd4(AVX512, args.shape);
    let source = Source::Taps(args.weights.int8());
    conv::<_, Winograd4Unscaled>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; OHWI weights in 16 bits and pairs, interleaved while it runs.
pub fn conv_packed_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let plan = Plan::direct_ohwi(args.shape);
    let source = Source::Transformed(args.weights.as_ohwi(), direct::from_ohwi);
    conv::<Avx2, Direct>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) with OHWI weights that are transformed while it runs.
pub fn conv_winograd4_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    if !is_exact(&args) {
        return conv_packed_avx2(token, args);
    }
    let plan = Plan::winograd4_int8(args.shape);
    let source = Source::Transformed(args.weights.as_ohwi(), filters::from_ohwi);
    conv::<_, Winograd4Unscaled>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) with OHWI weights that are transformed while it runs.
pub fn conv_winograd4_avx512(token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    if !is_exact(&args) {
        return conv_packed_avx2(token.avx2(), args);
    }
    let plan = Plan::winograd4_from_ohwi(args.shape);
    let source = Source::Ohwi(args.weights.as_ohwi(), filters::interleave);
    conv::<_, Winograd4Unscaled>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(3x3, 4x4) over 2x2 pixels with OHWI weights.
pub fn conv_stem_avx2(token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    let plan = Plan::stem_ohwi(args.shape);
    let source = Source::Transformed(args.weights.as_ohwi(), stem::from_ohwi);
    conv::<_, Stem>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) with stored weights.
pub fn winograd4_stored<V: Vectors>(token: V, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) =
        (Plan::winograd4(V::WIDTH, args.shape), Source::Stored(args.weights.int16()));
    conv::<V, Winograd4>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) at stride 2 with stored weights.
pub fn winograd4_stride2<V: Vectors>(token: V, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) =
        (Plan::strided4(V::WIDTH, args.shape), Source::Stored(args.weights.int16()));
    conv::<V, Strided4>(token, plan, source, args)
}

/// See [`crate::kernels::portable::reference::conv`]; F(3x3, 4x4) over 2x2 pixels with stored weights.
pub fn winograd4_stem<V: Vectors>(token: V, args: ConvArgs<'_>) -> Result<(), Fault> {
    let (plan, source) = (Plan::stem(V::WIDTH, args.shape), Source::Stored(args.weights.int16()));
    conv::<V, Stem>(token, plan, source, args)
}

/// Whether F(4x4, 3x3) of OHWI weights is exact: where the sums need fewer bits than the division leaves,
/// they may be of any size.
fn is_exact(args: &ConvArgs<'_>) -> bool {
    args.requantization.shift >= Winograd4::SHIFT || sums_fit(args.shape, args.weights.as_ohwi())
}

/// Whether no sum of F(4x4, 3x3), whatever the input, leaves the 26 bits from which it divides exactly.
fn sums_fit(shape: &ConvShape, ohwi: &[i8]) -> bool {
    let len = shape.patch_len();
    // Less than 2^32 weights of at most 128 whose sum matters below 2^25 / 128.
    let sum = |row: &[i8]| {
        row.chunks(128).fold(0u32, |sum, part| {
            let part = part.iter().fold(0u16, |sum, w| sum + u16::from(w.unsigned_abs()));
            sum.saturating_add(part.into())
        })
    };
    tiled::all_sums_fit(shape)
        || ohwi.chunks_exact(len.max(1)).all(|row| sum(row) < (1 << 25) / 128)
}

fn conv<V: Vectors, T: Tiles>(
    _token: V,
    plan: Plan,
    source: Source<'_>,
    args: ConvArgs<'_>,
) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { driver::conv::<V, T>(plan, source, args) }.ok_or(Fault::Plan)
}
