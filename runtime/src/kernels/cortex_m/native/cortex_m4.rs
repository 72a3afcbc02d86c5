//! Cortex-M4 and M7: the DSP extension's SMLAD, and registers of the floating-point unit to keep values in.

use core::marker::PhantomData;
use core::ptr;

use super::depthwise::{self, DepthwiseCall, DepthwiseIsa};
use super::direct::{self, Direct, Part, Rows};
use super::rows_call::{RowsCall, RowsIsa, WidenCall};
use super::winograd::{self, Winograd};
use super::winograd_call::WinogradCall;
use crate::error::Fault;
use crate::format::WeightLayout;
use crate::kernels::ConvArgs;
use crate::kernels::cortex_m::{direct as direct_plan, m4, winograd::Form};
use crate::kernels::declare::token;

token! {
    /// Proof that this CPU has the DSP extension and a floating-point unit: the ABI asks for the latter, and
    /// whoever builds this feature for it knows of the former.
    CortexM4, if true
}

/// See [`crate::kernels::portable::reference::conv`]; depthwise.
pub fn conv_depthwise_cortex_m4(token: CortexM4, args: ConvArgs<'_>) -> Result<(), Fault> {
    depthwise::conv(token, args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) from packed weights.
pub fn conv_winograd4_cortex_m4(_token: CortexM4, args: ConvArgs<'_>) -> Result<(), Fault> {
    winograd::conv::<F4>(args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`]; F(2x2, 3x3) from packed weights.
pub fn conv_winograd2_cortex_m4(_token: CortexM4, args: ConvArgs<'_>) -> Result<(), Fault> {
    winograd::conv::<F2>(args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`]; packed weights, in 8 bits or in 16.
pub fn conv_direct_packed_cortex_m4(token: CortexM4, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct::conv::<2, _>(token, args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`]; OHWI weights.
pub fn conv_direct_cortex_m4(token: CortexM4, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct::conv::<4, _>(token, args).ok_or(Fault::Plan)
}

/// Steps that follow each other without a branch: `M4_UNROLLED`.
const UNROLLED: usize = 12;

/// The arguments of a direct tile, in the order of its frame.
#[derive(Clone, Copy)]
#[repr(C)]
struct DirectCall {
    patch: *const u32,
    patch_end: *const u32,
    weights: *const u8,
    bias: *const i32,
    multipliers: *const i32,
    outputs: [*mut i8; 2],
    shift: u32,
    offset: i32,
    fraction_bits: u32,
    residual_multiplier: i32,
    output_end: *const i8,
    skipped_bytes: usize,
}

// Functions of the assembly. Each reads and writes what its call's pointers say, keeps the registers that
// a procedure call keeps, and uses less than 1 KiB of stack.
unsafe extern "C" {
    fn fixnet_m4_depthwise(call: &DepthwiseCall);
    fn fixnet_m4_direct16(call: &DirectCall);
    fn fixnet_m4_direct8(call: &DirectCall);
    fn fixnet_m4_widen(
        first: *const i8,
        second: *const i8,
        patch: *mut u32,
        steps: usize,
        gap: usize,
        rows: usize,
    );
    fn fixnet_m4_direct_rows(call: &RowsCall);
    fn fixnet_m4_widen_rows(call: &WidenCall);
    fn fixnet_m4_winograd4_input(patch: *const i8, values: *mut u32, position_bytes: usize);
    fn fixnet_m4_winograd2_input(patch: *const i8, values: *mut u32, position_bytes: usize);
    fn fixnet_m4_winograd4(call: &WinogradCall);
    fn fixnet_m4_winograd2(call: &WinogradCall);
}

impl Direct<2> for CortexM4 {
    const FORM: direct_plan::Form = direct_plan::PACKED;
    type Call<'a> = PreparedCall<'a>;

    #[inline(always)]
    fn widen(self, from: &[i8], [_, second]: [usize; 2], rows: Rows, patch: &mut [u32]) -> bool {
        let steps = rows.run / direct_plan::STEP;
        let kept = steps > 0
            && rows.count > 0
            && from.len() >= second + rows.extent()
            && patch.len() >= rows.count * steps * 4;
        if kept {
            let (first, second) = (from.as_ptr(), from.as_ptr().wrapping_add(second));
            let gap = rows.pitch.wrapping_sub(steps * direct_plan::STEP);
            // SAFETY: `steps` words are readable in each row of both windows, and four times as many
            // writable in the patch.
            unsafe {
                fixnet_m4_widen(first, second, patch.as_mut_ptr(), steps, gap, rows.count);
            }
        }
        kept
    }

    #[inline(never)]
    fn prepare(self, part: Part<'_>) -> Option<PreparedCall<'_>> {
        let Part { layout, weights, channels, steps, epilogue, .. } = part;
        let (bias, multipliers) = (epilogue.channels.bias, epilogue.channels.multipliers);
        if steps == 0 || channels == 0 || !channels.is_multiple_of(2) {
            return None;
        }
        let (run, bytes, step_bytes): (unsafe extern "C" fn(&DirectCall), _, _) = match layout {
            WeightLayout::Direct16 => (fixnet_m4_direct16, steps * 8 * channels, 40),
            WeightLayout::Direct8 => (fixnet_m4_direct8, steps * 4 * channels, 48),
            _ => return None,
        };
        let kept = bias.len() >= channels && multipliers.len() >= channels;
        let aligned = weights.as_ptr().addr().is_multiple_of(4);
        if !kept || weights.len() < bytes || !aligned {
            return None;
        }
        let rq = epilogue.requantization;
        let call = DirectCall {
            patch: ptr::null(),
            patch_end: ptr::null(),
            weights: weights.as_ptr(),
            bias: bias.as_ptr(),
            multipliers: multipliers.as_ptr(),
            outputs: [ptr::null_mut(); 2],
            shift: rq.shift,
            offset: rq.offset,
            fraction_bits: rq.fraction_bits,
            residual_multiplier: epilogue.residual_multiplier,
            output_end: ptr::null(),
            skipped_bytes: (UNROLLED - 1 - (steps - 1) % UNROLLED) * step_bytes,
        };
        Some(PreparedCall { call, run, steps, channels, part: PhantomData })
    }

    #[inline(always)]
    fn tile(self, call: &PreparedCall<'_>, patch: &[u32], [first, second]: [&mut [i8]; 2]) -> bool {
        let kept = patch.len() >= call.steps * 4
            && first.len() == call.channels
            && second.len() == call.channels;
        if !kept {
            return false;
        }
        let outputs = first.as_mut_ptr_range();
        let tile = DirectCall {
            patch: patch.as_ptr(),
            // Whole steps alone: this is where the steps' pointer stops.
            patch_end: patch.as_ptr().wrapping_add(call.steps * 4),
            outputs: [outputs.start, second.as_mut_ptr()],
            output_end: outputs.end,
            ..call.call
        };
        // SAFETY: for each of `channels`, an even number, the steps read as much of the patch as was just
        // checked, and as many weights and constants as `prepare` has found, which are aligned to words;
        // the outputs have `channels` elements.
        unsafe { (call.run)(&tile) }
        true
    }
}

/// A call that lacks what differs between tiles; its weights and constants are as long as `run` reads.
#[derive(Clone, Copy)]
pub(crate) struct PreparedCall<'a> {
    call: DirectCall,
    run: unsafe extern "C" fn(&DirectCall),
    steps: usize,
    channels: usize,
    part: PhantomData<Part<'a>>,
}

// SAFETY: these are the functions for it; `M4_UNROLLED` steps of `M4_STEP_ROWS`.
unsafe impl RowsIsa for CortexM4 {
    const RUN: unsafe extern "C" fn(&RowsCall) = fixnet_m4_direct_rows;
    const WIDEN: unsafe extern "C" fn(&WidenCall) = fixnet_m4_widen_rows;
    const UNROLLED: usize = UNROLLED;
    const STEP_BYTES: usize = 52;
}

// SAFETY: this is the function for it.
unsafe impl DepthwiseIsa for CortexM4 {
    const RUN: unsafe extern "C" fn(&DepthwiseCall) = fixnet_m4_depthwise;
    type Weight = i16;
    const ORDER: [usize; 4] = [0, 2, 1, 3];
}

/// `conv_winograd4_cortex_m4`.
struct F4;

// SAFETY: these are the functions of its form.
unsafe impl Winograd for F4 {
    const FORM: Form = m4::WINOGRAD4;
    const INPUT: unsafe extern "C" fn(*const i8, *mut u32, usize) = fixnet_m4_winograd4_input;
    const TILES: unsafe extern "C" fn(&WinogradCall) = fixnet_m4_winograd4;
}

/// `conv_winograd2_cortex_m4`.
struct F2;

// SAFETY: these are the functions of its form.
unsafe impl Winograd for F2 {
    const FORM: Form = m4::WINOGRAD2;
    const INPUT: unsafe extern "C" fn(*const i8, *mut u32, usize) = fixnet_m4_winograd2_input;
    const TILES: unsafe extern "C" fn(&WinogradCall) = fixnet_m4_winograd2;
}
