//! The classifier: four classes at a time, sixteen products of each.

use core::arch::aarch64::{
    vaddvq_s32, vdupq_n_s32, vget_low_s8, vld1q_s8, vmull_high_s8, vmull_s8, vpadalq_s16,
};

use super::Neon;
use crate::error::Fault;
use crate::kernels::LogitsArgs;
use crate::numerics;

/// Values of one vector.
const LANES: usize = 16;
/// Classes whose sums are held at a time.
const CLASSES: usize = 4;

/// See [`crate::kernels::portable::reference::logits`].
pub fn logits_neon(_token: Neon, args: LogitsArgs<'_>) -> Result<(), Fault> {
    let len = args.input.len();
    let classes = args.output.len();
    let weights = len.checked_mul(classes).and_then(|len| args.weights.get(..len));
    let rows = weights.ok_or(Fault::Plan)?.chunks(len.saturating_mul(CLASSES).max(1));
    let constants = (0..classes)
        .step_by(CLASSES)
        .map(|first| args.channels.part(first..classes.min(first + CLASSES)));
    for ((output, rows), constants) in args.output.chunks_mut(CLASSES).zip(rows).zip(constants) {
        // SAFETY: the token proves that the CPU has NEON.
        let sums = unsafe { sums(args.input, rows) };
        for ((to, sum), channel) in
            output.iter_mut().zip(sums).zip(constants.ok_or(Fault::Plan)?.iter())
        {
            *to = numerics::logit(sum, channel, args.shift);
        }
    }
    Ok(())
}

/// The products of up to four rows with the input.
#[target_feature(enable = "neon")]
fn sums(input: &[i8], rows: &[i8]) -> [i32; CLASSES] {
    let len = input.len();
    let mut sums = [0; CLASSES];
    let whole = rows.len() == CLASSES * len;
    // What fills no vector, or all of the last classes.
    let first = if whole { len / LANES * LANES } else { 0 };
    let mut lanes = [vdupq_n_s32(0); CLASSES];
    for at in (0..first).step_by(LANES) {
        // SAFETY: the vector lies in the input, and in each of the rows, which are as long.
        let load = |from: &[i8], at: usize| unsafe { vld1q_s8(from.as_ptr().add(at)) };
        let values = load(input, at);
        for (class, lanes) in lanes.iter_mut().enumerate() {
            let weights = load(rows, class * len + at);
            *lanes = vpadalq_s16(*lanes, vmull_s8(vget_low_s8(values), vget_low_s8(weights)));
            *lanes = vpadalq_s16(*lanes, vmull_high_s8(values, weights));
        }
    }
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum = vaddvq_s32(lanes);
    }
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(len.max(1))) {
        for (&value, &weight) in input.iter().zip(row).skip(first) {
            *sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
        }
    }
    sums
}
