//! Layouts of Cortex-M.
//!
//! Output channels come in pairs. Four elements of a sum, k0 to k3, are an entry; its order is that in
//! which SXTB16 leaves the bytes of a word on the side of the input: k0, k2, k1, k3.
//!
//! | layout | Cortex-M4 | Cortex-M3 |
//! |---|---|---|
//! | direct8 | `[pair][entry]` of halfwords: 256 times the second channel's weight plus the first's | |
//! | direct16 | `[pair][entry][channel]`, 16 bits | |
//! | winograd2 | `[pair][position][entry of input channels][channel]`, 16 bits | |
//! | winograd4 | the same | `[pair][position][input channel][channel]`, 16 bits |
//!
//! Sums of the direct layouts have the order of OHWI and are filled up with zeros to whole entries.

use super::{direct, winograd};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::ConvShape;
use crate::kernels::packing::{Filter, Packing};

/// What is packed; none if there is no such layout, or not for this shape. Direct8 has the size of bytes.
fn packing(form: WeightForm, shape: &ConvShape) -> Option<Packing> {
    let (filter, width) = match (form.target, form.layout) {
        (Target::CortexM4, WeightLayout::Direct8) => (Filter::Weight, 1),
        (Target::CortexM4, WeightLayout::Direct16) => (Filter::Weight, 2),
        (Target::CortexM4, WeightLayout::Winograd2) => (Filter::Winograd2, 2),
        (_, WeightLayout::Winograd4) => (Filter::Winograd4, 2),
        _ => return None,
    };
    let (exists, depth) = match filter {
        Filter::Weight => (direct::PACKED.computes(shape), direct::padded_len(shape)),
        _ => (winograd::computes(shape), shape.input[2]),
    };
    exists.then_some(Packing { filter, depth, width })
}

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    packing(form, shape)?.bytes(shape)
}

#[cfg(feature = "write")]
pub(super) use write::{pack, unpack};

#[cfg(feature = "write")]
mod write {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::packing::sums_fit;

    /// Elements of an entry.
    const ENTRY: usize = direct::STEP;
    /// The places of an entry's elements.
    const PLACES: [usize; ENTRY] = [0, 2, 1, 3];

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        if form.layout == WeightLayout::Direct8 {
            return pack_direct8(shape, ohwi);
        }
        let packing = packing(form, shape)?;
        packing.pack(shape, ohwi, place(form, packing))
    }

    /// See [`crate::layouts::unpack`]; the layout exists and `packed` has its length.
    pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        if form.layout == WeightLayout::Direct8 {
            return unpack_direct8(shape, packed);
        }
        let packing = packing(form, shape)?;
        packing.unpack(shape, packed, place(form, packing))
    }

    /// Where value `k` of the row of output channel `oc`, at a position, lies.
    fn place(form: WeightForm, packing: Packing) -> impl Fn(usize, usize, usize) -> usize {
        let Packing { filter, depth, .. } = packing;
        move |oc, k, position| {
            let first = (oc / 2 * filter.positions() + position) * depth * 2;
            first
                + match (form.target, form.layout) {
                    (Target::CortexM3, WeightLayout::Winograd4) => k * 2 + oc % 2,
                    _ => (k / ENTRY * 2 + oc % 2) * ENTRY + PLACES[k % ENTRY],
                }
        }
    }

    /// Where the halfword of elements `k` of a pair of channels lies.
    fn place8(shape: &ConvShape, pair: usize, k: usize) -> usize {
        pair * direct::padded_len(shape) + k / ENTRY * ENTRY + PLACES[k % ENTRY]
    }

    /// `None` if a pair does not fit 16 bits, or if 256 times the second channel's sum might not fit 32.
    fn pack_direct8(shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        let len = shape.patch_len();
        let mut packed = vec![[0; 2]; shape.output[2] / 2 * direct::padded_len(shape)];
        for (pair, rows) in ohwi.chunks_exact((2 * len).max(1)).enumerate() {
            let (first, second) = rows.split_at(len);
            if !sums_fit(len, second, 23) {
                return None;
            }
            for (k, (&first, &second)) in first.iter().zip(second).enumerate() {
                let value = i32::from(second) * 256 + i32::from(first);
                *packed.get_mut(place8(shape, pair, k))? = i16::try_from(value).ok()?.to_le_bytes();
            }
        }
        Some(packed.into_flattened())
    }

    fn unpack_direct8(shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        let (halfwords, _) = packed.as_chunks::<2>();
        let len = shape.patch_len();
        let weight = |at: usize| {
            let (oc, k) = (at / len, at % len);
            let value = i16::from_le_bytes(*halfwords.get(place8(shape, oc / 2, k))?);
            let first = value as i8;
            let second = (i32::from(value) - i32::from(first)) / 256;
            if oc % 2 == 0 { Some(first) } else { i8::try_from(second).ok() }
        };
        (0..shape.output[2] * len).map(weight).collect()
    }
}
