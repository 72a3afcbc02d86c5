//! [`Dots`] of 256 bits: a block is two vectors.
//!
//! `vpdpbusd` of 256 bits has two encodings: VEX on processors with AVX-VNNI, EVEX on those with AVX-512
//! VL and VNNI. They compute the same; all other instructions are AVX2 and the same in both.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm_storel_epi64, _mm_storeu_si128,
    _mm_xor_si128, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_max_epi8, _mm256_min_epi8, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_setr_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::dots::{CHAINS, Dots, Runs};
use crate::kernels::x86_64::native::Avx2;
use crate::kernels::x86_64::native::tiled::avx2::Block256;
use crate::kernels::x86_64::vnni::{self, BLOCK, QUAD, Tile, VECTOR};

/// Bytes of a vector.
const HALF: usize = VECTOR / 2;
/// Sums of a vector.
const LANES: usize = BLOCK / 2;

/// AVX2 with `vpdpbusd`, encoded in VEX or in EVEX.
pub(in crate::kernels::x86_64::native) struct Dots256<const VEX: bool>;

impl<const VEX: bool> Dots for Dots256<VEX> {
    const TILE: Tile = vnni::AVX;

    type Vectors = Avx2;

    #[inline(always)]
    fn dot(
        Block256([a, b]): Block256,
        Block256(unsigned): Block256,
        Block256(signed): Block256,
    ) -> Block256 {
        // SAFETY: there are blocks only where one encoding is, and `VEX` says which.
        Block256(unsafe {
            [dot::<VEX>(a, unsigned[0], signed[0]), dot::<VEX>(b, unsigned[1], signed[1])]
        })
    }

    #[inline(always)]
    fn unsigned(Block256([a, b]): Block256) -> Block256 {
        // SAFETY: there are vectors only where there is AVX2.
        unsafe {
            let flip = _mm256_set1_epi8(-128);
            Block256([_mm256_xor_si256(a, flip), _mm256_xor_si256(b, flip)])
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8, count: usize) -> Block256 {
        let (low, high) = (count.min(HALF), count.saturating_sub(HALF));
        // SAFETY: the caller vouches for AVX2 and for the values.
        Block256(unsafe { [load(from, low), load(from.wrapping_add(HALF), high)] })
    }

    #[inline(always)]
    unsafe fn interleave(
        rows: *const i8,
        pitch: usize,
        count: usize,
        to: *mut u8,
        sums: &mut [Block256; CHAINS],
    ) {
        let [Block256([a, b]), Block256([c, d]), ..] = sums;
        let (low, high) = (count.min(HALF), count.saturating_sub(HALF));
        // SAFETY: the caller vouches for one encoding, `count` weights of each row, and their quads.
        unsafe {
            let (below, right) = (rows.add(LANES * pitch), LANES * VECTOR);
            interleave::<VEX>(rows, pitch, low, to, a);
            interleave::<VEX>(below, pitch, low, to.add(HALF), b);
            if high > 0 {
                interleave::<VEX>(rows.add(HALF), pitch, high, to.add(right), c);
                interleave::<VEX>(below.add(HALF), pitch, high, to.add(right + HALF), d);
            }
        }
    }

    #[inline(always)]
    fn narrow([a, b, c, d]: [Block256; 4], clamp: (Block256, Block256)) -> [__m128i; 4] {
        // SAFETY: there are vectors only where there is AVX2.
        unsafe {
            let ([a, b], [c, d]) = (narrow([a, b], clamp), narrow([c, d], clamp));
            [a, b, c, d]
        }
    }

    #[inline(always)]
    unsafe fn copy(Runs { len, count, step, row }: Runs, from: *const i8, to: *mut u8) {
        for p in 0..count {
            // SAFETY: the caller vouches for AVX2 and for each run.
            unsafe { copy(len, from.add(p * step), to.add(p * row)) };
        }
    }
}

/// # Safety
/// The CPU has AVX-VNNI if `VEX`, or else AVX-512 VL and VNNI.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn dot<const VEX: bool>(mut sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    // SAFETY: the instruction reads and writes registers only; the caller vouches for it.
    unsafe {
        if VEX {
            asm!(
                "{{vex}} vpdpbusd {sums}, {unsigned}, {signed}",
                sums = inout(ymm_reg) sums,
                unsigned = in(ymm_reg) unsigned,
                signed = in(ymm_reg) signed,
                options(pure, nomem, nostack, preserves_flags),
            );
        } else {
            asm!(
                "{{evex}} vpdpbusd {sums}, {unsigned}, {signed}",
                sums = inout(ymm_reg) sums,
                unsigned = in(ymm_reg) unsigned,
                signed = in(ymm_reg) signed,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    sums
}

/// [`Dots::interleave`] for half the rows and half a vector of each.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn interleave<const VEX: bool>(
    rows: *const i8,
    pitch: usize,
    count: usize,
    to: *mut u8,
    sum: &mut __m256i,
) {
    // As a factor that is unsigned.
    let factor = _mm256_set1_epi8(-128);
    let mut vectors = [factor; LANES];
    for (row, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller vouches for `count` weights of each row.
        *vector = unsafe { load(rows.add(row * pitch), count) };
    }
    for (k, quad) in transpose(vectors).into_iter().enumerate() {
        if k < count.div_ceil(QUAD) {
            // SAFETY: the caller vouches for the encoding and for the quads; the store needs no alignment.
            unsafe {
                *sum = dot::<VEX>(*sum, factor, quad);
                _mm256_storeu_si256(to.add(k * VECTOR).cast(), quad);
            }
        }
    }
}

/// `count` values, at most as many as fit; zeros behind them.
///
/// # Safety
/// These values are readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(from: *const i8, count: usize) -> __m256i {
    let mut values = [0i8; HALF];
    // SAFETY: the caller vouches for the values; the loads need no alignment.
    unsafe {
        if count == HALF {
            return _mm256_loadu_si256(from.cast());
        }
        values.as_mut_ptr().copy_from_nonoverlapping(from, count);
        _mm256_loadu_si256(values.as_ptr().cast())
    }
}

/// Eight rows of eight quads: quad `k` of every row becomes result `k`.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(rows: [__m256i; LANES]) -> [__m256i; LANES] {
    let mut pairs = rows;
    for i in (0..LANES).step_by(2) {
        pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Lane `l` of vector `4 g + k`: quad `4 l + k` of rows `4 g` to `4 g + 3`.
    let mut fours = pairs;
    for i in (0..LANES).step_by(4) {
        fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    let mut turned = fours;
    for k in 0..4 {
        turned[k] = _mm256_permute2x128_si256::<0x20>(fours[k], fours[4 + k]);
        turned[4 + k] = _mm256_permute2x128_si256::<0x31>(fours[k], fours[4 + k]);
    }
    turned
}

/// See [`Dots::narrow`].
#[target_feature(enable = "avx2")]
#[inline]
fn narrow(blocks: [Block256; 2], clamp: (Block256, Block256)) -> [__m128i; 2] {
    let [a, b] = blocks;
    // Saturation to int8 and then the clamp are the clamp.
    let words = (_mm256_packs_epi32(a.0[0], a.0[1]), _mm256_packs_epi32(b.0[0], b.0[1]));
    let bytes = _mm256_packs_epi16(words.0, words.1);
    let bytes = _mm256_min_epi8(_mm256_max_epi8(bytes, clamp.0.0[0]), clamp.1.0[0]);
    // A half holds four channels of each vector.
    let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)]
}

/// Copies `len` values as `x + 128`; what fills no vector with the last one moved back, or in two parts
/// that overlap.
///
/// # Safety
/// `len` values are readable and writable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn copy(len: usize, from: *const i8, to: *mut u8) {
    let flip = _mm256_set1_epi8(-128);
    let half = _mm256_castsi256_si128(flip);
    // SAFETY: no part begins before the first value or ends behind the last.
    unsafe {
        match len {
            HALF.. => {
                let whole = (0..len - HALF).step_by(HALF);
                for at in whole.chain([len - HALF]) {
                    let values = _mm256_loadu_si256(from.add(at).cast());
                    _mm256_storeu_si256(to.add(at).cast(), _mm256_xor_si256(values, flip));
                }
            }
            16.. => {
                for at in [0, len - 16] {
                    let values = _mm_loadu_si128(from.add(at).cast());
                    _mm_storeu_si128(to.add(at).cast(), _mm_xor_si128(values, half));
                }
            }
            8.. => {
                for at in [0, len - 8] {
                    let values = _mm_loadl_epi64(from.add(at).cast());
                    _mm_storel_epi64(to.add(at).cast(), _mm_xor_si128(values, half));
                }
            }
            _ => {
                for at in 0..len {
                    to.add(at).write(from.add(at).read() as u8 ^ 0x80);
                }
            }
        }
    }
}
