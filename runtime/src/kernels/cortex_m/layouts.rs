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

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    let out_c = shape.output[2] as u64;
    let direct = || {
        let bytes = out_c.checked_mul(direct::padded_len(shape) as u64)?;
        direct::PACKED.computes(shape).then_some(bytes)
    };
    let transformed = |positions: u64| {
        let bytes = out_c.checked_mul(shape.input[2] as u64)?.checked_mul(2 * positions)?;
        winograd::computes(shape).then_some(bytes)
    };
    match (form.target, form.layout) {
        (Target::CortexM4, WeightLayout::Direct8) => direct(),
        (Target::CortexM4, WeightLayout::Direct16) => direct()?.checked_mul(2),
        (Target::CortexM4, WeightLayout::Winograd2) => transformed(16),
        (_, WeightLayout::Winograd4) => transformed(36),
        _ => None,
    }
}

#[cfg(feature = "write")]
pub(super) use packing::{pack, unpack};

#[cfg(feature = "write")]
mod packing {
    use std::vec::Vec;

    use super::{ConvShape, Target, WeightForm, WeightLayout, direct};
    use crate::kernels::winograd::{
        TAPS, filter, restore2, restore4, sums_fit4, transform2, transform4,
    };

    /// Elements of an entry.
    const ENTRY: usize = direct::STEP;
    /// The places of an entry's elements.
    const PLACES: [usize; ENTRY] = [0, 2, 1, 3];

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub(in crate::kernels) fn pack(
        form: WeightForm,
        shape: &ConvShape,
        ohwi: &[i8],
    ) -> Option<Vec<u8>> {
        let halfwords = match form.layout {
            WeightLayout::Direct8 => direct8(shape, ohwi)?,
            WeightLayout::Direct16 => direct16(shape, ohwi),
            WeightLayout::Winograd2 if sums_fit2(shape, ohwi) => {
                transformed(form, shape, |oc, ic| transform2(filter(shape, ohwi, oc, ic)))
            }
            WeightLayout::Winograd4 if sums_fit4(shape, ohwi) => {
                transformed(form, shape, |oc, ic| transform4(filter(shape, ohwi, oc, ic)))
            }
            _ => return None,
        };
        Some(halfwords.into_iter().flat_map(i16::to_le_bytes).collect())
    }

    /// See [`crate::layouts::unpack`]; the layout exists and `packed` has its length.
    pub(in crate::kernels) fn unpack(
        form: WeightForm,
        shape: &ConvShape,
        packed: &[u8],
    ) -> Option<Vec<i8>> {
        let (pairs, _) = packed.as_chunks::<2>();
        let halfwords: Vec<i16> = pairs.iter().copied().map(i16::from_le_bytes).collect();
        let (len, padded) = (shape.patch_len(), direct::padded_len(shape));
        let of_all = |weight: &dyn Fn(usize, usize) -> Option<i8>| {
            let indices = (0..shape.output[2]).flat_map(|oc| (0..len).map(move |k| (oc, k)));
            indices.map(|(oc, k)| weight(oc, k)).collect()
        };
        match form.layout {
            WeightLayout::Direct8 => of_all(&|oc, k| {
                let value = *halfwords.get(oc / 2 * padded + place(k))?;
                let first = value as i8;
                let second = (i32::from(value) - i32::from(first)) / 256;
                if oc % 2 == 0 { Some(first) } else { i8::try_from(second).ok() }
            }),
            WeightLayout::Direct16 => of_all(&|oc, k| {
                let value = halfwords.get(index16(padded, oc, k))?;
                i8::try_from(*value).ok()
            }),
            WeightLayout::Winograd2 => restored(form, shape, &halfwords, restore2),
            WeightLayout::Winograd4 => restored(form, shape, &halfwords, restore4),
            _ => None,
        }
    }

    /// Where element `k` of a sum lies among all.
    fn place(k: usize) -> usize {
        k / ENTRY * ENTRY + PLACES[k % ENTRY]
    }

    /// Where element `k` of channel `oc` lies if each pair has `len` of them a channel.
    fn index16(len: usize, oc: usize, k: usize) -> usize {
        ((oc / 2 * (len / ENTRY) + k / ENTRY) * 2 + oc % 2) * ENTRY + PLACES[k % ENTRY]
    }

    fn direct16(shape: &ConvShape, ohwi: &[i8]) -> Vec<i16> {
        let padded = direct::padded_len(shape);
        let mut packed = std::vec![0; shape.output[2] * padded];
        for (oc, row) in ohwi.chunks_exact(shape.patch_len().max(1)).enumerate() {
            for (k, &weight) in row.iter().enumerate() {
                packed[index16(padded, oc, k)] = weight.into();
            }
        }
        packed
    }

    /// `None` if a pair does not fit 16 bits, or if 256 times the second channel's sum might not fit 32.
    fn direct8(shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<i16>> {
        let (len, padded) = (shape.patch_len(), direct::padded_len(shape));
        let mut packed = std::vec![0; shape.output[2] / 2 * padded];
        for (pair, rows) in ohwi.chunks_exact((2 * len).max(1)).enumerate() {
            let (first, second) = rows.split_at(len);
            let sum: u64 = second.iter().map(|w| u64::from(w.unsigned_abs())).sum();
            if sum * 128 >= 1 << 23 {
                return None;
            }
            for (k, (&first, &second)) in first.iter().zip(second).enumerate() {
                let value = i32::from(second) * 256 + i32::from(first);
                packed[pair * padded + place(k)] = i16::try_from(value).ok()?;
            }
        }
        Some(packed)
    }

    /// Whether four times no sum, whatever the input, leaves 32 bits.
    fn sums_fit2(shape: &ConvShape, ohwi: &[i8]) -> bool {
        let rows = ohwi.chunks_exact(shape.patch_len().max(1));
        rows.map(|row| row.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>())
            .all(|sum| sum * 128 < 1 << 29)
    }

    /// Where position `at` of `positions` of a pair of channels lies.
    fn transformed_index(
        (target, in_c): (Target, usize),
        (positions, at): (usize, usize),
        (oc, ic): (usize, usize),
    ) -> usize {
        let first = (oc / 2 * positions + at) * in_c * 2;
        match target {
            Target::CortexM3 => first + ic * 2 + oc % 2,
            _ => first + index16(in_c, oc % 2, ic),
        }
    }

    fn transformed<const N: usize>(
        form: WeightForm,
        shape: &ConvShape,
        transform: impl Fn(usize, usize) -> [i16; N],
    ) -> Vec<i16> {
        let (in_c, out_c) = (shape.input[2], shape.output[2]);
        let mut packed = std::vec![0; in_c * out_c * N];
        for oc in 0..out_c {
            for ic in 0..in_c {
                for (at, value) in transform(oc, ic).into_iter().enumerate() {
                    packed[transformed_index((form.target, in_c), (N, at), (oc, ic))] = value;
                }
            }
        }
        packed
    }

    fn restored<const N: usize>(
        form: WeightForm,
        shape: &ConvShape,
        packed: &[i16],
        restore: impl Fn([i16; N]) -> Option<[i8; TAPS]>,
    ) -> Option<Vec<i8>> {
        let (in_c, out_c) = (shape.input[2], shape.output[2]);
        let mut ohwi = std::vec![0; in_c * out_c * TAPS];
        for oc in 0..out_c {
            for ic in 0..in_c {
                let value = |at| packed[transformed_index((form.target, in_c), (N, at), (oc, ic))];
                let taps = restore(core::array::from_fn(value))?;
                for (tap, weight) in taps.into_iter().enumerate() {
                    ohwi[(oc * TAPS + tap) * in_c + ic] = weight;
                }
            }
        }
        Some(ohwi)
    }
}
