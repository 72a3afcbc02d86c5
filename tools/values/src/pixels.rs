//! Images of 8-bit pixels, and what a float network takes for one.

/// An image of 8-bit RGB pixels, row by row; `data.len() == 3 * width * height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbPixels {
    pub width: usize,
    pub height: usize,
    /// R, G, B of the top left pixel first (HWC order).
    pub data: Vec<u8>,
}

impl RgbPixels {
    /// The image with these bytes at column `x` and row `y`.
    pub fn from_fn(width: usize, height: usize, at: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let row = |y| (0..width).map(move |x| (x, y));
        let data = (0..height).flat_map(row).flat_map(|(x, y)| at(x, y)).collect();
        Self { width, height, data }
    }

    /// The bytes of one pixel.
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }
}

/// From 8-bit values to a network's float input: `((x - mean_image) * scale - mean) / std`.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a> {
    pub scale: f32,
    /// Per channel of the image.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// The image's channel that the network's channel 0, 1 and 2 hold.
    pub order: [usize; 3],
    /// As many values as the image has, in its order.
    pub mean_image: Option<&'a [f32]>,
}

impl Normalisation<'_> {
    /// The float value of `x` (0 to 255, less the mean image) of one channel of the image.
    #[must_use]
    pub fn value(&self, channel: usize, x: f32) -> f32 {
        (x * self.scale - self.mean[channel]) / self.std[channel]
    }

    /// The network's input, channel by channel (CHW).
    #[must_use]
    pub fn planes(&self, pixels: &RgbPixels) -> Vec<f32> {
        self.order.iter().flat_map(|&channel| self.plane(pixels, channel)).collect()
    }

    /// The network's input, pixel by pixel (HWC).
    #[must_use]
    pub fn interleaved(&self, pixels: &RgbPixels) -> Vec<f32> {
        let mut input = vec![0.0; pixels.data.len()];
        for (place, &channel) in self.order.iter().enumerate() {
            let places = input.iter_mut().skip(place).step_by(3);
            for (to, value) in places.zip(self.plane(pixels, channel)) {
                *to = value;
            }
        }
        input
    }

    fn plane(&self, pixels: &RgbPixels, channel: usize) -> impl Iterator<Item = f32> {
        let values = pixels.data.iter().skip(channel).step_by(3).enumerate();
        values.map(move |(at, &x)| {
            let mean = self.mean_image.map_or(0.0, |image| image[3 * at + channel]);
            self.value(channel, f32::from(x) - mean)
        })
    }
}
