//! The classifier: four classes at a time, in 16-bit multiply-adds.

use core::arch::x86_64::{
    __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_setzero_si256,
};

use super::Avx2;
use super::patch_avx2::widen;
use crate::error::Fault;
use crate::kernels::LogitsArgs;
use crate::numerics;

/// Values of one vector.
const LANES: usize = 16;
/// Classes whose sums are held at a time.
pub(super) const CLASSES: usize = 4;

/// See [`crate::kernels::portable::reference::logits`].
pub fn logits_avx2(_token: Avx2, args: LogitsArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { logits(args) }.ok_or(Fault::Plan)
}

#[target_feature(enable = "avx2")]
fn logits(args: LogitsArgs<'_>) -> Option<()> {
    by_classes(args, |input, rows| Some(sums(input, rows)))
}

/// Logits from the sums of [`CLASSES`] at a time, or of fewer at the end: the products of their rows of weights
/// with the input. `None` if a slice is too short.
#[inline(always)]
pub(super) fn by_classes(
    args: LogitsArgs<'_>,
    sums: impl Fn(&[i8], &[i8]) -> Option<[i32; CLASSES]>,
) -> Option<()> {
    let LogitsArgs { input, weights, channels, shift, output } = args;
    let weights = weights.get(..input.len().checked_mul(output.len())?)?;
    let bias = channels.bias.get(..output.len())?;
    let multipliers = channels.multipliers.get(..output.len())?;
    let rows = weights.chunks(input.len().saturating_mul(CLASSES).max(1));
    let constants = bias.chunks(CLASSES).zip(multipliers.chunks(CLASSES));
    for ((output, rows), (bias, multipliers)) in output.chunks_mut(CLASSES).zip(rows).zip(constants)
    {
        let sums = sums(input, rows)?;
        let constants = bias.iter().zip(multipliers);
        for ((to, sum), (&bias, &multiplier)) in output.iter_mut().zip(sums).zip(constants) {
            *to = numerics::logit(sum, numerics::Channel { bias, multiplier }, shift);
        }
    }
    Some(())
}

/// The products of up to four rows with the input.
#[target_feature(enable = "avx2")]
fn sums(input: &[i8], rows: &[i8]) -> [i32; CLASSES] {
    let len = input.len();
    let vectors = len / LANES;
    let mut sums = [0; CLASSES];
    if rows.len() == CLASSES * len {
        let mut wide = [_mm256_setzero_si256(); CLASSES];
        for vector in 0..vectors {
            let at = vector * LANES;
            // SAFETY: the vector lies in the input, and in each of the rows, which are as long.
            unsafe {
                let values = widen(input.as_ptr().add(at));
                for (class, sum) in wide.iter_mut().enumerate() {
                    let weights = widen(rows.as_ptr().add(class * len + at));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(values, weights));
                }
            }
        }
        sums = [total(wide[0]), total(wide[1]), total(wide[2]), total(wide[3])];
    }
    // What fills no vector, or all of the last classes.
    let first = if rows.len() == CLASSES * len { vectors * LANES } else { 0 };
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(len.max(1))) {
        for (&value, &weight) in input.iter().zip(row).skip(first) {
            *sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
        }
    }
    sums
}

/// The sum of all lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn total(lanes: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<0b10_11_00_01>(pair)))
}
