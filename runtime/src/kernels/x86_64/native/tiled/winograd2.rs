//! F(2x2, 3x3): sixteen multiplications where direct convolution takes 36, on a quarter of the sum.
//!
//! `4 y = A^T [(G g G^T) . (B^T d B)] A` with |B^T d B| <= 512 and |G g G^T| <= 1,152.

use super::transform::{self, Input, Output, Outputs};
use super::vector::{Sums, Vectors, Words};
use super::{Tiles, Window};
use crate::kernels::x86_64::tiled::{Algorithm, WINOGRAD2};

const WINDOW: usize = 4;
const TILE: usize = 2;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd2;

impl Tiles for Winograd2 {
    const ALGORITHM: Algorithm = WINOGRAD2;
    const INVERSE: i32 = 1;
    const SHIFT: u32 = 2;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()> {
        // SAFETY: the caller vouches for the instructions and for `to`.
        unsafe { transform::input::<WINDOW, V, Self>(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>) {
        // SAFETY: the caller vouches for the instructions and for the products.
        unsafe { transform::output::<WINDOW, TILE, S, Self>(products, stride, outputs) }
    }
}

/// The rows [1 0 -1 0] [0 1 1 0] [0 -1 1 0] [0 1 0 -1].
impl Input<WINDOW> for Winograd2 {
    #[inline(always)]
    fn axis<W: Words>([d0, d1, d2, d3]: [W; WINDOW]) -> [W; WINDOW] {
        [d0 - d2, d1 + d2, d2 - d1, d1 - d3]
    }
}

/// The rows [1 1 1 0] [0 1 -1 -1].
impl Output<WINDOW, TILE> for Winograd2 {
    #[inline(always)]
    fn axis<S: Sums>([m0, m1, m2, m3]: [S; WINDOW]) -> [S; TILE] {
        [m0 + (m1 + m2), m1 - m2 - m3]
    }
}
