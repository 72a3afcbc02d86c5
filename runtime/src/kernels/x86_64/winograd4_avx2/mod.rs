//! [`winograd4`] with AVX2: sixteen channels a vector; the weights' buffer is
//! `[position][pair of input channels][output channel][2]`, for `vpmaddwd`.

mod input;
mod output;
mod weights;

use core::ops::Range;

use super::{Avx2, outer_product};
use crate::kernels::winograd4::{self, BLOCK, GROUP, Isa, Operands};
use crate::kernels::{ConvArgs, ConvShape};

/// Elements of one vector of i16.
const LANES: usize = 16;
const _: () = assert!(BLOCK == outer_product::BLOCK && GROUP == outer_product::ROWS);

/// See [`crate::kernels::reference::conv`].
pub fn conv_winograd4_avx2(token: Avx2, args: ConvArgs<'_>) {
    winograd4::conv(token, args);
}

impl Isa for Avx2 {
    fn transform_input(
        self,
        shape: &ConvShape,
        input: &[i8],
        corner: (usize, usize),
        tile: usize,
        stride: usize,
        to: &mut [i16],
    ) {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { input::transform(shape, input, corner, tile, stride, to) }
    }

    fn transform_weights(
        self,
        weights: &[i8],
        in_c: usize,
        oc: usize,
        part: Range<usize>,
        stride: usize,
        to: &mut [i16],
    ) {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { weights::transform(weights, in_c, oc, part, stride, to) }
    }

    fn multiply(
        self,
        operands: Operands<'_>,
        tiles: usize,
        count: usize,
        add: bool,
        products: &mut [i32],
    ) {
        let step = operands.channels;
        for (values, weights, products) in operands.positions(products) {
            // SAFETY: the token proves that the CPU has AVX2.
            unsafe { outer_product::multiply(tiles, values, step, weights, count, add, products) }
        }
    }

    fn sum(self, products: &[i32], tiles: usize, add: bool, sums: &mut [i32]) {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { output::transform(products, tiles, add, sums) }
    }
}
