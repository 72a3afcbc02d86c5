//! Direct convolution in 16-bit multiply-adds (`vpmaddwd`): no saturation, so exact for every int8
//! input and weight.
//!
//! Three output pixels' windows are gathered as i16 into scratch, in whole vectors, and multiplied
//! with four output channels at a time, whose int8 weights are widened as they are loaded: twelve
//! accumulators, one vector of weights, one product. A window whose length is no multiple of the
//! vector ends in a vector of its own, right-aligned behind zeros, and meets the last sixteen weights
//! of the row, so no load leaves the weights.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_storeu_si128, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_setzero_si256,
};

use super::Avx2;
use super::patch_avx2::{self, VECTOR, widen};
use super::requantize_avx2::requantize_pixel;
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::divide::buffer;
use crate::kernels::x86_64::direct::AVX2;

/// Output pixels of one tile.
const PIXELS: usize = AVX2.pixels;
/// Output channels of one tile.
const CHANNELS: usize = 4;
const _: () = assert!(AVX2.vector == VECTOR);

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct_avx2(_token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv(args) }.ok_or(Fault::Plan)
}

#[target_feature(enable = "avx2")]
fn conv(mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let (len, padded) = (shape.patch_len(), AVX2.padded_len(shape));
    let patches = buffer(&mut args.scratch, padded * PIXELS * 2)?;
    let accumulators = buffer(&mut args.scratch, out_c * PIXELS * 4)?;
    let (channels, rq) = (args.channels, args.requantization);
    for (tile, output) in args.output.chunks_mut((PIXELS * out_c).max(1)).enumerate() {
        // The last tile may have fewer pixels; it multiplies what the others left for nothing.
        let pixels = output.chunks_exact_mut(out_c.max(1)).enumerate();
        let first = tile * PIXELS;
        for (patch, pixel) in
            patches.chunks_exact_mut(padded.max(1)).zip(first..first + pixels.len())
        {
            let position = (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
            patch_avx2::gather(shape, args.input, position, patch)?;
            align_tail(patch, len)?;
        }
        multiply(patches, padded, args.weights.as_ohwi(), len, accumulators)?;
        for ((index, out), acc) in pixels.zip(accumulators.chunks_exact(out_c.max(1))) {
            requantize_pixel(acc, channels, rq, args.residual, (first + index) * out_c, out)?;
        }
    }
    Some(())
}

/// Moves the elements of the last, incomplete vector to its end, behind zeros.
#[inline(always)]
fn align_tail(patch: &mut [i16], len: usize) -> Option<()> {
    let rest = len % VECTOR;
    if rest == 0 {
        return Some(());
    }
    let last = patch.last_chunk_mut::<VECTOR>()?;
    let mut aligned = [0; VECTOR];
    let moved = aligned.iter_mut().skip(VECTOR - rest).zip(last.iter());
    moved.for_each(|(to, &from)| *to = from);
    *last = aligned;
    Some(())
}

/// All patches times all output channels, whose weights are rows of `len`.
#[target_feature(enable = "avx2")]
fn multiply(
    patches: &[i16],
    padded: usize,
    weights: &[i8],
    len: usize,
    accumulators: &mut [i32],
) -> Option<()> {
    let out_c = accumulators.len() / PIXELS;
    // Rows shorter than a vector have no last sixteen weights.
    let tiled = if len < VECTOR { 0 } else { out_c / CHANNELS * CHANNELS };
    for oc in (0..tiled).step_by(CHANNELS) {
        let rows = weights.get(oc * len..(oc + CHANNELS) * len)?;
        let sums = tile(patches, padded, rows, len)?;
        for (acc, sums) in accumulators.chunks_exact_mut(out_c.max(1)).zip(sums) {
            let to = acc.get_mut(oc..)?.first_chunk_mut::<CHANNELS>()?;
            // SAFETY: `to` is 16 writable bytes; the store needs no alignment.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), sums) };
        }
    }
    let rest = weights.chunks_exact(len.max(1)).enumerate().take(out_c).skip(tiled);
    for (oc, row) in rest {
        let patches = patches.chunks_exact(padded.max(1));
        for (acc, patch) in accumulators.chunks_exact_mut(out_c.max(1)).zip(patches) {
            *acc.get_mut(oc)? = dot(patch, row)?;
        }
    }
    Some(())
}

/// One patch times one row, for channels that fill no tile.
#[target_feature(enable = "avx2")]
fn dot(patch: &[i16], row: &[i8]) -> Option<i32> {
    let whole = row.len() / VECTOR * VECTOR;
    let rest = row.len() - whole;
    let (head, tail) = patch.split_at_checked(whole)?;
    let (row_head, row_tail) = row.split_at_checked(whole)?;
    let tail = tail.iter().skip(if rest == 0 { 0 } else { VECTOR - rest });
    let products = |(&x, &w): (&i16, &i8)| i32::from(x) * i32::from(w);
    let sum = head.iter().zip(row_head).map(products).fold(0, i32::wrapping_add);
    Some(tail.zip(row_tail).map(products).fold(sum, i32::wrapping_add))
}

/// Patches of `padded` elements times four rows of `len` weights: the four sums of each patch.
///
/// `len` is at least [`VECTOR`] and `padded` is `len` rounded up to vectors; `None` if not.
#[target_feature(enable = "avx2")]
#[inline]
fn tile(patches: &[i16], padded: usize, rows: &[i8], len: usize) -> Option<[__m128i; PIXELS]> {
    let mut sums = [[_mm256_setzero_si256(); CHANNELS]; PIXELS];
    let lengths = patches.len() == PIXELS * padded && rows.len() == CHANNELS * len;
    if !lengths || len < VECTOR || padded != len.next_multiple_of(VECTOR) {
        return None;
    }
    let (patches, rows) = (patches.as_ptr(), rows.as_ptr());
    let mut at = 0;
    while at < padded {
        // The last vector of weights may begin earlier, where the patch holds zeros.
        let weight_at = at.min(len - VECTOR);
        for channel in 0..CHANNELS {
            // SAFETY: `weight_at + VECTOR <= len`, so 16 bytes of row `channel` are readable.
            let weights = unsafe { widen(rows.add(channel * len + weight_at)) };
            for (pixel, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `at + VECTOR <= padded`: both are multiples of VECTOR; so 32 bytes of
                // patch `pixel` are readable.
                let patch = unsafe { _mm256_loadu_si256(patches.add(pixel * padded + at).cast()) };
                sums[channel] = _mm256_add_epi32(sums[channel], _mm256_madd_epi16(patch, weights));
            }
        }
        at += VECTOR;
    }
    Some(sums.map(|sums| horizontal(sums)))
}

/// The sum of each vector's lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn horizontal(sums: [__m256i; CHANNELS]) -> __m128i {
    let pairs =
        _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs))
}
