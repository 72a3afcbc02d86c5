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

use super::u8s8;
use crate::format::{WeightForm, WeightLayout};
use crate::kernels::ConvShape;
use crate::kernels::winograd4::is_stem;

/// Output channels of a block.
pub(super) const BLOCK: usize = 16;
/// Input channels that transforms of the input take at a time.
const LANES: usize = 16;

/// What lies behind a layout for a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrangement {
    /// `bytes` a weight.
    Direct {
        bytes: usize,
    },
    Winograd2,
    Winograd4,
    /// 3x3 at stride 2.
    Strided4,
    /// 7x7 at stride 2.
    Stem4,
    Winograd4Int8,
}

impl Arrangement {
    fn for_layout(layout: WeightLayout, shape: &ConvShape) -> Option<Self> {
        let [_, _, out_c] = shape.output;
        if shape.groups != 1 || out_c == 0 || !out_c.is_multiple_of(BLOCK) {
            return None;
        }
        let arrangement = match layout {
            WeightLayout::Direct8 => Self::Direct { bytes: 1 },
            WeightLayout::Direct16 => Self::Direct { bytes: 2 },
            WeightLayout::Winograd2 => Self::Winograd2,
            WeightLayout::Winograd4 if is_stem(shape) => Self::Stem4,
            WeightLayout::Winograd4 if shape.strides == [2, 2] => Self::Strided4,
            WeightLayout::Winograd4 => Self::Winograd4,
            WeightLayout::Winograd4Int8 => Self::Winograd4Int8,
            _ => return None,
        };
        let strides = if arrangement == Self::Strided4 { [2, 2] } else { [1, 1] };
        let windows = shape.kernel == [3, 3]
            && shape.dilations == [1, 1]
            && shape.strides == strides
            && shape.input[2] >= LANES
            && shape.input[2].is_multiple_of(LANES);
        (windows || matches!(arrangement, Self::Direct { .. } | Self::Stem4)).then_some(arrangement)
    }

    /// Transformed weights of a filter.
    const fn filters(self) -> usize {
        match self {
            Self::Direct { .. } => 1,
            Self::Winograd2 => 16,
            Self::Winograd4 | Self::Strided4 | Self::Stem4 => 36,
            Self::Winograd4Int8 => 9,
        }
    }

    /// Values of an input row at one position, even.
    fn depth(self, shape: &ConvShape) -> usize {
        match self {
            Self::Direct { .. } => shape.patch_len().saturating_add(1) / 2 * 2,
            Self::Stem4 => STEM_CHANNELS,
            _ => shape.input[2],
        }
    }

    const fn weight_bytes(self) -> usize {
        match self {
            Self::Direct { bytes } => bytes,
            Self::Winograd4Int8 => 1,
            _ => 2,
        }
    }
}

/// Channels of a stem's input whose 2x2 pixels are one.
const STEM_CHANNELS: usize = 12;

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(form: WeightForm, shape: &ConvShape) -> Option<u64> {
    let layout = form.layout;
    if layout == WeightLayout::U8s8 {
        return u8s8::weights_bytes(shape);
    }
    let arrangement = Arrangement::for_layout(layout, shape)?;
    let weights = (shape.output[2] as u64).checked_mul(arrangement.depth(shape) as u64)?;
    weights.checked_mul((arrangement.filters() * arrangement.weight_bytes()) as u64)
}

#[cfg(feature = "write")]
pub(super) use host::{pack, unpack};

/// Packing, on the host.
#[cfg(feature = "write")]
mod host {
    use std::vec;
    use std::vec::Vec;

    use super::{Arrangement, BLOCK, u8s8};
    use crate::format::{WeightForm, WeightLayout};
    use crate::kernels::ConvShape;
    use crate::kernels::winograd;

    /// Rows of `G` for the positions of one axis at stride 2: five points of the outer taps, which meet
    /// even pixels, and the middle tap.
    const STRIDED: [[i32; 3]; 6] =
        [[3, 0, 0], [-3, 0, -3], [-1, 0, 1], [1, 0, 2], [0, 0, 6], [0, 6, 0]];

    /// Where value `k` of filter position `filter` of channel `oc` lies.
    fn place(arrangement: Arrangement, depth: usize, oc: usize, filter: usize, k: usize) -> usize {
        let (block, pair) = (oc / BLOCK, k / 2);
        let row = match arrangement {
            Arrangement::Winograd4Int8 => {
                (block * depth / 2 + pair) * arrangement.filters() + filter
            }
            _ => (block * arrangement.filters() + filter) * depth / 2 + pair,
        };
        (row * BLOCK + oc % BLOCK) * 2 + k % 2
    }

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub(in crate::kernels) fn pack(
        form: WeightForm,
        shape: &ConvShape,
        ohwi: &[i8],
    ) -> Option<Vec<u8>> {
        let layout = form.layout;
        if layout == WeightLayout::U8s8 {
            return u8s8::pack(shape, ohwi);
        }
        let arrangement = Arrangement::for_layout(layout, shape)?;
        // Sums times a power of two, from which the division is exact while they fit.
        let sum_bits = match arrangement {
            Arrangement::Winograd4 | Arrangement::Winograd4Int8 | Arrangement::Stem4 => 25,
            Arrangement::Winograd2 | Arrangement::Strided4 => 29,
            Arrangement::Direct { .. } => 63,
        };
        let rows = ohwi.chunks_exact(shape.patch_len().max(1));
        let sum = |row: &[i8]| row.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>();
        if rows.map(sum).any(|sum| sum * 128 >= 1 << sum_bits) {
            return None;
        }
        let depth = arrangement.depth(shape);
        let mut values = vec![0i16; shape.output[2] * depth * arrangement.filters()];
        for oc in 0..shape.output[2] {
            for k in 0..depth {
                for (filter, value) in
                    transform(arrangement, shape, ohwi, oc, k).into_iter().enumerate()
                {
                    values[place(arrangement, depth, oc, filter, k)] = value;
                }
            }
        }
        Some(match arrangement.weight_bytes() {
            1 => values.into_iter().map(|value| value as u8).collect(),
            _ => values.into_iter().flat_map(i16::to_le_bytes).collect(),
        })
    }

    /// The values of channel `oc` and row value `k` at all filter positions.
    fn transform(
        arrangement: Arrangement,
        shape: &ConvShape,
        ohwi: &[i8],
        oc: usize,
        k: usize,
    ) -> Vec<i16> {
        let len = shape.patch_len();
        match arrangement {
            Arrangement::Direct { .. } => {
                let weight = (k < len).then(|| ohwi[oc * len + k]);
                vec![weight.unwrap_or(0).into()]
            }
            Arrangement::Winograd2 => {
                winograd::transform2(winograd::filter(shape, ohwi, oc, k)).to_vec()
            }
            Arrangement::Winograd4 => {
                winograd::transform4(winograd::filter(shape, ohwi, oc, k)).to_vec()
            }
            Arrangement::Winograd4Int8 => {
                winograd::filter(shape, ohwi, oc, k).map(i16::from).to_vec()
            }
            Arrangement::Strided4 => {
                let filter = winograd::filter(shape, ohwi, oc, k);
                two_axes(&STRIDED, |y, x| filter[y * 3 + x].into())
            }
            Arrangement::Stem4 => {
                winograd::transform_stem(&ohwi[oc * len..(oc + 1) * len], k).to_vec()
            }
        }
    }

    /// `G g G^T`.
    fn two_axes<const T: usize, const N: usize>(
        g: &[[i32; T]; N],
        tap: impl Fn(usize, usize) -> i32,
    ) -> Vec<i16> {
        let value = |y: usize, x: usize| -> i32 {
            let row = |ky: usize| -> i32 { (0..T).map(|kx| g[x][kx] * tap(ky, kx)).sum() };
            (0..T).map(|ky| g[y][ky] * row(ky)).sum()
        };
        // The rows' factors bound the values to 16 bits.
        (0..N * N).map(|at| value(at / N, at % N) as i16).collect()
    }

    /// See [`crate::layouts::unpack`], which packs the result again to see that it is right; the layout
    /// exists and `packed` has its length.
    pub(in crate::kernels) fn unpack(
        form: WeightForm,
        shape: &ConvShape,
        packed: &[u8],
    ) -> Option<Vec<i8>> {
        let layout = form.layout;
        if layout == WeightLayout::U8s8 {
            return u8s8::unpack(shape, packed);
        }
        let arrangement = Arrangement::for_layout(layout, shape)?;
        let (depth, len, in_c) = (arrangement.depth(shape), shape.patch_len(), shape.input[2]);
        let value = |oc: usize, filter: usize, k: usize| -> i16 {
            let at = place(arrangement, depth, oc, filter, k) * arrangement.weight_bytes();
            match arrangement.weight_bytes() {
                1 => (packed[at] as i8).into(),
                _ => i16::from_le_bytes([packed[at], packed[at + 1]]),
            }
        };
        let mut ohwi = vec![0i8; shape.output[2] * len];
        for oc in 0..shape.output[2] {
            for k in 0..depth {
                let row = &mut ohwi[oc * len..(oc + 1) * len];
                let at = |filter: usize| value(oc, filter, k);
                let taps: [i8; 9] = match arrangement {
                    Arrangement::Direct { .. } => {
                        if let Some(weight) = row.get_mut(k) {
                            *weight = i8::try_from(at(0)).ok()?;
                        }
                        continue;
                    }
                    Arrangement::Stem4 => {
                        winograd::restore_stem(core::array::from_fn(at), row, k)?;
                        continue;
                    }
                    Arrangement::Winograd2 => winograd::restore2(core::array::from_fn(at))?,
                    Arrangement::Winograd4 => winograd::restore4(core::array::from_fn(at))?,
                    Arrangement::Winograd4Int8 => core::array::from_fn(|tap| at(tap) as i8),
                    Arrangement::Strided4 => restore_strided(at)?,
                };
                for (tap, weight) in taps.into_iter().enumerate() {
                    row[tap * in_c + k] = weight;
                }
            }
        }
        Some(ohwi)
    }

    /// Each tap has a row of `STRIDED` to itself.
    fn restore_strided(at: impl Fn(usize) -> i16) -> Option<[i8; 9]> {
        const ROWS: [(usize, i16); 3] = [(0, 3), (5, 6), (4, 6)];
        let mut taps = [0; 9];
        for (tap, weight) in taps.iter_mut().enumerate() {
            let ((y, by_y), (x, by_x)) = (ROWS[tap / 3], ROWS[tap % 3]);
            *weight = i8::try_from(at(y * 6 + x) / (by_y * by_x)).ok()?;
        }
        Some(taps)
    }
}
