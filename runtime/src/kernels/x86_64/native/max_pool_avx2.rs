//! Maximum pool, 32 channels at a time.

use core::arch::x86_64::{
    __m256i, _mm256_loadu_si256, _mm256_max_epi8, _mm256_min_epi8, _mm256_set1_epi8,
    _mm256_storeu_si256,
};
use core::ops::Range;

use super::Avx2;
use crate::error::Fault;
use crate::kernels::PoolShape;

/// Channels of one vector.
const LANES: usize = 32;

/// See [`crate::kernels::portable::reference::max_pool`].
pub fn max_pool_avx2(
    _token: Avx2,
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { max_pool(shape, clamp, input, output) }
}

#[target_feature(enable = "avx2")]
fn max_pool(
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let [in_h, in_w, channels] = shape.input;
    let out_w = shape.output[1].max(1);
    let low = _mm256_set1_epi8(clamp.0);
    let high = _mm256_set1_epi8(clamp.1);
    let values = in_h.checked_mul(in_w).and_then(|pixels| pixels.checked_mul(channels));
    if values.is_none_or(|values| input.len() < values) {
        return Err(Fault::Plan);
    }
    for (pixel, output) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let rows = taps(shape, 0, pixel / out_w);
        let columns = taps(shape, 1, pixel % out_w);
        let mut vectors = output.chunks_exact_mut(LANES);
        for (vector, to) in vectors.by_ref().enumerate() {
            let mut highest = _mm256_set1_epi8(i8::MIN);
            for y in rows.clone() {
                for x in columns.clone() {
                    let at = (y * in_w + x) * channels + vector * LANES;
                    // SAFETY: the pixel is inside the input, and the vector inside its channels.
                    highest = _mm256_max_epi8(highest, unsafe { load(input.as_ptr().add(at)) });
                }
            }
            let clamped = _mm256_min_epi8(_mm256_max_epi8(highest, low), high);
            // SAFETY: `to` is 32 writable bytes; the store needs no alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), clamped) };
        }
        let first = channels / LANES * LANES;
        for (channel, to) in (first..channels).zip(vectors.into_remainder()) {
            let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| y * in_w + x));
            let values = pixels.filter_map(|pixel| input.get(pixel * channels + channel));
            *to = values.copied().max().unwrap_or(i8::MIN).max(clamp.0).min(clamp.1);
        }
    }
    Ok(())
}

/// The rows or columns of the input under a window.
pub(super) fn taps(shape: &PoolShape, axis: usize, out: usize) -> Range<usize> {
    let first = out * shape.strides[axis];
    let end = (first + shape.kernel[axis]).saturating_sub(shape.pads[axis]);
    first.saturating_sub(shape.pads[axis])..end.min(shape.input[axis])
}

/// # Safety
/// `from` points to 32 readable bytes.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(from: *const i8) -> __m256i {
    // SAFETY: the caller vouches for the bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.cast()) }
}
