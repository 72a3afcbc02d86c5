//! F(4x4, 3x3) at stride 2: on each axis the even pixels meet two taps and the odd ones one, so a tile of
//! four pixels takes the five products of F(4, 2) at the points 0, 1, -1, 2, infinity, and four of the
//! middle tap: 81 multiplications where direct convolution takes 144.
//!
//! `36 y = A^T [(G g G^T) . (B^T d B)] A` with |B^T d B| <= 4,608 and |G g G^T| <= 4,608. On an axis,
//! positions 0 to 4 are those of the points and 5 to 8 those of the odd pixels, which share one weight.

use super::transform::{self, Input, Output, Outputs};
use super::vector::{Sums, Vectors, Words};
use super::{Tiles, Window};
use crate::kernels::winograd4::INVERSE_OF_9;
use crate::kernels::x86_64::tiled::{Algorithm, STRIDED4};

const WINDOW: usize = 9;
const TILE: usize = 4;
/// Transformed weights on an axis.
const FILTERS: usize = 6;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strided4;

impl Tiles for Strided4 {
    const ALGORITHM: Algorithm = STRIDED4;
    const INVERSE: i32 = INVERSE_OF_9;
    const SHIFT: u32 = 2;

    #[inline(always)]
    fn filter(position: usize) -> usize {
        let on_axis = |position: usize| position.min(FILTERS - 1);
        on_axis(position / WINDOW) * FILTERS + on_axis(position % WINDOW)
    }

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

/// The rows [2 -1 -2 1 0] [0 -2 -1 1 0] [0 2 -3 1 0] [0 -1 0 1 0] [0 2 -1 -2 1] over the even pixels,
/// and the odd ones.
impl Input<WINDOW> for Strided4 {
    #[inline(always)]
    fn axis<W: Words>([d0, odd0, d1, odd1, d2, odd2, d3, odd3, d4]: [W; WINDOW]) -> [W; WINDOW] {
        let d3_d1 = d3 - d1;
        let d3_d2 = d3 - d2;
        [
            (d0 - d2).twice() + d3_d1,
            d3_d2 - d1.twice(),
            d3_d2 + (d1 - d2).twice(),
            d3_d1,
            d4 - d2 - d3_d1.twice(),
            odd0,
            odd1,
            odd2,
            odd3,
        ]
    }
}

/// The rows [1 1 1 1 0] [0 1 -1 2 0] [0 1 1 4 0] [0 1 -1 8 1] over the points, plus six times the products
/// of the odd pixels, whose weights have the factor.
impl Output<WINDOW, TILE> for Strided4 {
    #[inline(always)]
    fn axis<S: Sums>([m0, m1, m2, m3, m4, odd0, odd1, odd2, odd3]: [S; WINDOW]) -> [S; TILE] {
        let (near, near_odd) = (m1 + m2, m1 - m2);
        [
            m0 + near + m3 + odd0,
            near_odd + m3.twice() + odd1,
            near + m3.times4() + odd2,
            near_odd + m3.times8() + m4 + odd3,
        ]
    }
}
