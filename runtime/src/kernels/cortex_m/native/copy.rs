//! Copies of short runs, without a call and a decision for each.

use super::direct::Rows;
use crate::kernels::cortex_m::winograd::BLOCK;

// Functions of the assembly; each reads and writes what its arguments say.
unsafe extern "C" {
    fn fixnet_cortex_m_copy(from: *const i8, stride: usize, to: *mut i8, pixels: usize);
    fn fixnet_cortex_m_gather(from: *const i8, pitch: usize, to: *mut i8, run: usize, rows: usize);
}

/// Copies [`BLOCK`] channels of as many pixels as `to`, which is aligned to words, has room for; does nothing
/// and returns `false` if there are fewer.
#[inline(always)]
pub(super) fn pixels(from: &[i8], stride: usize, to: &mut [i8]) -> bool {
    let pixels = to.len() / BLOCK;
    let aligned = to.as_ptr().addr().is_multiple_of(4);
    if pixels == 0 || !aligned || from.len() < (pixels - 1) * stride + BLOCK {
        return false;
    }
    // SAFETY: each pixel's bytes are readable, those of all pixels writable and aligned.
    unsafe { fixnet_cortex_m_copy(from.as_ptr(), stride, to.as_mut_ptr(), pixels) }
    true
}

/// Copies `rows` one behind the other and four zeros behind them; does nothing and returns `false` where there
/// is no room, or not three more bytes to read.
#[inline(always)]
pub(super) fn gather(from: &[i8], rows: Rows, to: &mut [i8]) -> bool {
    let Rows { run, pitch, count } = rows;
    if run == 0 || count == 0 || from.len() < rows.extent() + 3 || to.len() < run * count + 4 {
        return false;
    }
    // SAFETY: each row and three bytes behind it are readable, all rows and four bytes behind them
    // writable; words need no alignment.
    unsafe { fixnet_cortex_m_gather(from.as_ptr(), pitch, to.as_mut_ptr(), run, count) }
    true
}
