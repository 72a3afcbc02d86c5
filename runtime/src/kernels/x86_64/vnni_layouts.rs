//! Layouts of x86-64 with `vpdpbusd`: those of AVX2 but for direct8 and u8s8.
//!
//! Direct8 is `[block of sixteen output channels]`, each of them a correction of sixteen i32, -128 times
//! the sum of each channel's weights, and `[quad of the window's values][channel][4]` int8; the last quad
//! is filled up with zeros.

use super::{layouts, vnni};
use crate::format::{WeightForm, WeightLayout};
use crate::kernels::ConvShape;
use crate::kernels::packing::{Filter, Packing};

/// What is packed of a convolution that there are kernels for: weights, with room for the corrections.
fn packing(shape: &ConvShape) -> Option<Packing> {
    let depth = vnni::block_bytes(shape) / vnni::BLOCK;
    vnni::packs(shape).then_some(Packing { filter: Filter::Weight, depth, width: 1 })
}

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    match form.layout {
        WeightLayout::U8s8 => None,
        WeightLayout::Direct8 => packing(shape)?.bytes(shape),
        _ => layouts::weights_bytes(form, shape),
    }
}

#[cfg(feature = "write")]
pub(super) use write::{pack, unpack};

#[cfg(feature = "write")]
mod write {
    use std::vec::Vec;

    use super::*;
    use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

    /// Where weight `k` of channel `oc` lies.
    fn place(shape: &ConvShape) -> impl Fn(usize, usize, usize) -> usize {
        let block_bytes = vnni::block_bytes(shape);
        move |oc, k, _| {
            let quad = oc / BLOCK * block_bytes + (1 + k / QUAD) * VECTOR;
            quad + oc % BLOCK * QUAD + k % QUAD
        }
    }

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        if form.layout != WeightLayout::Direct8 {
            return layouts::pack(form, shape, ohwi);
        }
        let mut packed = packing(shape)?.pack(shape, ohwi, place(shape))?;
        for (oc, row) in ohwi.chunks_exact(shape.patch_len().max(1)).enumerate() {
            let sum = row.iter().fold(0i32, |sum, &w| sum.wrapping_add(w.into()));
            let at = oc / BLOCK * vnni::block_bytes(shape) + oc % BLOCK * size_of::<i32>();
            *packed.get_mut(at..)?.first_chunk_mut()? = sum.wrapping_mul(-128).to_le_bytes();
        }
        Some(packed)
    }

    /// See [`crate::layouts::unpack`], which packs the result again to see that it is right; the layout
    /// exists and `packed` has its length.
    pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        if form.layout != WeightLayout::Direct8 {
            return layouts::unpack(form, shape, packed);
        }
        packing(shape)?.unpack(shape, packed, place(shape))
    }
}
