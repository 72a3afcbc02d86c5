//! Accumulators to int8, eight channels at a time: [`crate::numerics`] in AVX2.

use core::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_packs_epi16, _mm_packs_epi32,
    _mm_storel_epi64, _mm256_add_epi32, _mm256_blend_epi32, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi32, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_max_epi32,
    _mm256_min_epi32, _mm256_mul_epi32, _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_sllv_epi32,
    _mm256_sra_epi32, _mm256_srli_epi64,
};

use crate::format::Channels;
use crate::kernels::Residual;
use crate::numerics::{Channel, Requantization, requantize_residual};

/// Channels of one vector.
const LANES: usize = 8;

/// Requantizes the accumulators of one pixel; `index` is the position of its first channel in the
/// output tensor. None if a slice is too short.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn requantize_pixel(
    acc: &[i32],
    channels: Channels<'_>,
    rq: &Requantization,
    residual: Residual<'_>,
    index: usize,
    output: &mut [i8],
) -> Option<()> {
    let (acc, channels) = (acc.get(..output.len())?, channels.part(0..output.len())?);
    let (head, tail) = output.as_chunks_mut::<LANES>();
    let first = head.len() * LANES;
    let constants = channels.bias.as_chunks().0.iter().zip(channels.multipliers.as_chunks().0);
    let blocks = head.iter_mut().zip(acc.as_chunks().0).zip(constants);
    for (block, ((out, &acc), (&bias, &multipliers))) in blocks.enumerate() {
        let shortcut: [i8; LANES] = match residual {
            Residual::None => [0; LANES],
            Residual::InPlace => *out,
            Residual::Separate(values) => *values.get(index + block * LANES..)?.first_chunk()?,
        };
        *out = requantize_8(acc, bias, multipliers, shortcut, rq);
    }
    let rest = acc.iter().zip(channels.iter()).skip(first);
    for (lane, (out, (&acc, channel))) in tail.iter_mut().zip(rest).enumerate() {
        let channel: Channel = channel;
        let residual = residual.at(index + first + lane, *out)?;
        *out = requantize_residual(acc, residual, channel, rq);
    }
    Some(())
}

#[target_feature(enable = "avx2")]
#[inline]
fn requantize_8(
    acc: [i32; LANES],
    bias: [i32; LANES],
    multipliers: [i32; LANES],
    residual: [i8; LANES],
    rq: &Requantization,
) -> [i8; LANES] {
    let multipliers = load(&multipliers);
    let biased = _mm256_add_epi32(load(&acc), load(&bias));
    let shifted = _mm256_sllv_epi32(biased, _mm256_set1_epi32(rq.shift as i32));
    let even = _mm256_mul_epi32(shifted, multipliers);
    let odd =
        _mm256_mul_epi32(_mm256_srli_epi64::<32>(shifted), _mm256_srli_epi64::<32>(multipliers));
    let fixed = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
    // SAFETY: `residual` is eight readable bytes.
    let residual = unsafe { _mm_loadl_epi64(residual.as_ptr().cast()) };
    let shortcut = _mm256_mullo_epi32(
        _mm256_cvtepi8_epi32(residual),
        _mm256_set1_epi32(rq.residual_multiplier),
    );
    let sum = _mm256_add_epi32(_mm256_add_epi32(fixed, shortcut), _mm256_set1_epi32(rq.offset));
    let rounded = _mm256_sra_epi32(sum, _mm_cvtsi32_si128(rq.fraction_bits as i32));
    let low = _mm256_set1_epi32(rq.clamp.0.into());
    let high = _mm256_set1_epi32(rq.clamp.1.into());
    let clamped = _mm256_min_epi32(_mm256_max_epi32(rounded, low), high);
    let words =
        _mm_packs_epi32(_mm256_castsi256_si128(clamped), _mm256_extracti128_si256::<1>(clamped));
    let mut out = [0i8; LANES];
    // SAFETY: `out` is eight writable bytes.
    unsafe { _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packs_epi16(words, words)) };
    out
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(values: &[i32; LANES]) -> __m256i {
    // SAFETY: `values` is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}
