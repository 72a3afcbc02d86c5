//! Layouts of AArch64. Output channels come in blocks of sixteen.
//!
//! - Direct8 of armv8-neon: `[block][four channels][step][channel][sixteen elements]`; of armv8-dotprod:
//!   `[block][four elements][channel][element]`; of armv8-i8mm: `[block][eight elements][channel][element]`.
//!   Elements are those of a window in OHWI order, filled up with zeros to whole steps of sixteen. On
//!   armv8-neon no weight is -128, so that two products fit 16 bits.
//! - Winograd4 of armv8-neon: `[block][position][input channel][channel]`, for 3x3 windows at stride 1 and
//!   for 7x7 ones at stride 2 over RGB, whose 2x2 pixels are one of twelve channels.

use super::{direct8, winograd4 as plan};
use crate::format::{Target, WeightForm, WeightLayout};
use crate::kernels::packing::{Filter, Packing};
use crate::kernels::{ConvShape, winograd4};

/// What is packed; none if there is no such layout, or not for this shape.
fn packing(form: WeightForm, shape: &ConvShape) -> Option<Packing> {
    match (form.target, form.layout) {
        (_, WeightLayout::Direct8) if direct8::packs(shape) => {
            Some(Packing { filter: Filter::Weight, depth: direct8::padded_len(shape), width: 1 })
        }
        (Target::Armv8Neon, WeightLayout::Winograd4) => {
            let (filter, depth) = (winograd4::filter(shape), plan::stored_depth(shape)?);
            Some(Packing { filter, depth, width: 2 })
        }
        _ => None,
    }
}

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    packing(form, shape)?.bytes(shape)
}

#[cfg(feature = "write")]
pub(super) use write::{pack, unpack};

#[cfg(feature = "write")]
mod write {
    use std::vec::Vec;

    use super::*;
    use crate::kernels::aarch64::direct8::{BLOCK, STEP};

    /// Elements of a dot product, and output channels whose products share a window's vector on NEON.
    const FOUR: usize = 4;
    /// Elements of a row in a product of matrices.
    const EIGHT: usize = 8;

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        let packing = packing(form, shape)?;
        match (form.target, form.layout) {
            (Target::Armv8Neon, WeightLayout::Direct8) if ohwi.contains(&i8::MIN) => None,
            _ => packing.pack(shape, ohwi, place(form, packing.depth)),
        }
    }

    /// See [`crate::layouts::unpack`]; the layout exists and `packed` has its length.
    pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        let packing = packing(form, shape)?;
        packing.unpack(shape, packed, place(form, packing.depth))
    }

    /// Where value `k` of the row of output channel `oc`, at a position, lies.
    fn place(form: WeightForm, depth: usize) -> impl Fn(usize, usize, usize) -> usize {
        move |oc, k, position| {
            let (block, channel) = (oc / BLOCK, oc % BLOCK);
            if form.layout == WeightLayout::Winograd4 {
                return ((block * plan::POSITIONS + position) * depth + k) * BLOCK + channel;
            }
            let within = match form.target {
                Target::Armv8Neon => {
                    let step = channel / FOUR * depth / STEP + k / STEP;
                    (step * FOUR + channel % FOUR) * STEP + k % STEP
                }
                target => {
                    let dot = if target == Target::Armv8Dotprod { FOUR } else { EIGHT };
                    (k / dot * BLOCK + channel) * dot + k % dot
                }
            };
            block * BLOCK * depth + within
        }
    }
}
