//! The classifier by `vpdpbusd`, four classes at a time.
//!
//! Inputs become unsigned bytes, `u = x + 128`, and 128 times the weights is taken off each sum: all of it
//! wraps.

use core::arch::x86_64::{
    _MM_HINT_T0, _mm512_dpbusd_epi32, _mm512_maskz_loadu_epi8, _mm512_reduce_add_epi32,
    _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::{Avx512Vnni, prefetch};
use crate::error::Fault;
use crate::kernels::LogitsArgs;
use crate::kernels::x86_64::vnni::VECTOR;
use crate::numerics::{self, Channel};

/// Classes that are computed together.
const CLASSES: usize = 4;

/// See [`crate::kernels::portable::reference::logits`].
pub fn logits_vnni(_token: Avx512Vnni, args: LogitsArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the features.
    unsafe { logits(args) }.ok_or(Fault::Plan)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn logits(args: LogitsArgs<'_>) -> Option<()> {
    let LogitsArgs { input, weights, channels, shift, output } = args;
    let weights = weights.get(..input.len().checked_mul(output.len())?)?;
    let bias = channels.bias.get(..output.len())?;
    let multipliers = channels.multipliers.get(..output.len())?;
    let rows = weights.chunks(input.len().saturating_mul(CLASSES).max(1));
    let constants = bias.chunks(CLASSES).zip(multipliers.chunks(CLASSES));
    for ((output, rows), (bias, multipliers)) in output.chunks_mut(CLASSES).zip(rows).zip(constants)
    {
        let sums = sums(input, rows);
        let constants = bias.iter().zip(multipliers);
        for ((to, sum), (&bias, &multiplier)) in output.iter_mut().zip(sums).zip(constants) {
            *to = numerics::logit(sum, Channel { bias, multiplier }, shift);
        }
    }
    Some(())
}

/// The products of up to four rows with the input.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sums(input: &[i8], rows: &[i8]) -> [i32; CLASSES] {
    let mut sums = [0; CLASSES];
    if let Some(all) = rows_times_input::<CLASSES>(input, rows) {
        return all;
    }
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(input.len().max(1))) {
        *sum = rows_times_input::<1>(input, row).map_or(0, |[sum]| sum);
    }
    sums
}

/// `None` if there are fewer rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn rows_times_input<const N: usize>(input: &[i8], rows: &[i8]) -> Option<[i32; N]> {
    let len = input.len();
    let rows = rows.get(..len.checked_mul(N)?)?;
    // As signed bytes turn unsigned, and as a factor that is unsigned.
    let high = _mm512_set1_epi8(-128);
    let mut sums = [[_mm512_setzero_si512(); 2]; N];
    for at in (0..len).step_by(VECTOR) {
        let mask = u64::MAX >> (VECTOR - (len - at).min(VECTOR));
        // SAFETY: the masked values lie in the input, and no others are read.
        let values = unsafe { _mm512_maskz_loadu_epi8(mask, input.as_ptr().add(at)) };
        let values = _mm512_xor_si512(values, high);
        for (class, [sum, correction]) in sums.iter_mut().enumerate() {
            // SAFETY: the masked weights lie in row `class`, and no others are read.
            let from = unsafe { rows.as_ptr().add(class * len + at) };
            // The same place of the next rows.
            prefetch::<_MM_HINT_T0>(from.wrapping_add(N * len));
            // SAFETY: the same.
            let weights = unsafe { _mm512_maskz_loadu_epi8(mask, from) };
            *sum = _mm512_dpbusd_epi32(*sum, values, weights);
            *correction = _mm512_dpbusd_epi32(*correction, high, weights);
        }
    }
    let mut totals = [0; N];
    for (total, [sum, correction]) in totals.iter_mut().zip(sums) {
        *total = _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, correction));
    }
    Some(totals)
}
