//! F(4x4, 3x3): see [`crate::kernels::winograd4`] for the arithmetic.

use super::transform::{self, Input, Output, Outputs};
use super::vector::{Sums, Vectors, Words};
use super::{Tiles, Window};
use crate::kernels::winograd4::INVERSE_OF_9;
use crate::kernels::x86_64::tiled::{Algorithm, WINOGRAD4};

const WINDOW: usize = 6;
const TILE: usize = 4;

/// With stored weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd4;

/// With weights that are transformed while the layer runs.
///
/// `G` is left without the factors 6, -4, -4, 1, 1, 12 of its rows, which the output's transform
/// applies instead: many weights meet few tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd4Unscaled;

impl Tiles for Winograd4 {
    const ALGORITHM: Algorithm = WINOGRAD4;
    const INVERSE: i32 = INVERSE_OF_9;
    const SHIFT: u32 = 6;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()> {
        // SAFETY: the caller vouches for the instructions and for `to`.
        unsafe { transform::input::<WINDOW, V, Winograd4>(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>) {
        // SAFETY: the caller vouches for the instructions and for the products.
        unsafe { transform::output::<WINDOW, TILE, S, Winograd4>(products, stride, outputs) }
    }
}

impl Tiles for Winograd4Unscaled {
    const ALGORITHM: Algorithm = Winograd4::ALGORITHM;
    const INVERSE: i32 = Winograd4::INVERSE;
    const SHIFT: u32 = Winograd4::SHIFT;

    #[inline(always)]
    unsafe fn input<V: Vectors>(window: &Window<'_>, to: *mut i16, stride: usize) -> Option<()> {
        // SAFETY: the caller vouches for the same.
        unsafe { <Winograd4 as Tiles>::input::<V>(window, to, stride) }
    }

    #[inline(always)]
    unsafe fn output<S: Sums>(products: *const i32, stride: usize, outputs: &mut Outputs<S>) {
        // SAFETY: the caller vouches for the instructions and for the products.
        unsafe { transform::output::<WINDOW, TILE, S, Self>(products, stride, outputs) }
    }
}

/// The rows [4 0 -5 0 1 0] [0 -4 -4 1 1 0] [0 4 -4 -1 1 0] [0 -2 -1 2 1 0] [0 2 -1 -2 1 0]
/// [0 4 0 -5 0 1].
impl Input<WINDOW> for Winograd4 {
    #[inline(always)]
    fn axis<W: Words>([d0, d1, d2, d3, d4, d5]: [W; WINDOW]) -> [W; WINDOW] {
        let (d4_d2, d3_d1) = (d4 - d2, d3 - d1);
        let twice = d3_d1.twice();
        let (even, odd) = (d4 - d2.times4(), d3 - d1.times4());
        [
            (d0 - d2).times4() + d4_d2,
            even + odd,
            even - odd,
            d4_d2 + twice,
            d4_d2 - twice,
            d5 - d3 - twice.twice(),
        ]
    }
}

/// The rows [1 1 1 1 1 0] [0 1 -1 2 -2 0] [0 1 1 4 4 0] [0 1 -1 8 -8 2].
impl Output<WINDOW, TILE> for Winograd4 {
    #[inline(always)]
    fn axis<S: Sums>([m0, m1, m2, m3, m4, m5]: [S; WINDOW]) -> [S; TILE] {
        let (near, near_odd) = (m1 + m2, m1 - m2);
        let (far, far_odd) = (m3 + m4, m3 - m4);
        [
            m0 + (near + far),
            near_odd + far_odd.twice(),
            near + far.times4(),
            near_odd + m5.twice() + far_odd.times8(),
        ]
    }
}

/// The same with the columns times 6, -4, -4, 1, 1, 12.
impl Output<WINDOW, TILE> for Winograd4Unscaled {
    #[inline(always)]
    fn axis<S: Sums>([m0, m1, m2, m3, m4, m5]: [S; WINDOW]) -> [S; TILE] {
        let (near, near_odd) = ((m1 + m2).times4(), (m1 - m2).times4());
        let (far, far_odd) = (m3 + m4, m3 - m4);
        let (six_m0, six_m5) = (m0.times4() + m0.twice(), m5.times4() + m5.twice());
        [
            six_m0 + (far - near),
            far_odd.twice() - near_odd,
            far.times4() - near,
            six_m5.times4() - near_odd + far_odd.times8(),
        ]
    }
}
