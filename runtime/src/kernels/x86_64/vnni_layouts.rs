//! Layouts of x86-64 with `vpdpbusd`: those of AVX2 but for direct8 and u8s8.
//!
//! Direct8 is `[block of sixteen output channels]`, each of them a correction of sixteen i32, -128 times
//! the sum of each channel's weights, and `[quad of the window's values][channel][4]` int8; the last quad
//! is filled up with zeros.

use super::{layouts, vnni};
use crate::format::{WeightForm, WeightLayout};
use crate::kernels::ConvShape;

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    if form.layout == WeightLayout::U8s8 {
        return None;
    }
    if form.layout != WeightLayout::Direct8 {
        return layouts::weights_bytes(form, shape);
    }
    let blocks = (shape.output[2] / vnni::BLOCK) as u64;
    vnni::computes(shape).then(|| blocks.checked_mul(vnni::block_bytes(shape) as u64))?
}

#[cfg(feature = "write")]
pub(super) use write::{pack, unpack};

#[cfg(feature = "write")]
mod write {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

    /// Where weight `k` of channel `oc` lies.
    fn place(shape: &ConvShape, oc: usize, k: usize) -> usize {
        let quad = oc / BLOCK * vnni::block_bytes(shape) + (1 + k / QUAD) * VECTOR;
        quad + oc % BLOCK * QUAD + k % QUAD
    }

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub(in crate::kernels) fn pack(
        form: WeightForm,
        shape: &ConvShape,
        ohwi: &[i8],
    ) -> Option<Vec<u8>> {
        if form.layout != WeightLayout::Direct8 {
            return layouts::pack(form, shape, ohwi);
        }
        let len = shape.patch_len();
        let mut packed = vec![0; usize::try_from(weights_bytes(form, shape)?).ok()?];
        for (oc, row) in ohwi.chunks_exact(len.max(1)).enumerate() {
            let sum = row.iter().fold(0i32, |sum, &w| sum.wrapping_add(w.into()));
            let at = oc / BLOCK * vnni::block_bytes(shape) + oc % BLOCK * size_of::<i32>();
            let correction = sum.wrapping_mul(-128).to_le_bytes();
            packed[at..at + correction.len()].copy_from_slice(&correction);
            for (k, &weight) in row.iter().enumerate() {
                packed[place(shape, oc, k)] = weight as u8;
            }
        }
        Some(packed)
    }

    /// See [`crate::layouts::unpack`], which packs the result again to see that it is right; the layout
    /// exists and `packed` has its length.
    pub(in crate::kernels) fn unpack(
        form: WeightForm,
        shape: &ConvShape,
        packed: &[u8],
    ) -> Option<Vec<i8>> {
        if form.layout != WeightLayout::Direct8 {
            return layouts::unpack(form, shape, packed);
        }
        let len = shape.patch_len();
        let weight = |at: usize| packed[place(shape, at / len, at % len)] as i8;
        Some((0..shape.output[2] * len).map(weight).collect())
    }
}
