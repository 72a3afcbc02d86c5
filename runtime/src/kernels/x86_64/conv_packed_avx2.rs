//! [`packed`] with AVX2: weights in pairs, `[pair of elements][output channel][2]`, for `vpmaddwd`.

use super::Avx2;
use super::outer_product;
use super::patch_avx2;
use crate::kernels::conv_kernel::PACKED_AVX2;
use crate::kernels::packed::{self, BLOCK, Form, PackedIsa};
use crate::kernels::{ConvArgs, ConvShape};

const _: () = assert!(BLOCK == outer_product::BLOCK && packed::ROWS == outer_product::ROWS);

/// See [`crate::kernels::reference::conv`].
pub fn conv_packed_avx2(token: Avx2, args: ConvArgs<'_>) {
    packed::conv(token, args);
}

impl PackedIsa for Avx2 {
    const FORM: Form = PACKED_AVX2;

    fn gather(self, shape: &ConvShape, input: &[i8], position: (usize, usize), patch: &mut [i16]) {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { patch_avx2::gather(shape, input, position, patch) }
    }

    fn place(index: usize, column: usize) -> usize {
        (index / 2 * BLOCK + column) * 2 + index % 2
    }

    fn multiply(
        self,
        rows: usize,
        patches: &[i16],
        stride: usize,
        weights: &[i16],
        count: usize,
        products: &mut [i32],
    ) {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { outer_product::multiply(rows, patches, stride, weights, count, false, products) }
    }
}
