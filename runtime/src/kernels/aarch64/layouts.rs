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
use crate::kernels::ConvShape;

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    let out_c = shape.output[2] as u64;
    match (form.target, form.layout) {
        (_, WeightLayout::Direct8) if direct8::computes(shape) => {
            out_c.checked_mul(direct8::padded_len(shape) as u64)
        }
        (Target::Armv8Neon, WeightLayout::Winograd4) => {
            let depth = plan::stored_depth(shape)? as u64;
            depth.checked_mul(out_c)?.checked_mul(2 * plan::POSITIONS as u64)
        }
        _ => None,
    }
}

#[cfg(feature = "write")]
pub(super) use write::{pack, unpack};

#[cfg(feature = "write")]
mod write {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::aarch64::direct8::{BLOCK, STEP};
    use crate::kernels::winograd;
    use crate::kernels::winograd4;

    const _: () = assert!(BLOCK == winograd4::BLOCK);

    /// Elements of a dot product, and output channels whose products share a window's vector on NEON.
    const FOUR: usize = 4;
    /// Elements of a row in a product of matrices.
    const EIGHT: usize = 8;

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub fn pack(form: WeightForm, shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        match (form.target, form.layout) {
            (Target::Armv8Neon, WeightLayout::Direct8) if ohwi.contains(&i8::MIN) => None,
            (target, WeightLayout::Direct8) => Some(pack_direct8(target, shape, ohwi)),
            (_, WeightLayout::Winograd4) if winograd::sums_fit4(shape, ohwi) => {
                pack_winograd4(shape, ohwi)
            }
            _ => None,
        }
    }

    /// See [`crate::layouts::unpack`]; the layout exists and `packed` has its length.
    pub fn unpack(form: WeightForm, shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        match form.layout {
            WeightLayout::Direct8 => Some(unpack_direct8(form.target, shape, packed)),
            _ => unpack_winograd4(shape, packed),
        }
    }

    /// Where element `element` of the window of output channel `channel` lies.
    fn place8(target: Target, shape: &ConvShape, channel: usize, element: usize) -> usize {
        let padded = direct8::padded_len(shape);
        let (block, channel) = (channel / BLOCK, channel % BLOCK);
        let within = match target {
            Target::Armv8Neon => {
                let step = channel / FOUR * padded / STEP + element / STEP;
                (step * FOUR + channel % FOUR) * STEP + element % STEP
            }
            _ => {
                let dot = if target == Target::Armv8Dotprod { FOUR } else { EIGHT };
                (element / dot * BLOCK + channel) * dot + element % dot
            }
        };
        block * BLOCK * padded + within
    }

    fn pack_direct8(target: Target, shape: &ConvShape, ohwi: &[i8]) -> Vec<u8> {
        let len = shape.patch_len().max(1);
        let mut packed = vec![0; shape.output[2] * direct8::padded_len(shape)];
        for (index, &weight) in ohwi.iter().enumerate() {
            let at = place8(target, shape, index / len, index % len);
            if let Some(to) = packed.get_mut(at) {
                *to = weight as u8;
            }
        }
        packed
    }

    fn unpack_direct8(target: Target, shape: &ConvShape, packed: &[u8]) -> Vec<i8> {
        let len = shape.patch_len();
        let weight = |index: usize| {
            let at = place8(target, shape, index / len, index % len);
            packed.get(at).map_or(0, |&byte| byte as i8)
        };
        (0..shape.output[2] * len).map(weight).collect()
    }

    /// Where position `position` of a filter lies, in values.
    fn place4(depth: usize, (oc, ic): (usize, usize), position: usize) -> usize {
        let row = (oc / BLOCK * plan::POSITIONS + position) * depth + ic;
        row * BLOCK + oc % BLOCK
    }

    fn pack_winograd4(shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        let (depth, len) = (plan::stored_depth(shape)?, shape.patch_len());
        let mut packed = vec![0; depth * shape.output[2] * plan::POSITIONS * 2];
        for (oc, ic) in filters_of(shape, depth) {
            let transformed = match winograd4::is_stem(shape) {
                true => winograd::transform_stem(ohwi.get(oc * len..(oc + 1) * len)?, ic),
                false => winograd::transform4(winograd::filter(shape, ohwi, oc, ic)),
            };
            for (position, value) in transformed.into_iter().enumerate() {
                let at = place4(depth, (oc, ic), position) * 2;
                packed.get_mut(at..at + 2)?.copy_from_slice(&value.to_le_bytes());
            }
        }
        Some(packed)
    }

    fn unpack_winograd4(shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        let (depth, len) = (plan::stored_depth(shape)?, shape.patch_len());
        let mut ohwi = vec![0; shape.output[2] * len];
        for (oc, ic) in filters_of(shape, depth) {
            let value = |position| {
                let at = place4(depth, (oc, ic), position) * 2;
                packed.get(at..at + 2).map_or(0, |bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
            };
            let transformed = core::array::from_fn(value);
            let window = ohwi.get_mut(oc * len..(oc + 1) * len)?;
            if winograd4::is_stem(shape) {
                winograd::restore_stem(transformed, window, ic)?;
                continue;
            }
            let taps = winograd::restore4(transformed)?;
            for (tap, weight) in taps.into_iter().enumerate() {
                *window.get_mut(tap * depth + ic)? = weight;
            }
        }
        Some(ohwi)
    }

    /// Output and input channel of all filters.
    fn filters_of(shape: &ConvShape, depth: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..shape.output[2]).flat_map(move |oc| (0..depth).map(move |ic| (oc, ic)))
    }
}
