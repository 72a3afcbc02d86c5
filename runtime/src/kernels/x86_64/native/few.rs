//! A block's values, of which there may be fewer than sixteen.

use core::arch::x86_64::{
    __m128i, _mm_loadl_epi64, _mm_loadu_si128, _mm_storel_epi64, _mm_storeu_si128,
};

use crate::kernels::x86_64::tiled::BLOCK;

/// `count` values, at most sixteen.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub unsafe fn load(from: *const i8, count: usize) -> __m128i {
    // SAFETY: the caller vouches for the values; the load needs no alignment.
    unsafe {
        if count >= BLOCK {
            return _mm_loadu_si128(from.cast());
        }
        if count == BLOCK / 2 {
            return _mm_loadl_epi64(from.cast());
        }
        let mut values = [0i8; BLOCK];
        core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
        _mm_loadu_si128(values.as_ptr().cast())
    }
}

/// Writes `count` values, at most sixteen.
///
/// # Safety
/// They are writable.
#[inline(always)]
pub unsafe fn write(values: __m128i, to: *mut i8, count: usize) {
    // SAFETY: the caller vouches for the values; the store needs no alignment.
    unsafe {
        if count >= BLOCK {
            _mm_storeu_si128(to.cast(), values);
            return;
        }
        if count == BLOCK / 2 {
            _mm_storel_epi64(to.cast(), values);
            return;
        }
        let mut bytes = [0i8; BLOCK];
        _mm_storeu_si128(bytes.as_mut_ptr().cast(), values);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
    }
}
