//! Layouts of x86-64 with AVX2: all are blocks of sixteen output channels, in which pairs of values lie
//! side by side for `vpmaddwd`.
//!
//! | layout | order | for |
//! |---|---|---|
//! | direct8, direct16 | `[block][pair of the window's values][channel][2]` | any window |
//! | winograd2 | `[block][position][pair of input channels][channel][2]` | 3x3 |
//! | winograd4 | the same, 36 positions | 3x3; 3x3 at stride 2; 7x7 at stride 2 over RGB |
//! | winograd4_int8 | `[block][pair of input channels][tap][channel][2]` int8 | 3x3 |
//! | u8s8 | as [`super::u8s8`] says | any window over an input of at most 128 values |
//!
//! Output channels come in whole blocks, and input channels of all but the direct layouts and the 7x7
//! window in multiples of sixteen.

use super::tiled::{BLOCK, LANES};
use super::u8s8;
use crate::format::{WeightForm, WeightLayout};
use crate::kernels::packing::{Filter, Packing};
use crate::kernels::{ConvShape, winograd4};

/// What is packed; none if there is no such layout, or not for this shape.
fn packing(form: WeightForm, shape: &ConvShape) -> Option<Packing> {
    let [_, _, out_c] = shape.output;
    if shape.groups != 1 || out_c == 0 || !out_c.is_multiple_of(BLOCK) {
        return None;
    }
    let (filter, width) = match form.layout {
        WeightLayout::Direct8 => (Filter::Weight, 1),
        WeightLayout::Direct16 => (Filter::Weight, 2),
        WeightLayout::Winograd2 => (Filter::Winograd2, 2),
        WeightLayout::Winograd4Int8 => (Filter::Taps, 1),
        WeightLayout::Winograd4 => match winograd4::filter(shape) {
            Filter::Winograd4 if shape.strides == [2, 2] => (Filter::Strided4, 2),
            filter => (filter, 2),
        },
        _ => return None,
    };
    let strides = if filter == Filter::Strided4 { [2, 2] } else { [1, 1] };
    let windows = shape.kernel == [3, 3]
        && shape.dilations == [1, 1]
        && shape.strides == strides
        && shape.input[2] >= LANES
        && shape.input[2].is_multiple_of(LANES);
    let depth = filter.depth(shape).saturating_add(1) / 2 * 2;
    let exists = windows || matches!(filter, Filter::Weight | Filter::Stem4);
    exists.then_some(Packing { filter, depth, width })
}

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    match form.layout {
        WeightLayout::U8s8 => u8s8::weights_bytes(shape),
        _ => packing(form, shape)?.bytes(shape),
    }
}

#[cfg(feature = "write")]
pub(super) use host::{pack, unpack};

/// Packing, on the host.
#[cfg(feature = "write")]
mod host {
    use std::vec::Vec;

    use super::*;

    /// Where value `k` of the row of output channel `oc`, at a position, lies.
    fn place(packing: Packing) -> impl Fn(usize, usize, usize) -> usize {
        let Packing { filter, depth, .. } = packing;
        move |oc, k, position| {
            let (block, pair) = (oc / BLOCK, k / 2);
            let row = match filter {
                Filter::Taps => (block * depth / 2 + pair) * filter.positions() + position,
                _ => (block * filter.positions() + position) * depth / 2 + pair,
            };
            (row * BLOCK + oc % BLOCK) * 2 + k % 2
        }
    }

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        if form.layout == WeightLayout::U8s8 {
            return u8s8::pack(shape, ohwi);
        }
        let packing = packing(form, shape)?;
        packing.pack(shape, ohwi, place(packing))
    }

    /// See [`crate::layouts::unpack`], which packs the result again to see that it is right; the layout
    /// exists and `packed` has its length.
    pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        if form.layout == WeightLayout::U8s8 {
            return u8s8::unpack(shape, packed);
        }
        let packing = packing(form, shape)?;
        packing.unpack(shape, packed, place(packing))
    }
}
