//! Generated images with natural statistics, for calibration without photographs.
//!
//! The "dead leaves" model (Matheron; Lee, Mumford and Huang, "Occlusion models for natural images",
//! 2001): opaque shapes whose radii follow a power law `r^-3` cover each other, which gives the edges,
//! the flat regions and the scale-invariant spectrum of photographs. Leaves are drawn front to back,
//! which samples the model exactly: a pixel belongs to the first leaf that covers it.
//!
//! What may not be broken: the same seed, index and size give the same bytes on every machine. Only
//! IEEE additions, multiplications, divisions and square roots are used (all correctly rounded), never
//! a function of `libm`, and the random numbers are ChaCha's. A golden hash in the tests guards this;
//! calibration figures quoted in the documentation depend on the bytes.

mod leaf;

use self::leaf::{Leaf, Style};
use crate::Pixels;
use crate::random::Random;

/// Samples a pixel's side is divided into, for antialiasing.
const SUPERSAMPLING: usize = 2;
/// Leaves after which what is still bare becomes background.
const MAX_LEAVES: usize = 6000;

/// Renders image `index` of the series that `seed` starts.
pub fn dead_leaves(seed: u64, index: u64, width: usize, height: usize) -> Pixels {
    let mut random = Random::new(seed, index);
    let mut canvas = Canvas::new(width * SUPERSAMPLING, height * SUPERSAMPLING);
    let style = Style::draw(&mut random, canvas.width.min(canvas.height) as f64);
    for _ in 0..MAX_LEAVES {
        if canvas.bare == 0 {
            break;
        }
        canvas.paint(&style.leaf(&mut random, canvas.width, canvas.height));
    }
    canvas.fill(&style.background(&mut random, canvas.width, canvas.height));
    let mut pixels = canvas.downsample(width, height);
    for _ in 0..style.blur_passes {
        pixels = blur(&pixels);
    }
    add_sensor_noise(&mut pixels, style.sensor_noise, &mut random);
    pixels
}

/// The supersampled picture; a sample that no leaf covers yet is bare.
struct Canvas {
    width: usize,
    height: usize,
    samples: Vec<Option<[u8; 3]>>,
    bare: usize,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, samples: vec![None; width * height], bare: width * height }
    }

    /// Paints the bare samples that the leaf covers.
    fn paint(&mut self, leaf: &Leaf) {
        let (columns, rows) = leaf.bounds(self.width, self.height);
        for y in rows {
            for x in columns.clone() {
                let sample = &mut self.samples[y * self.width + x];
                if sample.is_none()
                    && let Some(local) = leaf.local_if_covered(x, y)
                {
                    *sample = Some(leaf.colour_at(local));
                    self.bare -= 1;
                }
            }
        }
    }

    /// Paints every bare sample.
    fn fill(&mut self, leaf: &Leaf) {
        for y in 0..self.height {
            for x in 0..self.width {
                let sample = &mut self.samples[y * self.width + x];
                if sample.is_none() {
                    *sample = Some(leaf.colour_at(leaf.local(x, y)));
                }
            }
        }
    }

    /// Averages the samples of each pixel.
    fn downsample(&self, width: usize, height: usize) -> Pixels {
        const SAMPLES: u32 = (SUPERSAMPLING * SUPERSAMPLING) as u32;
        let mut data = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [SAMPLES / 2; 3];
                for dy in 0..SUPERSAMPLING {
                    let row = (y * SUPERSAMPLING + dy) * self.width + x * SUPERSAMPLING;
                    for sample in self.samples[row..row + SUPERSAMPLING].iter().flatten() {
                        for colour in 0..3 {
                            sum[colour] += u32::from(sample[colour]);
                        }
                    }
                }
                data.extend(sum.map(|total| (total / SAMPLES) as u8));
            }
        }
        Pixels { width, height, channels: 3, data }
    }
}

/// One pass of the binomial filter 1 2 1 in both directions; edges repeat.
fn blur(image: &Pixels) -> Pixels {
    let (width, height) = (image.width, image.height);
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..height {
        let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)];
        for x in 0..width {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
            let mut sum = [8u32; 3];
            for (row, row_weight) in rows.into_iter().zip([1, 2, 1]) {
                for (column, weight) in columns.into_iter().zip([1, 2, 1]) {
                    let pixel = image.pixel(column, row);
                    for colour in 0..3 {
                        sum[colour] += row_weight * weight * u32::from(pixel[colour]);
                    }
                }
            }
            data.extend(sum.map(|total| (total / 16) as u8));
        }
    }
    Pixels { width, height, channels: 3, data }
}

/// Adds the same triangular noise to the three colours of a pixel.
fn add_sensor_noise(image: &mut Pixels, amplitude: i32, random: &mut Random) {
    if amplitude == 0 {
        return;
    }
    for pixel in image.data.chunks_exact_mut(3) {
        let noise = random.triangular(amplitude);
        for value in pixel {
            *value = (i32::from(*value) + noise).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc32(data: &[u8]) -> u32 {
        crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
    }

    /// Guards the promise that a seed gives the same bytes everywhere. A change here changes every
    /// file that was calibrated with generated images.
    #[test]
    fn the_bytes_are_golden() {
        let hashes = [
            dead_leaves(0, 0, 32, 32),
            dead_leaves(0, 1, 32, 32),
            dead_leaves(7, 3, 224, 224),
            dead_leaves(1, 2, 57, 19),
        ]
        .map(|image| crc32(&image.data));
        assert_eq!(hashes, [684_328_263, 1_067_687_822, 1_437_387_319, 3_274_521_521]);
    }

    #[test]
    fn any_size_is_filled() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (3, 5)] {
            let image = dead_leaves(0, 0, width, height);
            assert_eq!(image.data.len(), 3 * width * height);
        }
        assert!(dead_leaves(0, 0, 0, 0).data.is_empty());
    }

    /// Mean and standard deviation a colour over ImageNet: about 0.45 and 0.23.
    #[test]
    fn mean_and_spread_are_those_of_photographs() {
        let values: Vec<f64> = (0..200)
            .flat_map(|index| dead_leaves(0, index, 32, 32).data)
            .map(|v| f64::from(v) / 255.0)
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let deviation = (variance / values.len() as f64).sqrt();
        assert!((0.40..0.52).contains(&mean), "mean {mean}");
        assert!((0.20..0.28).contains(&deviation), "standard deviation {deviation}");
    }
}
