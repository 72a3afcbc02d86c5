//! Bilinear resizing with antialiasing and centre crops, byte for byte as Pillow does it.
//!
//! The method is that of Pillow's `Resample.c` (a triangle filter widened by the scale when
//! shrinking, 22-bit fixed-point weights, the horizontal pass first, 8-bit pixels between the
//! passes), which is also what torchvision's `Resize` does on PIL images. Weights come from IEEE
//! additions, multiplications and divisions alone, so every machine computes the same bytes.

use crate::Pixels;

/// Fraction bits of a weight: 8-bit pixels times weights that sum to one stay within 31 bits.
const WEIGHT_BITS: u32 = 32 - 8 - 2;

/// The weights of one output position: input positions `first..first + weights.len()`.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

/// Width and height when the shorter side becomes `shorter`: the longer side is rounded down, as in
/// torchvision.
pub fn shorter_side_size(width: usize, height: usize, shorter: usize) -> (usize, usize) {
    let longer = |long: usize, short: usize| shorter * long / short.max(1);
    if width <= height {
        (shorter, longer(height, width))
    } else {
        (longer(width, height), shorter)
    }
}

/// The smallest size with the image's aspect ratio that covers `least_width` x `least_height`; the side that
/// is larger than asked for is rounded down.
pub fn covering_size(
    width: usize,
    height: usize,
    least_width: usize,
    least_height: usize,
) -> (usize, usize) {
    let (width, height) = (width.max(1), height.max(1));
    if width * least_height <= height * least_width {
        (least_width, least_width * height / width)
    } else {
        (least_height * width / height, least_height)
    }
}

/// Resizes to exactly `width` x `height`. A side that already has its size is left alone. Colours beside
/// alpha count by it: they are multiplied with it before and divided by it after.
pub fn resize(image: &Pixels, width: usize, height: usize) -> Pixels {
    let has_alpha = matches!(image.channels, 2 | 4);
    if has_alpha && (width, height) != (image.width, image.height) {
        let resized = resize_channels(&by_alpha(image, multiplied), width, height);
        return by_alpha(&resized, divided);
    }
    resize_channels(image, width, height)
}

/// Changes the colours of each pixel by its alpha, the last channel.
fn by_alpha(image: &Pixels, change: impl Fn(u32, u32) -> u8) -> Pixels {
    let mut image = image.clone();
    for pixel in image.data.chunks_exact_mut(image.channels) {
        if let Some((&mut alpha, colours)) = pixel.split_last_mut() {
            colours.iter_mut().for_each(|c| *c = change((*c).into(), alpha.into()));
        }
    }
    image
}

/// `colour * alpha / 255`, rounded.
fn multiplied(colour: u32, alpha: u32) -> u8 {
    let product = colour * alpha + 128;
    ((product + (product >> 8)) >> 8) as u8
}

/// `colour * 255 / alpha`, rounded down, where there is any alpha.
fn divided(colour: u32, alpha: u32) -> u8 {
    (colour * 255).checked_div(alpha).unwrap_or(colour).min(255) as u8
}

fn resize_channels(image: &Pixels, width: usize, height: usize) -> Pixels {
    let wide = if width == image.width {
        image.clone()
    } else {
        resize_rows(image, &windows(image.width, width))
    };
    if height == image.height {
        wide
    } else {
        resize_columns(&wide, &windows(image.height, height))
    }
}

/// Cuts `width` x `height` pixels from the middle (see `half_margin`). `None` if the image is smaller.
pub fn centre_crop(image: &Pixels, width: usize, height: usize) -> Option<Pixels> {
    let left = half_margin(image.width.checked_sub(width)?);
    let top = half_margin(image.height.checked_sub(height)?);
    let channels = image.channels;
    let mut data = Vec::with_capacity(channels * width * height);
    for y in top..top + height {
        let start = channels * (y * image.width + left);
        data.extend_from_slice(&image.data[start..start + channels * width]);
    }
    Some(Pixels { width, height, channels, data })
}

/// Where a centred crop begins when `margin` pixels are left beside it: at half of them, which is rounded
/// to the even number, as torchvision's `center_crop` does by Python's `round`.
fn half_margin(margin: usize) -> usize {
    margin / 2 + usize::from(margin % 4 == 3)
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    (0..to).map(|position| window(from, (position as f64 + 0.5) * scale, support)).collect()
}

fn window(from: usize, centre: f64, support: f64) -> Window {
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(from);
    let inverse_support = 1.0 / support;
    let raw: Vec<f64> = (first..end)
        .map(|at| {
            let distance = (at as f64 - centre + 0.5) * inverse_support;
            (1.0 - distance.abs()).max(0.0)
        })
        .collect();
    let sum: f64 = raw.iter().sum();
    let one = f64::from(1u32 << WEIGHT_BITS);
    let weights = raw.iter().map(|w| (w / sum * one + 0.5) as i32).collect();
    Window { first, weights }
}

/// The weighted sum of pixels that lie `stride` bytes apart, rounded to 8 bits.
fn weighted(data: &[u8], start: usize, stride: usize, weights: &[i32]) -> u8 {
    let mut sum = 1i32 << (WEIGHT_BITS - 1);
    for (i, &weight) in weights.iter().enumerate() {
        sum += i32::from(data[start + i * stride]) * weight;
    }
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}

fn resize_rows(image: &Pixels, windows: &[Window]) -> Pixels {
    let channels = image.channels;
    let mut data = Vec::with_capacity(channels * windows.len() * image.height);
    for row in image.data.chunks_exact(channels * image.width) {
        for window in windows {
            let start = channels * window.first;
            data.extend(
                (start..start + channels).map(|at| weighted(row, at, channels, &window.weights)),
            );
        }
    }
    Pixels { width: windows.len(), data, ..*image }
}

fn resize_columns(image: &Pixels, windows: &[Window]) -> Pixels {
    let row_bytes = image.channels * image.width;
    let mut data = Vec::with_capacity(row_bytes * windows.len());
    for window in windows {
        let start = window.first * row_bytes;
        for at in 0..row_bytes {
            data.push(weighted(&image.data, start + at, row_bytes, &window.weights));
        }
    }
    Pixels { height: windows.len(), data, ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey_row(values: &[u8]) -> Pixels {
        Pixels {
            width: values.len(),
            height: 1,
            channels: 3,
            data: values.iter().flat_map(|&v| [v, v, v]).collect(),
        }
    }

    fn greys(image: &Pixels) -> Vec<u8> {
        image.data.iter().step_by(3).copied().collect()
    }

    #[test]
    fn enlarging_twice_mixes_neighbours_three_to_one() {
        let image = resize(&grey_row(&[0, 100, 200]), 6, 1);
        assert_eq!(greys(&image), [0, 25, 75, 125, 175, 200]);
    }

    #[test]
    fn shrinking_by_two_is_antialiased() {
        // Support 2 around centre 1: distances .25, .25, .75 of the support give 3, 3, 1 sevenths.
        let image = resize(&grey_row(&[0, 70, 140, 210]), 2, 1);
        assert_eq!(greys(&image), [50, 160]);
    }

    /// As Pillow 12 resizes the same image, of mode RGBA, with `BILINEAR`.
    #[test]
    fn colours_count_by_their_alpha() {
        let image = Pixels::from_fn(5, 4, |x, y| {
            [x * 50, y * 80, x * y * 37, x * 61 + y * 53].map(|value| value as u8)
        });
        let smaller = [
            31, 91, 23, 64, 105, 65, 60, 152, 173, 37, 45, 157, 26, 197, 48, 147, 92, 166, 120,
            133, 180, 188, 126, 99,
        ];
        assert_eq!(resize(&image, 3, 2).data, smaller);
        let first_row = [
            0, 0, 0, 0, 51, 0, 0, 35, 71, 0, 0, 78, 100, 0, 0, 122, 139, 0, 0, 166, 175, 0, 0, 209,
            199, 0, 0, 244,
        ];
        assert_eq!(resize(&image, 7, 4).data[..28], first_row);
        assert_eq!(resize(&image, 5, 4), image);
    }

    #[test]
    fn the_shorter_side_is_set_and_the_longer_rounded_down() {
        assert_eq!(shorter_side_size(500, 375, 256), (341, 256));
        assert_eq!(shorter_side_size(375, 500, 256), (256, 341));
        assert_eq!(shorter_side_size(227, 227, 256), (256, 256));
    }

    #[test]
    fn a_constant_image_stays_constant() {
        let image =
            Pixels { width: 50, height: 31, channels: 3, data: [7, 130, 255].repeat(50 * 31) };
        let resized = resize(&image, 23, 40);
        assert!(resized.data.chunks(3).all(|p| p == [7, 130, 255]));
    }

    #[test]
    fn windows_begin_where_torchvisions_do() {
        // [int(round(margin / 2.0)) for margin in range(17)] in Python.
        let starts = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8, 8];
        for (margin, start) in starts.into_iter().enumerate() {
            assert_eq!(half_margin(margin), start, "{margin}");
            for (wide, high) in [(margin, 0), (0, margin), (margin, 5)] {
                let (width, height) = (4 + wide, 3 + high);
                let pixel = |at| [(at % width) as u8, (at / width) as u8, 0];
                let data = (0..width * height).flat_map(pixel).collect();
                let cropped =
                    centre_crop(&Pixels { width, height, channels: 3, data }, 4, 3).unwrap();
                assert_eq!(cropped.pixel(0, 0)[..2], [starts[wide] as u8, starts[high] as u8]);
                assert_eq!((cropped.width, cropped.height, cropped.data.len()), (4, 3, 36));
            }
        }
    }

    #[test]
    fn a_window_of_all_but_three_pixels_begins_at_the_second() {
        let image = Pixels {
            width: 227,
            height: 227,
            channels: 3,
            data: (0..227 * 227).flat_map(|i| [(i % 227) as u8, (i / 227) as u8, 0]).collect(),
        };
        let cropped = centre_crop(&image, 224, 224).unwrap();
        assert_eq!(cropped.pixel(0, 0), [2, 2, 0]);
        assert_eq!(cropped.pixel(223, 223), [225, 225, 0]);
        assert_eq!(centre_crop(&image, 228, 228), None);
    }
}
