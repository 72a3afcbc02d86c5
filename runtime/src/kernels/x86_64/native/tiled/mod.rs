//! Convolution in tiles, in the forms that [`crate::kernels::x86_64::tiled`] describes.
//!
//! [`driver`] does what all forms have in common, [`vector`] is what they need of an instruction set, and
//! a form is what [`Tiles`] says.

pub(super) mod avx2;
pub(super) mod avx512;
mod direct;
mod driver;
mod epilogue;
mod filters;
mod fused;
mod kernels;
mod multiply;
mod ohwi;
mod stem;
mod strided4;
mod transform;
mod u8s8;
pub(super) mod vector;
mod window;
mod winograd2;
mod winograd4;

use self::transform::Outputs;
use self::vector::{Sums, Vectors};
use self::window::Window;
use crate::kernels::x86_64::tiled::Algorithm;

pub use self::kernels::*;

/// A form, for any instruction set.
trait Tiles {
    const ALGORITHM: Algorithm;
    /// What a pixel's sum is multiplied by, modulo 2^32, to be the convolution times `2^SHIFT`.
    const INVERSE: i32;
    const SHIFT: u32;

    /// Which of a filter's transformed weights a position takes.
    #[inline(always)]
    fn filter(position: usize) -> usize {
        position
    }

    /// Writes the rows of a window, positions `stride` values apart.
    ///
    /// # Safety
    /// The CPU has the instructions, and `to` has room for a row at each position and for
    /// [`LANES`](crate::kernels::x86_64::tiled::LANES) values behind the last, whose contents are arbitrary.
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()>;

    /// From the products of a tile, positions `stride` sums apart, to its pixels: sums times a power of two
    /// and a factor that [`Tiles::INVERSE`] undoes.
    ///
    /// # Safety
    /// The CPU has the instructions, and [`BLOCK`](crate::kernels::x86_64::tiled::BLOCK) products are readable at
    /// each position.
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>);
}
