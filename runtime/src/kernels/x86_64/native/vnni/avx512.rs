//! [`Dots`] of AVX-512: a block is one vector.

use core::arch::x86_64::{
    __m128i, __mmask32, __mmask64, _mm256_maskz_loadu_epi8, _mm256_set1_epi8, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_castsi512_si128, _mm512_dpbusd_epi32, _mm512_extracti32x4_epi32,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_max_epi8, _mm512_min_epi8,
    _mm512_packs_epi16, _mm512_packs_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi8,
    _mm512_setr_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::dots::{CHAINS, Dots, Runs};
use crate::kernels::x86_64::native::Avx512Vnni;
use crate::kernels::x86_64::native::tiled::avx512::Sums512;
use crate::kernels::x86_64::native::tiled::vector::Block;
use crate::kernels::x86_64::vnni::{self, BLOCK, QUAD, Tile, VECTOR};

/// Bytes of half a vector.
const HALF: usize = VECTOR / 2;

impl Dots for Avx512Vnni {
    const TILE: Tile = vnni::AVX512;

    type Vectors = Self;

    #[inline(always)]
    fn dot(sums: Sums512, unsigned: Sums512, signed: Sums512) -> Sums512 {
        // SAFETY: there are vectors only where there are their instructions.
        Sums512(unsafe { _mm512_dpbusd_epi32(sums.0, unsigned.0, signed.0) })
    }

    #[inline(always)]
    fn unsigned(values: Sums512) -> Sums512 {
        // SAFETY: there are vectors only where there are their instructions.
        Sums512(unsafe { _mm512_xor_si512(values.0, _mm512_set1_epi8(-128)) })
    }

    #[inline(always)]
    unsafe fn load(from: *const i8, count: usize) -> Sums512 {
        let mask = __mmask64::MAX >> (VECTOR - count);
        // SAFETY: the caller vouches for the instructions and for the masked values; no others are read.
        Sums512(unsafe { _mm512_maskz_loadu_epi8(mask, from) })
    }

    #[inline(always)]
    unsafe fn interleave(
        rows: *const i8,
        pitch: usize,
        count: usize,
        to: *mut u8,
        sums: &mut [Sums512; CHAINS],
    ) {
        // SAFETY: the caller vouches for the instructions, `count` weights of each row, and their quads.
        unsafe {
            let mut vectors = [Block::splat(0); BLOCK];
            // As a factor that is unsigned.
            let factor = Self::unsigned(vectors[0]);
            for (row, vector) in vectors.iter_mut().enumerate() {
                *vector = Self::load(rows.add(row * pitch), count);
            }
            for (k, quad) in transpose(vectors).into_iter().enumerate() {
                if k < count.div_ceil(QUAD) {
                    sums[k % CHAINS] = Self::dot(sums[k % CHAINS], factor, quad);
                    Block::store(quad, to.add(k * VECTOR).cast());
                }
            }
        }
    }

    #[inline(always)]
    fn narrow([a, b, c, d]: [Sums512; 4], clamp: (Sums512, Sums512)) -> [__m128i; 4] {
        // SAFETY: there are vectors only where there are their instructions.
        unsafe {
            // Saturation to int8 and then the clamp are the clamp.
            let words = (_mm512_packs_epi32(a.0, b.0), _mm512_packs_epi32(c.0, d.0));
            let bytes = _mm512_packs_epi16(words.0, words.1);
            let bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, clamp.0.0), clamp.1.0);
            // Lane `l` holds four channels of each vector.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            [
                _mm512_castsi512_si128(bytes),
                _mm512_extracti32x4_epi32::<1>(bytes),
                _mm512_extracti32x4_epi32::<2>(bytes),
                _mm512_extracti32x4_epi32::<3>(bytes),
            ]
        }
    }

    #[inline(always)]
    unsafe fn copy(Runs { len, count, step, row }: Runs, from: *const i8, to: *mut u8) {
        let rest = (1 << (len % VECTOR)) - 1;
        if len > HALF {
            for p in 0..count {
                // SAFETY: the caller vouches for each run.
                unsafe { copy(len / VECTOR, rest, from.add(p * step), to.add(p * row)) };
            }
            return;
        }
        for p in 0..count {
            // SAFETY: the caller vouches for each run, and half a vector holds it.
            unsafe {
                let values = _mm256_maskz_loadu_epi8(rest as __mmask32, from.add(p * step));
                let values = _mm256_xor_si256(values, _mm256_set1_epi8(-128));
                _mm256_storeu_si256(to.add(p * row).cast(), values);
            }
        }
    }
}

/// Copies whole vectors and the masked rest behind them.
///
/// # Safety
/// As [`Dots::copy`] for one run.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn copy(vectors: usize, rest: __mmask64, from: *const i8, to: *mut u8) {
    let flip = _mm512_set1_epi8(-128);
    // SAFETY: the caller vouches for whole vectors; the last load reads no more than the rest.
    unsafe {
        for vector in 0..vectors {
            let values = _mm512_loadu_si512(from.add(vector * VECTOR).cast());
            _mm512_storeu_si512(to.add(vector * VECTOR).cast(), _mm512_xor_si512(values, flip));
        }
        if rest != 0 {
            let values = _mm512_maskz_loadu_epi8(rest, from.add(vectors * VECTOR));
            _mm512_storeu_si512(to.add(vectors * VECTOR).cast(), _mm512_xor_si512(values, flip));
        }
    }
}

/// Sixteen rows of sixteen quads: quad `k` of every row becomes result `k`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn transpose(rows: [Sums512; BLOCK]) -> [Sums512; BLOCK] {
    let mut pairs = rows;
    for i in (0..BLOCK).step_by(2) {
        pairs[i].0 = _mm512_unpacklo_epi32(rows[i].0, rows[i + 1].0);
        pairs[i + 1].0 = _mm512_unpackhi_epi32(rows[i].0, rows[i + 1].0);
    }
    // Lane `l` of vector `4 g + k`: quad `4 l + k` of rows `4 g` to `4 g + 3`.
    let mut fours = pairs;
    for i in (0..BLOCK).step_by(4) {
        fours[i].0 = _mm512_unpacklo_epi64(pairs[i].0, pairs[i + 2].0);
        fours[i + 1].0 = _mm512_unpackhi_epi64(pairs[i].0, pairs[i + 2].0);
        fours[i + 2].0 = _mm512_unpacklo_epi64(pairs[i + 1].0, pairs[i + 3].0);
        fours[i + 3].0 = _mm512_unpackhi_epi64(pairs[i + 1].0, pairs[i + 3].0);
    }
    // Lanes are transposed: four groups of rows of each quad.
    let mut turned = fours;
    for k in 0..4 {
        let (a, b, c, d) = (fours[k].0, fours[4 + k].0, fours[8 + k].0, fours[12 + k].0);
        let (low_ab, high_ab) = (
            _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b),
        );
        let (low_cd, high_cd) = (
            _mm512_shuffle_i32x4::<0b01_00_01_00>(c, d),
            _mm512_shuffle_i32x4::<0b11_10_11_10>(c, d),
        );
        turned[k].0 = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_ab, low_cd);
        turned[4 + k].0 = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_ab, low_cd);
        turned[8 + k].0 = _mm512_shuffle_i32x4::<0b10_00_10_00>(high_ab, high_cd);
        turned[12 + k].0 = _mm512_shuffle_i32x4::<0b11_01_11_01>(high_ab, high_cd);
    }
    turned
}
