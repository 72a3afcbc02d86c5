//! AArch64: NEON, which every processor has, and the dot products and products of matrices of newer ones.
//!
//! All compute directly in 8 bits ([`direct8`]) or by F(4x4, 3x3) ([`winograd4`]), and pack weights in blocks
//! of sixteen output channels ([`layouts`]).

mod depthwise;
pub(crate) mod direct8;
#[cfg(has_dotprod)]
mod dotprod;
mod grouped;
#[cfg(has_i8mm)]
mod i8mm;
mod layouts;
#[cfg(native_aarch64)]
mod native;
mod neon;
pub(crate) mod winograd4;

use super::declare::Grain;

#[cfg(has_dotprod)]
pub(crate) use dotprod::DOTPROD;
#[cfg(has_i8mm)]
pub(crate) use i8mm::I8MM;
pub(crate) use neon::NEON;

/// Blocks of sixteen channels.
///
/// The least work is an estimate, since emulators know no time: at 2 to 4 multiply-accumulates a cycle it
/// takes 0.1 ms, as long as two to three hand-overs to a thread.
const GRAIN: Grain = Grain { rows: 1, channels: 16, transforms: &[], least_work: 500_000 };
