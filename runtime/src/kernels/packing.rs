//! How packed layouts are made: what becomes of a filter's weights, and a value at each place. A room says
//! which, and where the places are.
//!
//! What may not be broken: [`Packing::unpack`] gives back the very weights that [`Packing::pack`] took, which
//! takes none that break the bound of their sums.

use super::ConvShape;

/// What the weights of an output channel and one value of its rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "a build may know few rooms")]
pub(super) enum Filter {
    /// A weight stays what it is: the row is the whole window, in OHWI order.
    Weight,
    /// The taps of 3x3 stay what they are: the row has the input channels, as all that follow.
    Taps,
    /// F(2x2, 3x3).
    Winograd2,
    /// F(4x4, 3x3).
    Winograd4,
    /// F(4x4, 3x3) at stride 2.
    Strided4,
    /// 7x7 at stride 2 over RGB as F(3x3, 4x4) over 2x2 pixels, which are one of twelve channels.
    Stem4,
}

impl Filter {
    /// Values that it becomes.
    pub const fn positions(self) -> usize {
        match self {
            Self::Weight => 1,
            Self::Taps => 9,
            Self::Winograd2 => 16,
            Self::Winograd4 | Self::Strided4 | Self::Stem4 => 36,
        }
    }

    /// Values of a row.
    #[allow(dead_code, reason = "images do not pack")]
    pub const fn depth(self, shape: &ConvShape) -> usize {
        match self {
            Self::Weight => shape.patch_len(),
            Self::Stem4 => 12,
            _ => shape.input[2],
        }
    }
}

/// The filters of a layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub filter: Filter,
    /// Values of a row and those that fill it up, which are 0.
    pub depth: usize,
    /// Bytes of a value, 1 or 2.
    pub width: usize,
}

impl Packing {
    /// Bytes of all weights.
    pub fn bytes(self, shape: &ConvShape) -> Option<u64> {
        let rows = (shape.output[2] as u64).checked_mul(self.depth as u64)?;
        rows.checked_mul((self.filter.positions() * self.width) as u64)
    }
}

#[cfg(feature = "write")]
pub(super) use write::sums_fit;

#[cfg(feature = "write")]
mod write {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::winograd;

    /// Most values of a filter.
    const MOST: usize = 36;

    impl Packing {
        /// OHWI weights packed; `place` says where the value of an output channel and a value of its row at a
        /// position lies, counted in values. `None` if a sum could be too large.
        pub fn pack(
            self,
            shape: &ConvShape,
            ohwi: &[i8],
            place: impl Fn(usize, usize, usize) -> usize,
        ) -> Option<Vec<u8>> {
            if !sums_fit(shape.patch_len(), ohwi, self.filter.sum_bits()) {
                return None;
            }
            let mut packed = vec![0; usize::try_from(self.bytes(shape)?).ok()?];
            for (oc, window) in ohwi.chunks_exact(shape.patch_len().max(1)).enumerate() {
                for k in 0..self.filter.depth(shape) {
                    let values = self.filter.transform(shape, window, k);
                    for (position, value) in values.into_iter().enumerate() {
                        if position == self.filter.positions() {
                            break;
                        }
                        let at = place(oc, k, position) * self.width;
                        let bytes = value.to_le_bytes();
                        packed.get_mut(at..at + self.width)?.copy_from_slice(&bytes[..self.width]);
                    }
                }
            }
            Some(packed)
        }

        /// The OHWI weights behind packed ones; `None` if there are none.
        pub fn unpack(
            self,
            shape: &ConvShape,
            packed: &[u8],
            place: impl Fn(usize, usize, usize) -> usize,
        ) -> Option<Vec<i8>> {
            let len = shape.patch_len();
            let mut ohwi = vec![0; shape.output[2] * len];
            for (oc, window) in ohwi.chunks_exact_mut(len.max(1)).enumerate() {
                for k in 0..self.filter.depth(shape) {
                    let mut values = [0; MOST];
                    let positions = values.iter_mut().take(self.filter.positions());
                    for (position, value) in positions.enumerate() {
                        let at = place(oc, k, position) * self.width;
                        *value = match *packed.get(at..at + self.width)? {
                            [low, high] => i16::from_le_bytes([low, high]),
                            [byte] => byte.cast_signed().into(),
                            _ => return None,
                        };
                    }
                    self.filter.restore(values, shape, window, k)?;
                }
            }
            Some(ohwi)
        }
    }

    impl Filter {
        /// Sums times a power of two, from which the division is exact while they fit so many bits.
        const fn sum_bits(self) -> u32 {
            match self {
                Self::Weight => 63,
                Self::Winograd2 | Self::Strided4 => 29,
                Self::Taps | Self::Winograd4 | Self::Stem4 => 25,
            }
        }

        /// The values of a channel with this window and of row value `k`, at all positions.
        fn transform(self, shape: &ConvShape, window: &[i8], k: usize) -> [i16; MOST] {
            let mut values = [0; MOST];
            let taps = || winograd::taps(window, shape.input[2], k);
            match self {
                Self::Weight => values[0] = window[k].into(),
                Self::Taps => values[..9].copy_from_slice(&taps().map(i16::from)),
                Self::Winograd2 => values[..16].copy_from_slice(&winograd::transform2(taps())),
                Self::Winograd4 => values = winograd::transform4(taps()),
                Self::Strided4 => values = winograd::transform_strided(taps()),
                Self::Stem4 => values = winograd::transform_stem(window, k),
            }
            values
        }

        /// Writes the weights behind such values to the channel's window; `None` if there are none.
        fn restore(
            self,
            values: [i16; MOST],
            shape: &ConvShape,
            window: &mut [i8],
            k: usize,
        ) -> Option<()> {
            let taps = match self {
                Self::Weight => {
                    *window.get_mut(k)? = i8::try_from(values[0]).ok()?;
                    return Some(());
                }
                Self::Taps => core::array::from_fn(|tap| values[tap] as i8),
                Self::Winograd2 => winograd::restore2(*values.first_chunk()?)?,
                Self::Winograd4 => winograd::restore4(values)?,
                Self::Strided4 => winograd::restore_strided(values)?,
                Self::Stem4 => return winograd::restore_stem(values, window, k),
            };
            for (tap, weight) in taps.into_iter().enumerate() {
                *window.get_mut(tap * shape.input[2] + k)? = weight;
            }
            Some(())
        }
    }

    /// Whether no sum over a window of `len` weights, whatever the input, needs more than so many bits and its
    /// sign.
    pub fn sums_fit(len: usize, ohwi: &[i8], bits: u32) -> bool {
        let sum = |row: &[i8]| row.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>();
        ohwi.chunks_exact(len.max(1)).all(|row| sum(row) * 128 < 1 << bits)
    }
}
