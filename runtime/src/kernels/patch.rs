//! Gathers the window behind one output pixel into a contiguous patch (a bounded im2col).

use super::ConvShape;

/// Writes the window of output pixel (`oy`, `ox`) and channel group `group` to `patch`, in
/// `[kernel_h][kernel_w][in]` order, each value converted by `widen`; the padding becomes the zero
/// point. `patch` holds at least [`ConvShape::patch_len`] elements; what lies beyond stays as it is. None if
/// the input ends before.
#[inline(always)]
pub(super) fn gather<T: Copy>(
    shape: &ConvShape,
    input: &[i8],
    (oy, ox): (usize, usize),
    group: usize,
    patch: &mut [T],
    widen: impl Fn(i8) -> T + Copy,
) -> Option<()> {
    let [in_h, in_w, in_c] = shape.input;
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
        let Some(y) = y.filter(|&y| y < in_h) else {
            row.fill(widen(shape.input_zero_point));
            continue;
        };
        let line = input.get(y * in_w * in_c..)?.get(..in_w * in_c)?;
        if whole {
            copy(row, line.get((left - shape.pads[1]) * in_c..)?, widen);
            continue;
        }
        for (kx, cell) in row.chunks_exact_mut(channels.max(1)).enumerate() {
            let x = (left + kx * shape.dilations[1]).checked_sub(shape.pads[1]);
            match x.filter(|&x| x < in_w) {
                Some(x) => copy(cell, line.get(x * in_c + group * channels..)?, widen),
                None => cell.fill(widen(shape.input_zero_point)),
            }
        }
    }
    Some(())
}

#[inline(always)]
fn copy<T>(to: &mut [T], from: &[i8], widen: impl Fn(i8) -> T) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = widen(from);
    }
}
