//! How 8-bit pixels become the int8 input, in the tables that a model file carries: they follow from the
//! recipe and the input's grid.

use fixnet::format::{AlphaRecord, PreprocessRecord, PreprocessSpec};
use fixnet::preprocess::GAIN_FRACTION_BITS;

use crate::calibrate::Range;
use crate::data::{ChannelOrder, Recipe};

/// Place of alpha among the channels of an image.
const ALPHA: usize = 3;

/// The preprocessing that travels in the model file, for images of 1, 3 or 4 channels.
pub(super) fn preprocess(recipe: &Recipe, range: Range, shape: [usize; 3]) -> PreprocessSpec {
    let [height, width, channels] = shape;
    let order = recipe.channel_order;
    let std = |colour: usize| if colour == ALPHA { recipe.alpha_std } else { recipe.std[colour] };
    let one = f64::from(1u32 << GAIN_FRACTION_BITS);
    let gain = |channel: usize| {
        let std = f64::from(std(order.colour(channel)));
        (f64::from(recipe.scale) / std / f64::from(range.scale) * one).round() as i32
    };
    let table = |channel: usize| {
        let colour = order.colour(channel);
        let entry = |x: usize| range.quantize(recipe.normalise(colour, x as f32));
        std::array::from_fn(entry)
    };
    let mut record = PreprocessRecord {
        resize: recipe.resize.unwrap_or(0) as u16,
        crop: recipe.crop.unwrap_or(0) as u16,
        bgr: u8::from(order == ChannelOrder::Bgr),
        reserved: [0; 3],
        scale: recipe.scale,
        mean: recipe.mean,
        std: recipe.std,
        mean_image_offset: 0,
        pixel_offsets: 0,
        gains: [0; 3],
        tables: [[0; 256]; 3],
    };
    for channel in 0..channels.min(ALPHA) {
        (record.gains[channel], record.tables[channel]) = (gain(channel), table(channel));
    }
    let alpha = (channels > ALPHA).then(|| AlphaRecord {
        mean: recipe.alpha_mean,
        std: recipe.alpha_std,
        gain: gain(ALPHA),
        table: table(ALPHA),
    });
    let mean_image = recipe.mean_image.as_ref().map(|image| {
        let offsets = (0..height * width * channels).map(|i| {
            let colour = order.colour(i % channels);
            let mean = image.data.get(i - i % channels + colour).copied().unwrap_or(0.0);
            let real = f64::from(recipe.normalise(colour, -mean)) / f64::from(range.scale);
            ((real + f64::from(range.zero_point) + 0.5) * one).round() as i32
        });
        (image.data.clone(), offsets.collect())
    });
    PreprocessSpec { record, alpha, mean_image }
}
