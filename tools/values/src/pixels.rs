//! Images of 8-bit pixels, and what a float network takes for one.

/// An image of 8-bit pixels, row by row; `data.len() == channels * width * height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 2 grey and alpha, 3 red, green and blue, 4 these and alpha.
    pub channels: usize,
    /// The channels of the top left pixel first (HWC order).
    pub data: Vec<u8>,
}

/// Of no transparency.
const OPAQUE: u8 = 255;

impl Pixels {
    /// The image with these bytes at column `x` and row `y`.
    pub fn from_fn<const CHANNELS: usize>(
        width: usize,
        height: usize,
        at: impl Fn(usize, usize) -> [u8; CHANNELS],
    ) -> Self {
        let row = |y| (0..width).map(move |x| (x, y));
        let data = (0..height).flat_map(row).flat_map(|(x, y)| at(x, y)).collect();
        Self { width, height, channels: CHANNELS, data }
    }

    /// The red, green and blue of one pixel.
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = self.channels * (y * self.width + x);
        let [red, green, blue, _] = colour(&self.data[at..at + self.channels]);
        [red, green, blue]
    }

    /// The same image in 1, 3 or 4 channels. Colour becomes grey by its luma, as in Pillow: 19,595 parts of
    /// red, 38,470 of green and 7,471 of blue in 65,536, rounded. Alpha is kept where there is a channel for
    /// it, dropped (not blended) where there is none, and opaque where the image had none.
    #[must_use]
    pub fn with_channels(self, channels: usize) -> Self {
        if channels == self.channels {
            return self;
        }
        let pixels = self.data.chunks_exact(self.channels.max(1)).map(colour);
        let data = match channels {
            1 if self.channels <= 2 => pixels.map(|[grey, ..]| grey).collect(),
            1 => pixels.map(luma).collect(),
            3 => pixels.flat_map(|[red, green, blue, _]| [red, green, blue]).collect(),
            _ => pixels.flatten().collect(),
        };
        Self { channels, data, ..self }
    }
}

/// Red, green, blue and alpha of a pixel.
fn colour(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [grey] => [grey, grey, grey, OPAQUE],
        [grey, alpha] => [grey, grey, grey, alpha],
        [red, green, blue] => [red, green, blue, OPAQUE],
        [red, green, blue, alpha, ..] => [red, green, blue, alpha],
        [] => [0, 0, 0, OPAQUE],
    }
}

fn luma([red, green, blue, _]: [u8; 4]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
}

/// From 8-bit values to a network's float input: `((x - mean_image) * scale - mean) / std`.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a> {
    pub scale: f32,
    /// Per channel of the image.
    pub mean: [f32; 4],
    pub std: [f32; 4],
    /// Whether the network's first channel is blue, where there are colours.
    pub bgr: bool,
    /// As many values as the image has, in its order.
    pub mean_image: Option<&'a [f32]>,
}

impl Normalisation<'_> {
    /// The float value of `x` (0 to 255, less the mean image) of one channel of the image.
    #[must_use]
    pub fn value(&self, channel: usize, x: f32) -> f32 {
        (x * self.scale - self.mean[channel]) / self.std[channel]
    }

    /// The network's input, pixel by pixel (HWC).
    #[must_use]
    pub fn interleaved(&self, pixels: &Pixels) -> Vec<f32> {
        let channels = pixels.channels.max(1);
        let mut input = vec![0.0; pixels.data.len()];
        for place in 0..channels {
            let channel = if self.bgr && channels > 2 && place < 3 { 2 - place } else { place };
            let places = input.iter_mut().skip(place).step_by(channels);
            let values = pixels.data.iter().skip(channel).step_by(channels);
            for (at, (to, &x)) in places.zip(values).enumerate() {
                let mean = self.mean_image.map_or(0.0, |image| image[channels * at + channel]);
                *to = self.value(channel, f32::from(x) - mean);
            }
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PIL.Image.convert("L")` and `convert("RGBA")`.
    #[test]
    fn colours_become_grey_by_luma_and_alpha_is_kept_or_opaque() {
        let colour = Pixels::from_fn(4, 1, |x, _| {
            [[255, 0, 0, 7], [0, 255, 0, 8], [0, 0, 255, 9], [10, 200, 30, 0]][x]
        });
        assert_eq!(colour.clone().with_channels(1).data, [76, 150, 29, 124]);
        assert_eq!(colour.clone().with_channels(4), colour);
        let rgb = colour.with_channels(3);
        assert_eq!(rgb.data, [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 200, 30]);
        assert_eq!(rgb.with_channels(4).data[..8], [255, 0, 0, 255, 0, 255, 0, 255]);
        let grey = Pixels::from_fn(2, 1, |x, _| [[3, 4], [5, 6]][x]);
        assert_eq!(grey.clone().with_channels(1).data, [3, 5]);
        assert_eq!(grey.clone().with_channels(3).data, [3, 3, 3, 5, 5, 5]);
        assert_eq!(grey.with_channels(4).data, [3, 3, 3, 4, 5, 5, 5, 6]);
    }
}
