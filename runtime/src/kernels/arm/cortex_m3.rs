//! Cortex-M3: MLA, the multiply-accumulate of all of ARMv7-M.

use core::marker::PhantomData;
use core::ptr;

use super::copy;
use super::winograd_call::{WinogradCall, can_transform};
use crate::format::WeightLayout;
use crate::kernels::cortex_m::direct::{self, Direct, Part, Rows, STEP};
use crate::kernels::cortex_m::winograd::{self, Tiles, Winograd};
use crate::kernels::{ConvArgs, ConvKernel};

/// The kernels of Cortex-M3, which run on every ARM processor that has Thumb-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CortexM3(());

impl CortexM3 {
    /// The token.
    #[must_use]
    pub(in crate::kernels) const fn new() -> Self {
        Self(())
    }
}

/// Computes a convolution with one of the kernels of this family.
pub fn conv_cortex_m3(token: CortexM3, kernel: ConvKernel, args: ConvArgs<'_>) {
    match kernel {
        ConvKernel::Winograd4CortexM3 => winograd::conv(F4(token), args),
        _ => direct::conv(token, args),
    }
}

/// Steps that follow each other without a branch, `M3_UNROLLED`, and the bytes of one.
const UNROLLED: usize = 8;
const STEP_BYTES: usize = 88;
/// What half of the constant that makes two products positive adds to a sum.
const EXCESS: u32 = 0x7F00;

/// The arguments of a direct tile, in the order of its frame.
#[derive(Clone, Copy)]
#[repr(C)]
struct DirectCall {
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
struct WidenCall {
    from: [*const i8; 4],
    patch: *mut u32,
    row_bytes: usize,
    gap: usize,
    rows: usize,
}

// Functions of the assembly. Each reads and writes what its call's pointers say, keeps the registers that
// a procedure call keeps, and uses less than 1 KiB of stack.
unsafe extern "C" {
    fn fixnet_m3_direct(call: &DirectCall);
    fn fixnet_m3_widen(call: &WidenCall);
    fn fixnet_m3_winograd4_input(patch: *const i8, values: *mut u32, position_bytes: usize);
    fn fixnet_m3_winograd4(call: &WinogradCall);
}

/// A call that lacks what differs between tiles; its weights and constants are as long as it reads.
#[derive(Clone, Copy)]
pub(crate) struct PreparedCall<'a> {
    call: DirectCall,
    steps: usize,
    channels: usize,
    part: PhantomData<Part<'a>>,
}

impl Direct<4> for CortexM3 {
    const FORM: direct::Form = direct::M3;
    type Call<'a> = PreparedCall<'a>;

    #[inline(always)]
    fn gather(self, from: &[i8], rows: Rows, to: &mut [i8]) {
        copy::gather(from, rows, to);
    }

    #[inline(always)]
    fn widen(self, from: &[i8], starts: [usize; 4], rows: Rows, patch: &mut [u32]) {
        let steps = rows.run / STEP;
        let farthest = starts.into_iter().max().unwrap_or(0);
        let kept = steps > 0
            && rows.count > 0
            && from.len() >= farthest + rows.extent()
            && patch.len() >= rows.count * steps * 8;
        if kept {
            let call = WidenCall {
                from: starts.map(|start| from.as_ptr().wrapping_add(start)),
                patch: patch.as_mut_ptr(),
                row_bytes: steps * 32,
                gap: rows.pitch.wrapping_sub(steps * STEP),
                rows: rows.count,
            };
            // SAFETY: `steps` words are readable in each row of all windows, and eight times as many
            // writable in the patch.
            unsafe { fixnet_m3_widen(&call) }
        }
    }

    fn prepare(self, part: Part<'_>) -> Option<PreparedCall<'_>> {
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
        let call = DirectCall {
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
            skipped_bytes: (UNROLLED - 1 - (steps - 1) % UNROLLED) * STEP_BYTES,
            excess: (steps as u32 * 2).wrapping_mul(EXCESS),
            row_excess: (steps * STEP).wrapping_sub(row_bytes),
        };
        Some(PreparedCall { call, steps, channels, part: PhantomData })
    }

    #[inline(always)]
    fn tile(self, call: &PreparedCall<'_>, patch: &[u32], mut outputs: [&mut [i8]; 4]) {
        let kept = patch.len() >= call.steps * 8
            && outputs.iter().all(|output| output.len() == call.channels);
        if !kept {
            return;
        }
        let tile = DirectCall {
            patch: patch.as_ptr(),
            // Whole steps alone: this is where the steps' pointer stops.
            patch_end: patch.as_ptr().wrapping_add(call.steps * 8),
            outputs: outputs.each_mut().map(|output| output.as_mut_ptr()),
            output_end: outputs[0].as_ptr().wrapping_add(call.channels),
            ..call.call
        };
        // SAFETY: for each of `channels` the steps read as much of the patch as was just checked, and as
        // many weights and constants as `prepare` has found; the outputs have `channels` elements.
        unsafe { fixnet_m3_direct(&tile) }
    }
}

/// `conv_winograd4_cortex_m3`.
#[derive(Clone, Copy)]
struct F4(CortexM3);

impl Winograd for F4 {
    const FORM: winograd::Form = winograd::F4_M3;

    #[inline(always)]
    fn copy(self, from: &[i8], stride: usize, to: &mut [i8]) {
        copy::pixels(from, stride, to);
    }

    #[inline(always)]
    fn input(self, patch: &[i8], values: &mut [u32], position_bytes: usize) {
        if can_transform(Self::FORM, patch, values, position_bytes) {
            // SAFETY: as just checked: a patch of whole pixels, and a block of channels at each position.
            unsafe {
                fixnet_m3_winograd4_input(patch.as_ptr(), values.as_mut_ptr(), position_bytes);
            }
        }
    }

    #[inline(always)]
    fn tiles(self, tiles: Tiles<'_>) {
        if let Some(call) = WinogradCall::new(tiles, Self::FORM) {
            // SAFETY: the call's slices are long enough and aligned, as `new` has checked.
            unsafe { fixnet_m3_winograd4(&call) }
        }
    }
}
