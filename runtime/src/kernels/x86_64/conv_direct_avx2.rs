//! Direct convolution in 16-bit multiply-adds (`vpmaddwd`): no saturation, so exact for every int8
//! input and weight.
//!
//! Two output pixels' windows are gathered as i16 into scratch, in whole vectors, and multiplied with
//! four output channels at a time, whose int8 weights are widened as they are loaded. The weights of
//! the last vector are filled up with zeros, so what lies behind a window there does not matter.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_hadd_epi32,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setzero_si256,
};

use zerocopy::FromBytes;

use super::Avx2;
use super::requantize_avx2::requantize_pixel;
use crate::format::align_up;
use crate::kernels::{ConvArgs, ConvShape, patch};

/// Elements of one vector of i16.
const VECTOR: usize = 16;
/// Output pixels of one tile.
const PIXELS: usize = 2;
/// Output channels of one tile.
const CHANNELS: usize = 4;

/// Whether [`conv_direct_avx2`] computes this convolution.
#[must_use]
pub fn conv_direct_avx2_serves(shape: &ConvShape) -> bool {
    shape.groups == 1
}

fn padded_len(shape: &ConvShape) -> usize {
    shape.patch_len().saturating_add(VECTOR - 1) / VECTOR * VECTOR
}

/// Two patches in 16 bits and the accumulators of two pixels.
#[must_use]
pub fn conv_direct_avx2_scratch_bytes(shape: &ConvShape) -> usize {
    let patches = padded_len(shape).saturating_mul(PIXELS * 2);
    let accumulators = align_up(shape.output[2].saturating_mul(4)).saturating_mul(PIXELS);
    patches.saturating_add(accumulators)
}

/// See [`crate::kernels::reference::conv`].
pub fn conv_direct_avx2(_token: Avx2, args: ConvArgs<'_>) {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { conv(args) }
}

#[target_feature(enable = "avx2")]
fn conv(args: ConvArgs<'_>) {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let (len, padded) = (shape.patch_len(), padded_len(shape));
    let Some((patches, accumulators)) = args.scratch.split_at_mut_checked(padded * PIXELS * 2)
    else {
        return;
    };
    let accumulators = accumulators.get_mut(..align_up(out_c * 4) * PIXELS).unwrap_or(&mut []);
    let Ok(patches) = <[i16]>::mut_from_bytes(patches) else { return };
    let Ok(accumulators) = <[i32]>::mut_from_bytes(accumulators) else { return };
    let Some((first, second)) = patches.split_at_mut_checked(padded) else { return };
    let Some((acc_first, acc_second)) = accumulators.split_at_mut_checked(accumulators.len() / 2)
    else {
        return;
    };
    let (channels, rq) = (args.channels, args.requantization);
    let position = |pixel: usize| (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
    for (tile, output) in args.output.chunks_mut((PIXELS * out_c).max(1)).enumerate() {
        let pixel = tile * PIXELS;
        patch::gather(shape, args.input, position(pixel), 0, first, i16::from);
        let (one, two) = output.split_at_mut_checked(out_c).unwrap_or_default();
        // The last tile of an odd number of pixels computes its second pixel for nothing.
        if !two.is_empty() {
            patch::gather(shape, args.input, position(pixel + 1), 0, second, i16::from);
        }
        multiply([first, second], args.weights, len, [acc_first, acc_second]);
        requantize_pixel(acc_first, channels, rq, args.residual, pixel * out_c, one);
        requantize_pixel(acc_second, channels, rq, args.residual, (pixel + 1) * out_c, two);
    }
}

/// Both patches times all output channels: one row of `len` weights for each.
#[target_feature(enable = "avx2")]
fn multiply(
    patches: [&[i16]; PIXELS],
    weights: &[i8],
    len: usize,
    [first, second]: [&mut [i32]; PIXELS],
) {
    let len = len.max(1);
    let rows = weights.chunks_exact(len.saturating_mul(CHANNELS));
    let rest = rows.remainder().chunks_exact(len);
    let whole = rows.len() * CHANNELS;
    let accumulators =
        first.chunks_exact_mut(CHANNELS).zip(second.chunks_exact_mut(CHANNELS)).zip(rows);
    for ((first, second), rows) in accumulators {
        let (r01, r23) = rows.split_at_checked(len * 2).unwrap_or_default();
        let (r0, r1) = r01.split_at_checked(len).unwrap_or_default();
        let (r2, r3) = r23.split_at_checked(len).unwrap_or_default();
        let sums = tile(patches, [r0, r1, r2, r3], len);
        store(first, sums[0]);
        store(second, sums[1]);
    }
    let accumulators = first.iter_mut().zip(second).skip(whole);
    for ((first, second), row) in accumulators.zip(rest) {
        *first = dot(patches[0], row);
        *second = dot(patches[1], row);
    }
}

#[target_feature(enable = "avx2")]
fn dot(patch: &[i16], weights: &[i8]) -> i32 {
    let products = patch.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w));
    products.fold(0, i32::wrapping_add)
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(to: &mut [i32], sums: __m128i) {
    if let Some(to) = to.first_chunk_mut::<CHANNELS>() {
        // SAFETY: `to` is 16 writable bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), sums) };
    }
}

/// Two patches times four rows of weights of `len` elements: the four sums of each patch.
///
/// The patches have the same length, a multiple of [`VECTOR`] and at least `len`; what they hold from
/// `len` on does not matter.
#[target_feature(enable = "avx2")]
#[inline]
fn tile(patches: [&[i16]; PIXELS], rows: [&[i8]; CHANNELS], len: usize) -> [__m128i; PIXELS] {
    let mut sums = [[_mm256_setzero_si256(); CHANNELS]; PIXELS];
    let whole = len / VECTOR;
    let [one, two] = patches.map(|p| p.as_chunks::<VECTOR>().0);
    let [w0, w1, w2, w3] = rows.map(|r| r.as_chunks::<VECTOR>().0);
    let weights = w0.iter().zip(w1).zip(w2.iter().zip(w3));
    let blocks = one.iter().zip(two).zip(weights).take(whole);
    for ((one, two), ((w0, w1), (w2, w3))) in blocks {
        let weights = [widen(w0), widen(w1), widen(w2), widen(w3)];
        accumulate(&mut sums, [one, two], weights);
    }
    if !len.is_multiple_of(VECTOR)
        && let (Some(one), Some(two)) = (one.get(whole), two.get(whole))
    {
        let weights = rows.map(|row| {
            let mut tail = [0i8; VECTOR];
            let rest = row.get(whole * VECTOR..len).unwrap_or(&[]);
            tail.iter_mut().zip(rest).for_each(|(to, &from)| *to = from);
            tail
        });
        let [w0, w1, w2, w3] = &weights;
        let weights = [widen(w0), widen(w1), widen(w2), widen(w3)];
        accumulate(&mut sums, [one, two], weights);
    }
    let [first, second] = sums;
    [horizontal(first), horizontal(second)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn accumulate(
    sums: &mut [[__m256i; CHANNELS]; PIXELS],
    patches: [&[i16; VECTOR]; PIXELS],
    weights: [__m256i; CHANNELS],
) {
    for (sums, patch) in sums.iter_mut().zip(patches) {
        // SAFETY: `patch` is 32 readable bytes; the load needs no alignment.
        let patch = unsafe { _mm256_loadu_si256(patch.as_ptr().cast()) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(patch, weights));
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn widen(weights: &[i8; VECTOR]) -> __m256i {
    // SAFETY: `weights` is 16 readable bytes; the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) })
}

/// The sum of each vector's lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn horizontal(sums: [__m256i; CHANNELS]) -> __m128i {
    let pairs =
        _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs))
}
