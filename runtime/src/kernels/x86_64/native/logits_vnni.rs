//! The classifier by `vpdpbusd`, four classes at a time.
//!
//! Inputs become unsigned bytes, `u = x + 128`, and 128 times the weights is taken off each sum: all of it
//! wraps.

use core::arch::x86_64::_MM_HINT_T0;

use super::logits_avx2::{CLASSES, by_classes};
use super::tiled::vector::{Block as _, Vectors};
use super::vnni::Dots256;
use super::vnni::dots::{Block, Dots};
use super::{Avx512Vnni, AvxVnni, prefetch};
use crate::error::Fault;
use crate::kernels::LogitsArgs;
use crate::kernels::x86_64::vnni::{BLOCK, VECTOR};

/// See [`crate::kernels::portable::reference::logits`].
pub fn logits_vnni(_token: Avx512Vnni, args: LogitsArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the features.
    unsafe { logits::<Avx512Vnni>(args) }
}

/// See [`crate::kernels::portable::reference::logits`].
pub fn logits_avx_vnni(token: AvxVnni, args: LogitsArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2 and one of the encodings.
    unsafe {
        if token.is_vex() { logits::<Dots256<true>>(args) } else { logits::<Dots256<false>>(args) }
    }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn logits<D: Dots>(args: LogitsArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the caller vouches for the instructions.
    let done = unsafe {
        D::Vectors::run(
            #[inline(always)]
            || run::<D>(args),
        )
    };
    done.ok_or(Fault::Plan)
}

/// `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn run<D: Dots>(args: LogitsArgs<'_>) -> Option<()> {
    by_classes(
        args,
        #[inline(always)]
        |input, rows| {
            // SAFETY: the caller vouches for the instructions.
            unsafe { sums::<D>(input, rows) }
        },
    )
}

/// The products of up to four rows with the input.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn sums<D: Dots>(input: &[i8], rows: &[i8]) -> Option<[i32; CLASSES]> {
    let mut sums = [0; CLASSES];
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        // Where there are registers for all.
        if D::TILE.blocks > 1
            && let Some(all) = rows_times_input::<D, CLASSES>(input, rows)
        {
            return Some(all);
        }
        let pairs = rows.chunks(input.len().saturating_mul(2).max(1));
        for (sums, rows) in sums.chunks_exact_mut(2).zip(pairs) {
            if let Some(pair) = rows_times_input::<D, 2>(input, rows) {
                sums.copy_from_slice(&pair);
            } else {
                [sums[0]] = rows_times_input::<D, 1>(input, rows)?;
            }
        }
    }
    Some(sums)
}

/// `None` if there are fewer rows.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn rows_times_input<D: Dots, const N: usize>(input: &[i8], rows: &[i8]) -> Option<[i32; N]> {
    let len = input.len();
    let rows = rows.get(..len.checked_mul(N)?)?;
    let mut totals = [[0; BLOCK]; N];
    // SAFETY: the caller vouches for the instructions; the values lie in the input, the weights in row
    // `class`, and a block has as many sums as are stored.
    unsafe {
        let zero = Block::<D>::splat(0);
        // As a factor that is unsigned.
        let high = D::unsigned(zero);
        let mut sums = [[zero; 2]; N];
        for at in (0..len).step_by(VECTOR) {
            let count = (len - at).min(VECTOR);
            let values = D::unsigned(D::load(input.as_ptr().add(at), count));
            for (class, [sum, correction]) in sums.iter_mut().enumerate() {
                let from = rows.as_ptr().add(class * len + at);
                // The same place of the next rows.
                prefetch::<_MM_HINT_T0>(from.wrapping_add(N * len));
                let weights = D::load(from, count);
                *sum = D::dot(*sum, values, weights);
                *correction = D::dot(*correction, high, weights);
            }
        }
        for (total, [sum, correction]) in totals.iter_mut().zip(sums) {
            let difference = sum + correction.product(Block::<D>::splat(-1));
            difference.store(total.as_mut_ptr());
        }
    }
    Some(totals.map(|sums| sums.into_iter().fold(0, i32::wrapping_add)))
}
