//! Accumulators of a block of sixteen channels to int8, in registers: [`crate::numerics`] in NEON.
//!
//! Accumulators begin with the bias, which sums that wrap may take first. Clamping after two saturating
//! narrowings is clamping: its bounds are int8.

use core::arch::aarch64::{
    int8x16_t, int16x8_t, int32x4_t, vaddq_s32, vcombine_s8, vcombine_s16, vdupq_n_s8, vdupq_n_s16,
    vdupq_n_s32, vget_high_s16, vget_low_s8, vget_low_s16, vld1q_s8, vld1q_s32, vmaxq_s8, vminq_s8,
    vmlaq_s32, vmovl_high_s8, vmovl_s8, vmovl_s16, vqaddq_s16, vqdmulhq_s32, vqmovn_high_s16,
    vqmovn_s16, vqmovn_s32, vqrshrn_high_n_s32, vqrshrn_n_s32, vshlq_s32, vshrq_n_s32, vst1q_s8,
};

use crate::format::Channels;
use crate::kernels::Residual;
use crate::kernels::winograd4::BLOCK;
use crate::numerics::Requantization;

/// Vectors of a block's accumulators.
pub(super) const VECTORS: usize = BLOCK / 4;

/// Fraction bits of nearly all steps without a residual.
const USUAL_BITS: u32 = 14;

/// The accumulators of a block of one pixel.
pub(super) type Sums = [int32x4_t; VECTORS];

/// The constants of a block of channels, of which the last may not be whole.
pub(super) struct Constants {
    bias: [i32; BLOCK],
    multipliers: [i32; BLOCK],
}

impl Constants {
    /// Those from channel `first` on; none if there is no such channel.
    pub fn new(channels: Channels<'_>, first: usize) -> Option<Self> {
        let block = |from: &[i32]| {
            let mut block = [0; BLOCK];
            let from = from.get(first..)?;
            block.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            Some(block)
        };
        Some(Self { bias: block(channels.bias)?, multipliers: block(channels.multipliers)? })
    }

    pub fn channels(&self) -> Channels<'_> {
        Channels { bias: &self.bias, multipliers: &self.multipliers }
    }
}

/// What a block's channels and the step ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requantizer<'r> {
    pub bias: Sums,
    /// Multipliers are even: the doubling product with the half is the product itself.
    pub halves: Sums,
    shift: int32x4_t,
    /// 0 without a residual.
    residual_multiplier: int32x4_t,
    offset: int32x4_t,
    /// Negative: to the right.
    rounding_shift: int32x4_t,
    clamp: (int8x16_t, int8x16_t),
    residual: Residual<'r>,
    /// Channels that there are of the block.
    count: usize,
    /// The output's zero point, if that and one half is all that is added, with [`USUAL_BITS`].
    zero_point: Option<i16>,
}

/// The output's zero point, where the offset is that and one half in a fixed point of [`USUAL_BITS`].
fn usual_zero_point(rq: &Requantization) -> Option<i16> {
    let rest = rq.offset.wrapping_sub(1 << (USUAL_BITS - 1));
    let zero_point = i16::try_from(rest >> USUAL_BITS).ok()?;
    let usual = rq.fraction_bits == USUAL_BITS && i32::from(zero_point) << USUAL_BITS == rest;
    usual.then_some(zero_point)
}

impl<'r> Requantizer<'r> {
    /// None if there are fewer than [`BLOCK`] channels.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn new(
        channels: Channels<'_>,
        rq: &Requantization,
        residual: Residual<'r>,
    ) -> Option<Self> {
        let bias = channels.bias.first_chunk::<BLOCK>()?;
        let multipliers = channels.multipliers.first_chunk::<BLOCK>()?;
        let vectors = |from: &[i32; BLOCK]| -> Sums {
            // SAFETY: the index is less than VECTORS, so four elements from there are readable.
            core::array::from_fn(|v| unsafe { vld1q_s32(from.as_ptr().add(v * 4)) })
        };
        Some(Self {
            bias: vectors(bias),
            halves: vectors(multipliers).map(|multiplier| vshrq_n_s32::<1>(multiplier)),
            shift: vdupq_n_s32(rq.shift as i32),
            residual_multiplier: vdupq_n_s32(match residual {
                Residual::None => 0,
                _ => rq.residual_multiplier,
            }),
            offset: vdupq_n_s32(rq.offset),
            rounding_shift: vdupq_n_s32((rq.fraction_bits as i32).wrapping_neg()),
            clamp: (vdupq_n_s8(rq.clamp.0), vdupq_n_s8(rq.clamp.1)),
            residual,
            count: BLOCK,
            zero_point: match residual {
                Residual::None => usual_zero_point(rq),
                _ => None,
            },
        })
    }

    /// The same for a block of `count` channels.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn with_channels(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// The output's zero point, if [`Requantizer::usual_bytes`] is for this step.
    pub const fn usual_zero_point(&self) -> Option<i16> {
        self.zero_point
    }

    /// Writes a block of one pixel, whose sums began with the bias, to `output[at..]`; `None` if the output,
    /// or a separate residual, ends before.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn store(&self, sums: Sums, at: usize, output: &mut [i8]) -> Option<()> {
        if self.count != BLOCK {
            return self.store_part(sums, at, output);
        }
        let out = output.get_mut(at..)?.first_chunk_mut::<BLOCK>()?;
        let residual = match self.residual {
            Residual::None => None,
            Residual::InPlace => Some(load(out)),
            Residual::Separate(values) => Some(load(values.get(at..)?.first_chunk()?)),
        };
        let bytes = self.bytes(sums, self.halves, residual);
        // SAFETY: `out` is sixteen writable bytes.
        unsafe { vst1q_s8(out.as_mut_ptr(), bytes) };
        Some(())
    }

    /// The same of a block that is not whole.
    #[target_feature(enable = "neon")]
    #[inline(never)]
    fn store_part(&self, sums: Sums, at: usize, output: &mut [i8]) -> Option<()> {
        let count = self.count;
        let out = output.get_mut(at..)?.get_mut(..count)?;
        let (mut block, mut residual) = ([0; BLOCK], [0; BLOCK]);
        let values = match self.residual {
            Residual::None => &[],
            Residual::InPlace => &*out,
            Residual::Separate(values) => values.get(at..)?.get(..count)?,
        };
        residual.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
        let bytes = self.bytes(sums, self.halves, Some(load(&residual)));
        // SAFETY: `block` is sixteen writable bytes.
        unsafe { vst1q_s8(block.as_mut_ptr(), bytes) };
        out.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        Some(())
    }

    /// As [`Self::store`], for loops in which it need not be inlined.
    #[target_feature(enable = "neon")]
    #[inline(never)]
    pub fn store_called(&self, sums: Sums, at: usize, output: &mut [i8]) -> Option<()> {
        self.store(sums, at, output)
    }

    /// Sums that began with the bias in int8, given halves of their multipliers.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn bytes(&self, sums: Sums, halves: Sums, residual: Option<int8x16_t>) -> int8x16_t {
        let mut fixed = self.fixed(sums, halves);
        if let Some(residual) = residual {
            self.add(&mut fixed, residual);
        }
        let rounded =
            fixed.map(|fixed| vshlq_s32(vaddq_s32(fixed, self.offset), self.rounding_shift));
        let narrow = |a, b| vqmovn_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)));
        let bytes = vcombine_s8(narrow(rounded[0], rounded[1]), narrow(rounded[2], rounded[3]));
        vminq_s8(vmaxq_s8(bytes, self.clamp.0), self.clamp.1)
    }

    /// Sums that began with the bias of a step without a residual in int8.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn any_bytes(&self, sums: Sums) -> int8x16_t {
        match self.zero_point {
            Some(zero_point) => self.usual_bytes(sums, self.halves, vdupq_n_s16(zero_point)),
            None => self.bytes(sums, self.halves, None),
        }
    }

    /// Sums in fixed point, given halves of their multipliers.
    #[target_feature(enable = "neon")]
    #[inline]
    fn fixed(&self, mut sums: Sums, halves: Sums) -> Sums {
        for (sums, half) in sums.iter_mut().zip(halves) {
            *sums = vqdmulhq_s32(vshlq_s32(*sums, self.shift), half);
        }
        sums
    }

    /// As [`Self::bytes`], where [`Self::usual_zero_point`] is `zero_point`: products of a multiplier's half are
    /// below 2^30, so that no sum wraps, and a rounding shift of them adds the half that the offset holds.
    #[target_feature(enable = "neon")]
    #[inline]
    pub fn usual_bytes(&self, sums: Sums, halves: Sums, zero_point: int16x8_t) -> int8x16_t {
        const BITS: i32 = USUAL_BITS as i32;
        let [a, b, c, d] = self.fixed(sums, halves);
        let low = vqrshrn_high_n_s32::<BITS>(vqrshrn_n_s32::<BITS>(a), b);
        let high = vqrshrn_high_n_s32::<BITS>(vqrshrn_n_s32::<BITS>(c), d);
        let low = vqmovn_s16(vqaddq_s16(low, zero_point));
        let bytes = vqmovn_high_s16(low, vqaddq_s16(high, zero_point));
        vminq_s8(vmaxq_s8(bytes, self.clamp.0), self.clamp.1)
    }

    /// Adds the residual in fixed point.
    #[target_feature(enable = "neon")]
    #[inline]
    fn add(&self, fixed: &mut Sums, bytes: int8x16_t) {
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        let wide = [
            vmovl_s16(vget_low_s16(low)),
            vmovl_s16(vget_high_s16(low)),
            vmovl_s16(vget_low_s16(high)),
            vmovl_s16(vget_high_s16(high)),
        ];
        for (fixed, wide) in fixed.iter_mut().zip(wide) {
            *fixed = vmlaq_s32(*fixed, wide, self.residual_multiplier);
        }
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn load(bytes: &[i8; BLOCK]) -> int8x16_t {
    // SAFETY: these are sixteen readable bytes.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}
