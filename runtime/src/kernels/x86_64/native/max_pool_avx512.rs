//! Maximum pool, 64 channels at a time.

use core::arch::x86_64::{
    _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_max_epi8,
    _mm512_min_epi8, _mm512_set1_epi8, _mm512_storeu_si512,
};

use super::Avx512Vnni;
use super::max_pool_avx2::taps;
use crate::error::Fault;
use crate::kernels::PoolShape;
use crate::kernels::x86_64::vnni::VECTOR;

/// See [`crate::kernels::portable::reference::max_pool`].
pub fn max_pool_avx512(
    _token: Avx512Vnni,
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the features.
    unsafe { max_pool(shape, clamp, input, output) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn max_pool(
    shape: &PoolShape,
    clamp: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) -> Result<(), Fault> {
    let [in_h, in_w, channels] = shape.input;
    let out_w = shape.output[1].max(1);
    let (low, high) = (_mm512_set1_epi8(clamp.0), _mm512_set1_epi8(clamp.1));
    let values = in_h.checked_mul(in_w).and_then(|pixels| pixels.checked_mul(channels));
    if channels == 0 || values.is_none_or(|values| input.len() < values) {
        return Err(Fault::Plan);
    }
    for (line, output) in output.chunks_mut((out_w * channels).max(1)).enumerate() {
        let rows = taps(shape, 0, line);
        for (column, output) in output.chunks_exact_mut(channels.max(1)).enumerate() {
            let columns = taps(shape, 1, column);
            for (vector, to) in output.chunks_mut(VECTOR).enumerate() {
                let mask = u64::MAX >> (VECTOR - to.len());
                let whole = to.len() == VECTOR;
                let mut highest = low;
                for y in rows.clone() {
                    for x in columns.clone() {
                        let at = (y * in_w + x) * channels + vector * VECTOR;
                        // SAFETY: the pixel is inside the input, and the vector, or what the mask leaves
                        // of it, inside its channels.
                        let values = unsafe {
                            let from = input.as_ptr().add(at);
                            if whole {
                                _mm512_loadu_si512(from.cast())
                            } else {
                                // What is masked stays in its own lanes.
                                _mm512_maskz_loadu_epi8(mask, from)
                            }
                        };
                        highest = _mm512_max_epi8(highest, values);
                    }
                }
                let clamped = _mm512_min_epi8(highest, high);
                // SAFETY: as many bytes as the mask has are writable, and no others are written.
                unsafe {
                    if whole {
                        _mm512_storeu_si512(to.as_mut_ptr().cast(), clamped);
                    } else {
                        _mm512_mask_storeu_epi8(to.as_mut_ptr(), mask, clamped);
                    }
                }
            }
        }
    }
    Ok(())
}
