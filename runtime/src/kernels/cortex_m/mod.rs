//! Cortex-M3, and Cortex-M4 with the DSP extension (also M7 and M33).
//!
//! Both compute directly over the windows of a few pixels ([`direct`]) or by Winograd's forms from packed
//! weights ([`winograd`]), and pack weights in pairs of output channels ([`layouts`]). Inner loops are
//! assembly, drivers safe code.

pub(crate) mod depthwise;
pub(crate) mod direct;
mod layouts;
#[cfg(has_cortex_m3)]
mod m3;
#[cfg(has_cortex_m4)]
mod m4;
#[cfg(any(native_cortex_m3, native_cortex_m4))]
mod native;
pub(crate) mod winograd;

use super::declare::Grain;

#[cfg(has_cortex_m3)]
pub(crate) use m3::M3;
#[cfg(has_cortex_m4)]
pub(crate) use m4::M4;

/// There is one core, and nothing to divide.
const GRAIN: Grain = Grain { rows: 1, channels: 0, transforms: &[], least_work: 500_000 };
