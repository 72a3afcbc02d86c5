//! Cortex-M3: MLA, the multiply-accumulate of all of ARMv7-M.

use super::depthwise::{self, DepthwiseCall, DepthwiseIsa};
use super::direct;
use super::rows_call::{RowsCall, RowsIsa, WidenCall};
use super::winograd::{self, Winograd};
use super::winograd_call::WinogradCall;
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::cortex_m::{m3, winograd::Form};
use crate::kernels::declare::token;

token! {
    /// The kernels of Cortex-M3, which run on every ARM processor that has Thumb-2.
    CortexM3, if true
}

/// See [`crate::kernels::portable::reference::conv`]; depthwise.
pub fn conv_depthwise_cortex_m3(token: CortexM3, args: ConvArgs<'_>) -> Result<(), Fault> {
    depthwise::conv(token, args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) from packed weights.
pub fn conv_winograd4_cortex_m3(_token: CortexM3, args: ConvArgs<'_>) -> Result<(), Fault> {
    winograd::conv::<F4>(args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct_cortex_m3(token: CortexM3, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct::conv::<4, _>(token, args).ok_or(Fault::Plan)
}

// Functions of the assembly. Each reads and writes what its arguments say, keeps the registers that a
// procedure call keeps, and uses less than 1 KiB of stack.
unsafe extern "C" {
    fn fixnet_m3_depthwise(call: &DepthwiseCall);
    fn fixnet_m3_direct(call: &RowsCall);
    fn fixnet_m3_widen(call: &WidenCall);
    fn fixnet_m3_winograd4_input(patch: *const i8, values: *mut u32, position_bytes: usize);
    fn fixnet_m3_winograd4(call: &WinogradCall);
}

// SAFETY: these are the functions for it; `M3_UNROLLED` steps of `M3_STEP`.
unsafe impl RowsIsa for CortexM3 {
    const RUN: unsafe extern "C" fn(&RowsCall) = fixnet_m3_direct;
    const WIDEN: unsafe extern "C" fn(&WidenCall) = fixnet_m3_widen;
    const UNROLLED: usize = 8;
    const STEP_BYTES: usize = 88;
}

// SAFETY: this is the function for it.
unsafe impl DepthwiseIsa for CortexM3 {
    const RUN: unsafe extern "C" fn(&DepthwiseCall) = fixnet_m3_depthwise;
    type Weight = i8;
    const ORDER: [usize; 4] = [0, 1, 2, 3];
}

/// `conv_winograd4_cortex_m3`.
struct F4;

// SAFETY: these are the functions of its form.
unsafe impl Winograd for F4 {
    const FORM: Form = m3::WINOGRAD4;
    const INPUT: unsafe extern "C" fn(*const i8, *mut u32, usize) = fixnet_m3_winograd4_input;
    const TILES: unsafe extern "C" fn(&WinogradCall) = fixnet_m3_winograd4;
}
