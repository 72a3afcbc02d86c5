//! Activation functions by one table of 256 entries, which stays in registers: 64 values at a time where the
//! processor chooses among 128 bytes (AVX-512 VBMI), 32 in shuffles of sixteen entries where it does not. One
//! table for each channel is read entry by entry.

use core::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_and_si256, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_storeu_si256, _mm256_subs_epi8, _mm256_xor_si256,
    _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8,
    _mm512_movepi8_mask, _mm512_permutex2var_epi8, _mm512_storeu_si512,
};

use super::{Avx2, Avx512Vnni};
use crate::error::Fault;
use crate::kernels::portable::generic;
use crate::numerics::TABLE_ENTRIES;

type Table = [i8; TABLE_ENTRIES];

/// Entries of one shuffle, and values of a vector.
const ROW: usize = 16;
const ROWS: usize = TABLE_ENTRIES / ROW;
const VALUES_256: usize = 32;
const VALUES_512: usize = 64;

/// See [`crate::kernels::portable::reference::lookup`].
pub fn lookup_avx2(
    _token: Avx2,
    tables: &[Table],
    clamp: (i8, i8),
    values: &mut [i8],
) -> Result<(), Fault> {
    // Registers hold one table.
    let [table] = tables else { return generic::lookup(tables, clamp, values) };
    // SAFETY: the token proves that this machine has AVX2.
    unsafe { by_shuffles(&clamped(table, clamp), values) };
    Ok(())
}

/// See [`crate::kernels::portable::reference::lookup`].
pub fn lookup_avx512(
    token: Avx512Vnni,
    tables: &[Table],
    clamp: (i8, i8),
    values: &mut [i8],
) -> Result<(), Fault> {
    let ([table], true) = (tables, token.has_vbmi()) else {
        return lookup_avx2(token.avx2(), tables, clamp, values);
    };
    // SAFETY: this machine has VBMI, and the token proves that it has AVX-512 F and BW.
    unsafe { by_permutations(&clamped(table, clamp), values) };
    Ok(())
}

/// The entries in the order of the values' bits, that of 0 first, each within the bounds.
fn clamped(table: &Table, (low, high): (i8, i8)) -> Table {
    let mut entries = *table;
    entries.rotate_left(TABLE_ENTRIES / 2);
    entries.map(|entry| entry.min(high).max(low))
}

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn by_shuffles(table: &Table, values: &mut [i8]) {
    // A shuffle gives 0 for a negative index, and takes the lowest four bits of any other. What a row adds is
    // its difference to the row before: the sum over all rows up to that of an index is that row.
    let mut rows = [_mm256_setzero_si256(); ROWS];
    let mut before = rows[0];
    for (n, (to, row)) in rows.iter_mut().zip(table.chunks_exact(ROW)).enumerate() {
        // SAFETY: the CPU has AVX2; a row is sixteen entries, and the load needs no alignment.
        unsafe {
            let row = _mm256_broadcastsi128_si256(_mm_loadu_si128(row.as_ptr().cast()));
            let first_of_half = n % (ROWS / 2) == 0;
            *to = if first_of_half { row } else { _mm256_xor_si256(row, before) };
            before = row;
        }
    }
    let mut blocks = values.chunks_exact_mut(VALUES_256);
    for block in &mut blocks {
        // SAFETY: the CPU has AVX2; a block is a vector of values, which needs no alignment.
        unsafe {
            let entries = shuffled(&rows, _mm256_loadu_si256(block.as_ptr().cast()));
            _mm256_storeu_si256(block.as_mut_ptr().cast(), entries);
        }
    }
    let rest = blocks.into_remainder();
    if rest.is_empty() {
        return;
    }
    let mut block = [0i8; VALUES_256];
    block[..rest.len()].copy_from_slice(rest);
    // SAFETY: as above.
    unsafe {
        let entries = shuffled(&rows, _mm256_loadu_si256(block.as_ptr().cast()));
        _mm256_storeu_si256(block.as_mut_ptr().cast(), entries);
    }
    rest.copy_from_slice(&block[..rest.len()]);
}

/// The entries of a vector of values; `rows` as differences, those of values from 0 on first.
#[target_feature(enable = "avx2")]
#[inline]
fn shuffled(rows: &[__m256i; ROWS], values: __m256i) -> __m256i {
    let (positive, negative) = rows.split_at(ROWS / 2);
    let mut index = _mm256_and_si256(values, _mm256_set1_epi8(0x7f));
    let mut entries = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (&positive, &negative) in positive.iter().zip(negative) {
        entries.0 = _mm256_xor_si256(entries.0, _mm256_shuffle_epi8(positive, index));
        entries.1 = _mm256_xor_si256(entries.1, _mm256_shuffle_epi8(negative, index));
        // An index below this row stays negative in all further ones.
        index = _mm256_subs_epi8(index, _mm256_set1_epi8(ROW as i8));
    }
    _mm256_blendv_epi8(entries.0, entries.1, values)
}

/// # Safety
/// The CPU has AVX-512 F, BW and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn by_permutations(table: &Table, values: &mut [i8]) {
    let quarter = |n: usize| {
        // SAFETY: the table is four vectors; the load needs no alignment.
        unsafe { _mm512_loadu_si512(table.as_ptr().add(n * VALUES_512).cast()) }
    };
    let quarters: [__m512i; 4] = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let mut blocks = values.chunks_exact_mut(VALUES_512);
    for block in &mut blocks {
        // SAFETY: a block is a vector of values, which needs no alignment.
        unsafe {
            let entries = permuted(quarters, _mm512_loadu_si512(block.as_ptr().cast()));
            _mm512_storeu_si512(block.as_mut_ptr().cast(), entries);
        }
    }
    let rest = blocks.into_remainder();
    let mask = (1u64 << rest.len()) - 1;
    // SAFETY: the mask has a bit for each value that is left.
    unsafe {
        let entries = permuted(quarters, _mm512_maskz_loadu_epi8(mask, rest.as_ptr()));
        _mm512_mask_storeu_epi8(rest.as_mut_ptr(), mask, entries);
    }
}

/// The entries of a vector of values, those of values from 0 on in the first two quarters.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn permuted([a, b, c, d]: [__m512i; 4], values: __m512i) -> __m512i {
    let positive = _mm512_permutex2var_epi8(a, values, b);
    let negative = _mm512_permutex2var_epi8(c, values, d);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(values), positive, negative)
}
