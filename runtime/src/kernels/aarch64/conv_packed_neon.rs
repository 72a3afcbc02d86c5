//! [`packed`] with NEON: weights as `[element][output channel]`, for `SMLAL` by element.

use super::Neon;
use super::outer_product;
use crate::kernels::conv_kernel::PACKED_NEON;
use crate::kernels::packed::{self, BLOCK, Form, PackedIsa};
use crate::kernels::{ConvArgs, ConvShape, patch};

/// See [`crate::kernels::reference::conv`].
pub fn conv_packed_neon(token: Neon, args: ConvArgs<'_>) {
    packed::conv(token, args);
}

impl PackedIsa for Neon {
    const FORM: Form = PACKED_NEON;

    fn gather(self, shape: &ConvShape, input: &[i8], position: (usize, usize), patch: &mut [i16]) {
        patch::gather(shape, input, position, 0, patch, i16::from);
    }

    fn place(index: usize, column: usize) -> usize {
        index * BLOCK + column
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
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { outer_product::multiply(rows, patches, stride, weights, count, false, products) }
    }
}
