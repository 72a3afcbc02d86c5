//! A float convolution whose sums are the same on every machine.

/// Channels, height, width.
type Shape = [usize; 3];

/// Weights and geometry.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    /// Output channel, input channel of the group, kernel row, kernel column.
    pub weight: &'a [f32],
    /// Per output channel.
    pub bias: Option<&'a [f32]>,
    pub out_channels: usize,
    pub groups: usize,
    /// Input channels of a group.
    pub group_channels: usize,
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Rows above and columns to the left.
    pub pads: [usize; 2],
}

/// Output pixels whose windows are laid out at a time.
const TILE: usize = 256;
/// Output channels that are computed at a time.
const LANES: usize = 8;

/// A convolution of an image; each sum is made in the order of the weights, without fused multiplications.
///
/// `shape` and `output` are channels, height and width of `input` and of the result.
#[must_use]
pub fn convolve(conv: &Convolution<'_>, input: &[f32], shape: Shape, output: Shape) -> Vec<f32> {
    let taps = conv.group_channels * conv.kernel[0] * conv.kernel[1];
    let (area, outputs) = (output[1] * output[2], conv.out_channels / conv.groups);
    let mut result = vec![0.0; conv.out_channels * area];
    let mut windows = Vec::with_capacity(TILE * taps);
    for group in 0..conv.groups {
        let channels = group * outputs..(group + 1) * outputs;
        let blocks: Vec<Vec<[f32; LANES]>> = channels
            .clone()
            .step_by(LANES)
            .map(|first| interleaved(conv.weight, taps, first..channels.end.min(first + LANES)))
            .collect();
        for start in (0..area).step_by(TILE) {
            let pixels = start..area.min(start + TILE);
            lay_out(conv, input, shape, (group, output[2]), pixels.clone(), &mut windows);
            for (block, first) in blocks.iter().zip(channels.clone().step_by(LANES)) {
                for (pixel, window) in pixels.clone().zip(windows.chunks_exact(taps)) {
                    let sums = dots(block, window);
                    for (channel, sum) in (first..channels.end).zip(sums) {
                        result[channel * area + pixel] = sum;
                    }
                }
            }
        }
    }
    for (plane, bias) in result.chunks_mut(area.max(1)).zip(conv.bias.unwrap_or_default()) {
        plane.iter_mut().for_each(|value| *value += bias);
    }
    result
}

/// The weights of some output channels, tap by tap.
fn interleaved(weight: &[f32], taps: usize, channels: std::ops::Range<usize>) -> Vec<[f32; LANES]> {
    let mut block = vec![[0.0; LANES]; taps];
    for (lane, channel) in channels.enumerate() {
        for (to, &weight) in block.iter_mut().zip(&weight[channel * taps..]) {
            to[lane] = weight;
        }
    }
    block
}

/// The windows of some output pixels, one behind the other, in the order of the weights.
fn lay_out(
    conv: &Convolution<'_>,
    input: &[f32],
    [_, height, width]: Shape,
    (group, output_width): (usize, usize),
    pixels: std::ops::Range<usize>,
    windows: &mut Vec<f32>,
) {
    windows.clear();
    let (first, span) = (group * conv.group_channels, conv.kernel[1]);
    let at = |out: usize, axis: usize, tap: usize| {
        (out * conv.strides[axis] + tap * conv.dilations[axis]).checked_sub(conv.pads[axis])
    };
    for pixel in pixels {
        let (oy, ox) = (pixel / output_width, pixel % output_width);
        let inside = at(ox, 1, 0).filter(|x| conv.dilations[1] == 1 && x + span <= width);
        for channel in first..first + conv.group_channels {
            let plane = &input[channel * height * width..][..height * width];
            for ky in 0..conv.kernel[0] {
                let row =
                    at(oy, 0, ky).filter(|&y| y < height).map(|y| &plane[y * width..][..width]);
                if let (Some(row), Some(x)) = (row, inside) {
                    windows.extend_from_slice(&row[x..x + span]);
                    continue;
                }
                let value = |kx: usize| Some(*row?.get(at(ox, 1, kx)?)?);
                windows.extend((0..span).map(|kx| value(kx).unwrap_or(0.0)));
            }
        }
    }
}

/// The products of each of some filters with a window.
fn dots(filters: &[[f32; LANES]], window: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (weights, value) in filters.iter().zip(window) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += weight * value;
        }
    }
    sums
}
