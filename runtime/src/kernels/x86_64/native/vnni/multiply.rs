//! Rows times blocks of output channels: up to twelve rows and two blocks in 24 accumulators. Four bytes
//! of a row are broadcast and meet the same four of sixteen channels in one `vpdpbusd`; sums wrap.

use core::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_loadu_si128, _mm_storeu_si128, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512,
};

use super::epilogue::Epilogue;
use crate::kernels::x86_64::native::prefetch;
use crate::kernels::x86_64::vnni::{BLOCK, QUAD, VECTOR};

/// What is multiplied, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands<const N: usize> {
    pub rows: *const u8,
    /// From one row to the next.
    pub row: usize,
    /// `[quad][output channel][4]` of each block.
    pub weights: [*const u8; N],
    pub quads: usize,
    /// What is fetched into the cache meanwhile, a line each quad; any address.
    pub ahead: *const u8,
    /// The first channel of the first pixel.
    pub output: *mut i8,
    /// The same of the residual; null without one.
    pub residual: *const i8,
    /// From one output pixel to the next.
    pub pixel: usize,
}

/// Multiplies `count` rows, at most [`crate::kernels::x86_64::vnni::GROUP`], and takes the sums to the output.
///
/// # Safety
/// `count` rows of `quads` quads and as many quads of each block's weights are readable, `N` blocks of
/// channels of `count` output pixels writable, and those of the residual readable, if there is one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
pub(super) unsafe fn group<const N: usize>(
    count: usize,
    operands: &Operands<N>,
    epilogue: &Epilogue<N>,
) {
    // SAFETY: the caller vouches for the same.
    unsafe {
        match count {
            0 => {}
            1 => rows_times_blocks::<1, N>(operands, epilogue),
            2 => rows_times_blocks::<2, N>(operands, epilogue),
            3 => rows_times_blocks::<3, N>(operands, epilogue),
            4 => rows_times_blocks::<4, N>(operands, epilogue),
            5 => rows_times_blocks::<5, N>(operands, epilogue),
            6 => rows_times_blocks::<6, N>(operands, epilogue),
            7 => rows_times_blocks::<7, N>(operands, epilogue),
            8 => rows_times_blocks::<8, N>(operands, epilogue),
            9 => rows_times_blocks::<9, N>(operands, epilogue),
            10 => rows_times_blocks::<10, N>(operands, epilogue),
            11 => rows_times_blocks::<11, N>(operands, epilogue),
            _ => rows_times_blocks::<12, N>(operands, epilogue),
        }
    }
}

/// The body for each number below a constant count, so that sums stay in registers.
macro_rules! unrolled {
    ($count:expr, $i:ident => $body:block) => {
        unrolled!($count, $i => $body, 0 1 2 3 4 5)
    };
    ($count:expr, $i:ident => $body:block, $($number:literal)*) => {$(
        if $number < $count {
            let $i = $number;
            $body
        }
    )*};
}

/// # Safety
/// As [`group`] for `P` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn rows_times_blocks<const P: usize, const N: usize>(
    operands: &Operands<N>,
    epilogue: &Epilogue<N>,
) {
    let Operands { rows, row, weights, quads, ahead, residual, .. } = *operands;
    let mut sums: [[__m512i; N]; P] = epilogue.first_sums();
    for quad in 0..quads {
        prefetch::<_MM_HINT_T1>(ahead.wrapping_add(quad * VECTOR).cast());
        // SAFETY: `quad < quads`; the load needs no alignment.
        let weights = weights.map(|w| unsafe { _mm512_loadu_si512(w.add(quad * VECTOR).cast()) });
        for (p, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `p < P` and `quad < quads`; the read needs no alignment.
            let value = unsafe { rows.add(p * row + quad * QUAD).cast::<i32>().read_unaligned() };
            let value = _mm512_set1_epi32(value);
            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                *sum = _mm512_dpbusd_epi32(*sum, value, weights);
            }
        }
    }
    // SAFETY: the pixels are there, and so are those of the residual if there is one.
    unsafe {
        if residual.is_null() {
            unrolled!((P * N).div_ceil(FOUR), four => {
                store::<P, N, false>(operands, epilogue, &sums, four * FOUR / N);
            });
        } else {
            unrolled!((P * N).div_ceil(FOUR), four => {
                store::<P, N, true>(operands, epilogue, &sums, four * FOUR / N);
            });
        }
    }
}

/// Vectors of sums that become one of bytes.
const FOUR: usize = 4;

/// Takes four vectors of sums, of the pixels from `first` on, to the output.
///
/// # Safety
/// The pixels below `P` are there, and if `RESIDUAL`, so are those of the residual.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn store<const P: usize, const N: usize, const RESIDUAL: bool>(
    operands: &Operands<N>,
    epilogue: &Epilogue<N>,
    sums: &[[__m512i; N]; P],
    first: usize,
) {
    let Operands { output, residual, pixel, .. } = *operands;
    let mut rounded = [_mm512_setzero_si512(); FOUR];
    for (i, rounded) in rounded.iter_mut().enumerate() {
        let (p, n) = (first + i / N, i % N);
        if p < P {
            // SAFETY: the caller vouches for the pixel; the load needs no alignment.
            let shortcut = RESIDUAL
                .then(|| unsafe { _mm_loadu_si128(residual.add(p * pixel + n * BLOCK).cast()) });
            *rounded = epilogue.round(sums[p][n], n, shortcut);
        }
    }
    let values = epilogue.narrow(rounded);
    for (i, &values) in values.iter().enumerate() {
        let (p, n) = (first + i / N, i % N);
        if p < P {
            // SAFETY: the caller vouches for the pixel; the store needs no alignment.
            unsafe { _mm_storeu_si128(output.add(p * pixel + n * BLOCK).cast(), values) };
        }
    }
}
