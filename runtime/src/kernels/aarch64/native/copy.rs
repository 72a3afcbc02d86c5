//! Copies of short runs without a call.

use core::arch::aarch64::{vld1q_s8, vld1q_s8_x4, vst1q_s8, vst1q_s8_x4};

use super::Neon;

const VECTOR: usize = 16;
const FOUR: usize = 4 * VECTOR;

/// Copies as much as both have.
#[inline]
pub(super) fn copy(_token: Neon, to: &mut [i8], from: &[i8]) {
    // SAFETY: the token proves that the CPU has NEON.
    unsafe { vectors(to, from) }
}

#[target_feature(enable = "neon")]
fn vectors(to: &mut [i8], from: &[i8]) {
    let len = to.len().min(from.len());
    if len < VECTOR {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        return;
    }
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    let fours = len / FOUR * FOUR;
    for at in (0..fours).step_by(FOUR) {
        // SAFETY: `at + FOUR <= len`.
        unsafe { vst1q_s8_x4(to.add(at), vld1q_s8_x4(from.add(at))) };
    }
    for at in (fours..len / VECTOR * VECTOR).step_by(VECTOR) {
        // SAFETY: `at + VECTOR <= len`.
        unsafe { vst1q_s8(to.add(at), vld1q_s8(from.add(at))) };
    }
    let last = len - VECTOR;
    // SAFETY: a vector ends at `len`, which is one at least.
    unsafe { vst1q_s8(to.add(last), vld1q_s8(from.add(last))) };
}
