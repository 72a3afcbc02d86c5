//! Gathers the window behind one output pixel into a contiguous patch (a bounded im2col).

use super::ConvShape;

/// Writes the window of output pixel (`oy`, `ox`) and channel group `group` to `patch`, in
/// `[kernel_h][kernel_w][in]` order, each value converted by `widen`; the padding becomes the zero
/// point. `patch` holds at least [`ConvShape::patch_len`] elements; what lies beyond stays as it is.
#[inline(always)]
pub(super) fn gather<T: Copy>(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    group: usize,
    patch: &mut [T],
    widen: impl Fn(i8) -> T + Copy,
) {
    let [_, in_w, in_c] = shape.input;
    let channels = shape.group_channels();
    let left = ox * shape.strides[1];
    // A window whose columns are all inside and adjacent is one run per row.
    let run = shape.kernel[1] * channels;
    let whole = shape.groups == 1
        && shape.dilations[1] == 1
        && left >= shape.pads[1]
        && left + shape.kernel[1] <= in_w + shape.pads[1];
    for (ky, row) in patch.chunks_exact_mut(run.max(1)).take(shape.kernel[0]).enumerate() {
        let y = (oy * shape.strides[0] + ky * shape.dilations[0]).checked_sub(shape.pads[0]);
        let line = y.and_then(|y| input.get(y * in_w * in_c..)?.get(..in_w * in_c));
        let Some(line) = line else {
            row.fill(widen(shape.input_zero_point));
            continue;
        };
        if whole {
            let source = line.get((left - shape.pads[1]) * in_c..).unwrap_or(&[]);
            copy(row, source, widen);
            continue;
        }
        for (kx, cell) in row.chunks_exact_mut(channels.max(1)).enumerate() {
            let x = (left + kx * shape.dilations[1]).checked_sub(shape.pads[1]);
            let x = x.filter(|&x| x < in_w);
            match x.and_then(|x| line.get(x * in_c + group * channels..)) {
                Some(source) => copy(cell, source, widen),
                None => cell.fill(widen(shape.input_zero_point)),
            }
        }
    }
}

#[inline(always)]
fn copy<T>(to: &mut [T], from: &[i8], widen: impl Fn(i8) -> T) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = widen(from);
    }
}
