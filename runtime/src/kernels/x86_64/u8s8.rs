//! The layout u8s8: int8 weights for `vpmaddubsw`, which adds products of unsigned and signed bytes in
//! 16 bits and saturates.
//!
//! An input of at most 128 different values meets them as `u = x - low`, 0 to 127. Products of a channel's
//! next four values, a *quad*, are two sums in 16 bits, and those of two quads are added there before they
//! are widened. Where the weights of two quads are so large that some input could saturate such a sum, one
//! of the quads stands alone: its weights are zero in their place, and are kept apart with the place's
//! number. So no input saturates, and the sums are exact.
//!
//! A block of sixteen output channels is
//!
//! | bytes | what |
//! |---|---|
//! | 64 | `low` times the sum of each channel's weights, i32: what `u` lacks |
//! | 4 each | numbers of the quads that stand alone, ascending; [`UNUSED`] behind them; filled up to 16 bytes |
//! | 64 each | weights of the quads that stand alone, `[channel][4]`; zeros behind them |
//! | 64 each | weights of all quads, an even number, `[channel][4]` |
//!
//! What may not be broken: sizes follow from the shape alone, and [`pack`] refuses weights of which more
//! quads stand alone than there is room for.

use crate::format::align_up;
use crate::kernels::ConvShape;
use crate::kernels::winograd4::BLOCK;

/// Values of a quad.
const QUAD: usize = 4;
/// Bytes of a block's weights of one quad.
pub(crate) const QUAD_BYTES: usize = BLOCK * QUAD;
/// Marks a place for a quad that stands alone, of which there is none.
#[allow(dead_code, reason = "written by hosts, read on x86-64")]
pub(crate) const UNUSED: u32 = u32::MAX;
/// Greatest `u`.
const MOST: i16 = 127;

/// The parts of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sections {
    /// Quads of a window, even.
    pub quads: usize,
    /// Room for quads that stand alone.
    pub alone: usize,
}

/// A block's weights.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read whole on x86-64")]
pub(crate) struct Block<'w> {
    pub corrections: &'w [u8],
    pub numbers: &'w [u8],
    pub alone: &'w [u8],
    pub weights: &'w [u8],
}

impl Sections {
    /// `None` if there is no such layout for the shape.
    pub fn for_shape(shape: &ConvShape) -> Option<Self> {
        let ((low, high), out_c) = (shape.input_range, shape.output[2]);
        let few = i16::from(high) - i16::from(low) <= MOST;
        let quads = shape.patch_len().div_ceil(QUAD).checked_next_multiple_of(2)?;
        let fits = few && shape.groups == 1 && out_c > 0 && out_c.is_multiple_of(BLOCK);
        fits.then_some(Self { quads, alone: quads / 8 + 6 })
    }

    const fn numbers_bytes(self) -> usize {
        align_up(self.alone.saturating_mul(size_of::<u32>()))
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        let quads = self.quads.saturating_add(self.alone).saturating_mul(QUAD_BYTES);
        quads.saturating_add(self.numbers_bytes()).saturating_add(BLOCK * size_of::<i32>())
    }

    /// The parts of a block that begins with `bytes`.
    pub fn split(self, bytes: &[u8]) -> Option<Block<'_>> {
        let (corrections, rest) = bytes.split_at_checked(BLOCK * size_of::<i32>())?;
        let (numbers, rest) = rest.split_at_checked(self.numbers_bytes())?;
        let (alone, rest) = rest.split_at_checked(self.alone.checked_mul(QUAD_BYTES)?)?;
        let weights = rest.get(..self.quads.checked_mul(QUAD_BYTES)?)?;
        Some(Block { corrections, numbers, alone, weights })
    }
}

/// See [`crate::layouts::weights_bytes`].
pub(super) fn weights_bytes(shape: &ConvShape) -> Option<u64> {
    let blocks = (shape.output[2] / BLOCK) as u64;
    blocks.checked_mul(Sections::for_shape(shape)?.block_bytes() as u64)
}

#[cfg(feature = "write")]
pub(super) use host::{pack, unpack};

/// Packing, on the host.
#[cfg(feature = "write")]
mod host {
    use std::vec;
    use std::vec::Vec;

    use super::{BLOCK, MOST, QUAD, QUAD_BYTES, Sections, UNUSED};
    use crate::kernels::ConvShape;

    /// Weights of a block's quad, `[channel][4]`.
    type Quad = [i8; QUAD_BYTES];

    /// See [`crate::layouts::pack`]; the layout exists and `ohwi` has the shape's length.
    pub(in crate::kernels) fn pack(shape: &ConvShape, ohwi: &[i8]) -> Option<Vec<u8>> {
        let sections = Sections::for_shape(shape)?;
        let mut packed = Vec::new();
        for rows in ohwi.chunks_exact(shape.patch_len().checked_mul(BLOCK)?) {
            pack_block(sections, shape, rows, &mut packed)?;
        }
        Some(packed)
    }

    fn pack_block(
        sections: Sections,
        shape: &ConvShape,
        rows: &[i8],
        packed: &mut Vec<u8>,
    ) -> Option<()> {
        let len = shape.patch_len();
        let mut quads = vec![[0; QUAD_BYTES]; sections.quads];
        for (channel, row) in rows.chunks_exact(len).enumerate() {
            for (k, &weight) in row.iter().enumerate() {
                quads[k / QUAD][channel * QUAD + k % QUAD] = weight;
            }
            let sum = row.iter().map(|&weight| i32::from(weight)).fold(0, i32::wrapping_add);
            let correction = sum.wrapping_mul(shape.input_range.0.into());
            packed.extend(correction.to_le_bytes());
        }
        let mut alone: Vec<(u32, Quad)> = Vec::new();
        for (pair, quads) in quads.chunks_exact_mut(2).enumerate() {
            if may_saturate(&quads[0], &quads[1]) {
                alone.push((pair as u32 * 2 + 1, quads[1]));
                quads[1] = [0; QUAD_BYTES];
            }
        }
        if alone.len() > sections.alone {
            return None;
        }
        alone.resize(sections.alone, (UNUSED, [0; QUAD_BYTES]));
        packed.extend(alone.iter().flat_map(|(number, _)| number.to_le_bytes()));
        let filled = sections.numbers_bytes() - sections.alone * size_of::<u32>();
        packed.extend(core::iter::repeat_n(0, filled));
        let weights = alone.iter().map(|(_, quad)| quad).chain(&quads).flatten();
        packed.extend(weights.map(|&weight| weight as u8));
        Some(())
    }

    /// Whether a sum in 16 bits over both quads can leave them.
    fn may_saturate(a: &Quad, b: &Quad) -> bool {
        let pairs = a.chunks_exact(2).zip(b.chunks_exact(2));
        pairs.map(|(a, b)| a.iter().chain(b)).any(|weights| {
            let (mut least, mut most) = (0i32, 0i32);
            for product in weights.map(|&weight| i32::from(weight) * i32::from(MOST)) {
                least += product.min(0);
                most += product.max(0);
            }
            least < i16::MIN.into() || most > i16::MAX.into()
        })
    }

    /// See [`crate::layouts::unpack`], which packs the result again to see that it is right; the layout
    /// exists and `packed` has its length.
    pub(in crate::kernels) fn unpack(shape: &ConvShape, packed: &[u8]) -> Option<Vec<i8>> {
        let sections = Sections::for_shape(shape)?;
        let len = shape.patch_len();
        let mut ohwi = Vec::with_capacity(shape.output[2] * len);
        for bytes in packed.chunks_exact(sections.block_bytes()) {
            let block = sections.split(bytes)?;
            let mut weights: Vec<i8> = block.weights.iter().map(|&byte| byte as i8).collect();
            let numbers = block.numbers.chunks_exact(size_of::<u32>()).take(sections.alone);
            for (number, quad) in numbers.zip(block.alone.chunks_exact(QUAD_BYTES)) {
                let number = u32::from_le_bytes([number[0], number[1], number[2], number[3]]);
                if number != UNUSED {
                    let to = weights.chunks_exact_mut(QUAD_BYTES).nth(number as usize)?;
                    to.iter_mut().zip(quad).for_each(|(to, &from)| *to = from as i8);
                }
            }
            for channel in 0..BLOCK {
                let at = |k: usize| weights[k / QUAD * QUAD_BYTES + channel * QUAD + k % QUAD];
                ohwi.extend((0..len).map(at));
            }
        }
        Some(ohwi)
    }
}
