//! Gathers the window behind one output pixel into a patch of i16, in whole vectors where it can.

use core::arch::x86_64::{__m256i, _mm_loadu_si128, _mm256_cvtepi8_epi16, _mm256_storeu_si256};

use crate::kernels::{ConvShape, patch};

/// Elements of one vector of i16.
pub(super) const VECTOR: usize = 16;

/// [`patch::gather`] of a convolution in one group; what lies behind the window in `patch` is
/// arbitrary. None if the input ends before.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn gather(
    shape: &ConvShape,
    input: &[i8],
    position: (usize, usize),
    patch: &mut [i16],
) -> Option<()> {
    gather_inside(shape, input, position, patch)
        .or_else(|| patch::gather(shape, input, position, 0, patch, i16::from))
}

/// Gathers in whole vectors, for windows inside the input: a row's last vector may reach into
/// the next row of the patch, which overwrites it, or into the rest behind the last. `None` if the
/// window, or what the vectors read or write, is not inside; the patch then holds anything.
#[target_feature(enable = "avx2")]
#[inline]
fn gather_inside(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    patch: &mut [i16],
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let top = (oy * shape.strides[0]).checked_sub(shape.pads[0])?;
    let left = (ox * shape.strides[1]).checked_sub(shape.pads[1])?;
    if shape.dilations != [1, 1] || top + kernel_h > in_h || left + kernel_w > in_w {
        return None;
    }
    let run = kernel_w * in_c;
    let vectors = run.div_ceil(VECTOR);
    for row in 0..kernel_h {
        let from = input.get(((top + row) * in_w + left) * in_c..)?.get(..vectors * VECTOR)?;
        let to = patch.get_mut(row * run..)?.get_mut(..vectors * VECTOR)?;
        for (from, to) in from.chunks_exact(VECTOR).zip(to.chunks_exact_mut(VECTOR)) {
            // SAFETY: `from` is 16 readable bytes and `to` 32 writable ones; neither needs alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), widen(from.as_ptr())) };
        }
    }
    Some(())
}

/// Sixteen int8 values in 16 bits.
///
/// # Safety
/// `values` points to 16 readable bytes.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn widen(values: *const i8) -> __m256i {
    // SAFETY: the caller vouches for 16 readable bytes; the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(values.cast()) })
}
