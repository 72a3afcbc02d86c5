//! Cortex-M3: MLA, the multiply-accumulate of all of ARMv7-M.

use super::copy;
use super::direct::{self, Direct, Part, Rows};
use super::rows_call::{self, PreparedRows};
use super::winograd::{self, Tiles, Winograd};
use super::winograd_call::{WinogradCall, can_transform};
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::cortex_m::{direct as direct_plan, m3, winograd as winograd_plan};
use crate::kernels::declare::token;

token! {
    /// The kernels of Cortex-M3, which run on every ARM processor that has Thumb-2.
    CortexM3, if true
}

/// See [`crate::kernels::portable::reference::conv`]; F(4x4, 3x3) from packed weights.
pub fn conv_winograd4_cortex_m3(token: CortexM3, args: ConvArgs<'_>) -> Result<(), Fault> {
    winograd::conv(F4(token), args).ok_or(Fault::Plan)
}

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct_cortex_m3(token: CortexM3, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct::conv(token, args).ok_or(Fault::Plan)
}

// Functions of the assembly. Each reads and writes what its arguments say, keeps the registers that a
// procedure call keeps, and uses less than 1 KiB of stack.
unsafe extern "C" {
    fn fixnet_m3_winograd4_input(patch: *const i8, values: *mut u32, position_bytes: usize);
    fn fixnet_m3_winograd4(call: &WinogradCall);
}

impl Direct<4> for CortexM3 {
    const FORM: direct_plan::Form = m3::DIRECT;
    type Call<'a> = PreparedRows<'a>;

    #[inline(always)]
    fn gather(self, from: &[i8], rows: Rows, to: &mut [i8]) -> bool {
        copy::gather(from, rows, to)
    }

    #[inline(always)]
    fn widen(self, from: &[i8], starts: [usize; 4], rows: Rows, patch: &mut [u32]) -> bool {
        rows_call::M3.widen(from, starts, rows, patch)
    }

    fn prepare(self, part: Part<'_>) -> Option<PreparedRows<'_>> {
        rows_call::M3.prepare(part)
    }

    #[inline(always)]
    fn tile(self, call: &PreparedRows<'_>, patch: &[u32], outputs: [&mut [i8]; 4]) -> bool {
        rows_call::M3.tile(call, patch, outputs)
    }
}

/// `conv_winograd4_cortex_m3`.
#[derive(Clone, Copy)]
struct F4(CortexM3);

impl Winograd for F4 {
    const FORM: winograd_plan::Form = m3::WINOGRAD4;

    #[inline(always)]
    fn copy(self, from: &[i8], stride: usize, to: &mut [i8]) -> bool {
        copy::pixels(from, stride, to)
    }

    #[inline(always)]
    fn input(self, patch: &[i8], values: &mut [u32], position_bytes: usize) -> bool {
        let fits = can_transform(Self::FORM, patch, values, position_bytes);
        if fits {
            // SAFETY: as just checked: a patch of whole pixels, and a block of channels at each position.
            unsafe {
                fixnet_m3_winograd4_input(patch.as_ptr(), values.as_mut_ptr(), position_bytes);
            }
        }
        fits
    }

    #[inline(always)]
    fn tiles(self, tiles: Tiles<'_>) -> bool {
        let Some(call) = WinogradCall::new(tiles, Self::FORM) else { return false };
        // SAFETY: the call's slices are long enough and aligned, as `new` has checked.
        unsafe { fixnet_m3_winograd4(&call) }
        true
    }
}
