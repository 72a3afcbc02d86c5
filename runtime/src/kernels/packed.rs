//! Direct convolution with all weights in 16 bits and in the order of their products, packed into the
//! scratch at each call: for layers of few weights, a network's stem above all.
//!
//! Products are those of [`super::winograd4`]: some rows, here the windows of output pixels, times
//! [`BLOCK`] columns. Windows and packed rows are filled up with zeros to whole steps.

use zerocopy::FromBytes;

use super::{ConvArgs, ConvShape, Requantize};
use crate::format::align_up;

/// Output channels of a block.
pub(super) const BLOCK: usize = 16;
/// Output pixels of a tile.
pub(super) const ROWS: usize = 6;
/// A patch has room for this many values more than its window, so that it can be gathered in vectors.
const MARGIN: usize = 16;

/// What the plan must know of an instruction set's form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Elements of a row that are multiplied at a time.
    pub step: usize,
    /// Most bytes of packed weights: they are packed at each call and pass by for every tile.
    pub max_bytes: usize,
}

/// Whether all forms compute this convolution.
pub(super) fn computes(shape: &ConvShape) -> bool {
    let out_c = shape.output[2];
    shape.groups == 1 && out_c >= BLOCK && out_c.is_multiple_of(BLOCK)
}

impl Form {
    /// Whether packing the weights pays.
    pub fn pays(self, shape: &ConvShape) -> bool {
        let [out_h, out_w, _] = shape.output;
        self.packed_bytes(shape) <= self.max_bytes && out_h.saturating_mul(out_w) > 2 * ROWS
    }

    /// Packed weights and the patches of one tile.
    pub fn scratch_bytes(self, shape: &ConvShape) -> usize {
        let patches = self.patch_stride(shape).saturating_mul(ROWS * 2);
        align_up(self.packed_bytes(shape)).saturating_add(patches)
    }

    /// Length of a window in whole steps.
    fn padded_len(self, shape: &ConvShape) -> usize {
        shape.patch_len().saturating_add(self.step - 1) / self.step * self.step
    }

    /// From one patch to the next.
    fn patch_stride(self, shape: &ConvShape) -> usize {
        let len = shape.patch_len().saturating_add(MARGIN);
        len.saturating_add(MARGIN - 1) / MARGIN * MARGIN
    }

    fn packed_bytes(self, shape: &ConvShape) -> usize {
        self.padded_len(shape).saturating_mul(shape.output[2]).saturating_mul(2)
    }
}

/// What an instruction set does of it. Methods whose slices are too short do nothing, or not all.
pub(super) trait PackedIsa: Requantize {
    const FORM: Form;

    /// Writes the window behind an output pixel (row, column) to `patch`, in OHWI order; what lies
    /// behind it is arbitrary.
    fn gather(self, shape: &ConvShape, input: &[i8], position: (usize, usize), patch: &mut [i16]);

    /// Where element `index` of column `column` of a block of weights lies.
    fn place(index: usize, column: usize) -> usize;

    /// Multiplies `rows` patches, `stride` elements apart, with a block of weights over `count`
    /// elements; products are `[row][column]`.
    fn multiply(
        self,
        rows: usize,
        patches: &[i16],
        stride: usize,
        weights: &[i16],
        count: usize,
        products: &mut [i32],
    );
}

/// Runs the convolution.
pub(super) fn conv<I: PackedIsa>(isa: I, args: ConvArgs<'_>) {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let (len, padded) = (shape.patch_len(), I::FORM.padded_len(shape));
    let stride = I::FORM.patch_stride(shape);
    let packed_bytes = I::FORM.packed_bytes(shape);
    let Some((packed, patches)) = args.scratch.split_at_mut_checked(align_up(packed_bytes)) else {
        return;
    };
    let patches = patches.get_mut(..stride * ROWS * 2).unwrap_or_default();
    let Ok(packed) = <[i16]>::mut_from_bytes(packed) else { return };
    let Ok(patches) = <[i16]>::mut_from_bytes(patches) else { return };
    pack::<I>(args.weights.as_ohwi(), len, padded, packed);
    let (channels, rq) = (args.channels, args.requantization);
    for (tile, output) in args.output.chunks_mut((ROWS * out_c).max(1)).enumerate() {
        let first = tile * ROWS;
        let pixels = output.len() / out_c.max(1);
        for (patch, pixel) in patches.chunks_exact_mut(stride.max(1)).zip(first..first + pixels) {
            let position = (args.first_row + pixel / out_w.max(1), pixel % out_w.max(1));
            isa.gather(shape, args.input, position, patch);
            if let Some(behind) = patch.get_mut(len..padded) {
                behind.fill(0);
            }
        }
        let blocks = packed.chunks_exact((padded * BLOCK).max(1)).take(out_c / BLOCK);
        for (block, weights) in blocks.enumerate() {
            let mut products = [0; ROWS * BLOCK];
            isa.multiply(pixels, patches, stride, weights, padded, &mut products);
            let oc = block * BLOCK..(block + 1) * BLOCK;
            let channels = channels.part(oc.clone());
            let outputs = output.chunks_exact_mut(out_c.max(1)).zip(products.chunks_exact(BLOCK));
            for (pixel, (output, products)) in outputs.enumerate() {
                let index = (first + pixel) * out_c + oc.start;
                let output = output.get_mut(oc.clone()).unwrap_or_default();
                isa.requantize(products, channels, rq, args.residual, index, output);
            }
        }
    }
}

/// OHWI weights, rows of `len`, to blocks of rows of `padded`, which end in zeros.
fn pack<I: PackedIsa>(weights: &[i8], len: usize, padded: usize, packed: &mut [i16]) {
    let blocks = packed.chunks_exact_mut((padded * BLOCK).max(1));
    for (packed, rows) in blocks.zip(weights.chunks_exact((len * BLOCK).max(1))) {
        packed.fill(0);
        for (column, row) in rows.chunks_exact(len.max(1)).enumerate() {
            for (index, &weight) in row.iter().enumerate() {
                if let Some(to) = packed.get_mut(I::place(index, column)) {
                    *to = weight.into();
                }
            }
        }
    }
}
