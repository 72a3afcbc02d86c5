//! Direct convolution from rows of bytes, four pixels and one output channel a tile: what its kernels are
//! called with.

use core::marker::PhantomData;
use core::ptr;

use super::direct::{Direct, Part, Rows};
use crate::format::WeightLayout;
use crate::kernels::cortex_m::direct::{Form, ROWS, STEP};

/// Words of a step in a patch.
const STEP_WORDS: usize = 8;
/// What half of the constant that makes two products positive adds to a sum on Cortex-M3.
const EXCESS: u32 = 0x7F00;

/// The functions of one kind of processor.
///
/// # Safety
/// Each reads and writes what its call's pointers say, keeps the registers that a procedure call keeps, and uses
/// less than 1 KiB of stack; holders of a token may call them.
pub(super) unsafe trait RowsIsa: Copy {
    const RUN: unsafe extern "C" fn(&RowsCall);
    const WIDEN: unsafe extern "C" fn(&WidenCall);
    /// Steps that follow each other without a branch, and the bytes of one.
    const UNROLLED: usize;
    const STEP_BYTES: usize;
}

/// The arguments of a tile, in the order of its frame.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct RowsCall {
    patch: *const u32,
    patch_end: *const u32,
    weights: *const u8,
    bias: *const i32,
    multipliers: *const i32,
    outputs: [*mut i8; 4],
    shift: u32,
    offset: i32,
    fraction_bits: u32,
    residual_multiplier: i32,
    output_end: *const i8,
    skipped_bytes: usize,
    excess: u32,
    row_excess: usize,
}

#[repr(C)]
pub(super) struct WidenCall {
    from: [*const i8; 4],
    patch: *mut u32,
    row_bytes: usize,
    gap: usize,
    rows: usize,
}

/// A call that lacks what differs between tiles; its weights and constants are as long as it reads.
#[derive(Clone, Copy)]
pub(crate) struct PreparedRows<'a> {
    call: RowsCall,
    steps: usize,
    channels: usize,
    part: PhantomData<Part<'a>>,
}

impl<I: RowsIsa> Direct<4> for I {
    const FORM: Form = ROWS;
    type Call<'a> = PreparedRows<'a>;

    #[inline(always)]
    fn widen(self, from: &[i8], starts: [usize; 4], rows: Rows, patch: &mut [u32]) -> bool {
        let steps = rows.run / STEP;
        let farthest = starts.into_iter().max().unwrap_or(0);
        let kept = steps > 0
            && rows.count > 0
            && from.len() >= farthest + rows.extent()
            && patch.len() >= rows.count * steps * STEP_WORDS;
        if kept {
            let call = WidenCall {
                from: starts.map(|start| from.as_ptr().wrapping_add(start)),
                patch: patch.as_mut_ptr(),
                row_bytes: steps * STEP_WORDS * 4,
                gap: rows.pitch.wrapping_sub(steps * STEP),
                rows: rows.count,
            };
            // SAFETY: `steps` words are readable in each row of all windows, and eight times as many
            // writable in the patch.
            unsafe { (I::WIDEN)(&call) }
        }
        kept
    }

    #[inline(never)]
    fn prepare(self, part: Part<'_>) -> Option<PreparedRows<'_>> {
        let Part { layout, weights, row_bytes, channels, steps, epilogue } = part;
        let (bias, multipliers) = (epilogue.channels.bias, epilogue.channels.multipliers);
        let kept = steps > 0
            && channels > 0
            && layout == WeightLayout::Ohwi
            && weights.len() >= row_bytes * (channels - 1) + steps * STEP
            && bias.len() >= channels
            && multipliers.len() >= channels;
        if !kept {
            return None;
        }
        let rq = epilogue.requantization;
        let call = RowsCall {
            patch: ptr::null(),
            patch_end: ptr::null(),
            weights: weights.as_ptr(),
            bias: bias.as_ptr(),
            multipliers: multipliers.as_ptr(),
            outputs: [ptr::null_mut(); 4],
            shift: rq.shift,
            offset: rq.offset,
            fraction_bits: rq.fraction_bits,
            residual_multiplier: epilogue.residual_multiplier,
            output_end: ptr::null(),
            skipped_bytes: (I::UNROLLED - 1 - (steps - 1) % I::UNROLLED) * I::STEP_BYTES,
            excess: (steps as u32 * 2).wrapping_mul(EXCESS),
            row_excess: (steps * STEP).wrapping_sub(row_bytes),
        };
        Some(PreparedRows { call, steps, channels, part: PhantomData })
    }

    #[inline(always)]
    fn tile(self, call: &PreparedRows<'_>, patch: &[u32], mut outputs: [&mut [i8]; 4]) -> bool {
        let kept = patch.len() >= call.steps * STEP_WORDS
            && outputs.iter().all(|output| output.len() == call.channels);
        if !kept {
            return false;
        }
        let outputs = outputs.each_mut().map(|output| output.as_mut_ptr());
        let tile = RowsCall {
            patch: patch.as_ptr(),
            // Whole steps alone: this is where the steps' pointer stops.
            patch_end: patch.as_ptr().wrapping_add(call.steps * STEP_WORDS),
            outputs,
            output_end: outputs[0].cast_const().wrapping_add(call.channels),
            ..call.call
        };
        // SAFETY: for each of `channels` the steps read as much of the patch as was just checked, and as
        // many weights and constants as `prepare` has found; the outputs have `channels` elements.
        unsafe { (I::RUN)(&tile) }
        true
    }
}
