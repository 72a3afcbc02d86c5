//! How 8-bit RGB becomes the int8 input, in the tables that a model file carries: they follow from the
//! recipe and the input's grid.

use fixnet::format::{PreprocessRecord, PreprocessSpec};
use fixnet::preprocess::GAIN_FRACTION_BITS;

use crate::calibrate::Range;
use crate::data::{ChannelOrder, Recipe};

/// The preprocessing that travels in the model file.
pub(super) fn preprocess(recipe: &Recipe, range: Range, shape: [usize; 3]) -> PreprocessSpec {
    let order = recipe.channel_order;
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
    for (channel, table) in record.tables.iter_mut().enumerate() {
        let colour = order.colour(channel);
        for (x, entry) in table.iter_mut().enumerate() {
            *entry = range.quantize(recipe.normalise(colour, x as f32));
        }
    }
    let one = f64::from(1u32 << GAIN_FRACTION_BITS);
    let step = |colour: usize| {
        f64::from(recipe.scale) / f64::from(recipe.std[colour]) / f64::from(range.scale)
    };
    for (channel, gain) in record.gains.iter_mut().enumerate() {
        *gain = (step(order.colour(channel)) * one).round() as i32;
    }
    let mean_image = recipe.mean_image.as_ref().map(|image| {
        let pixels = shape[0] * shape[1];
        let offsets = (0..pixels * 3).map(|i| {
            let colour = order.colour(i % 3);
            let mean = image.data.get(i - i % 3 + colour).copied().unwrap_or(0.0);
            let real = f64::from(recipe.normalise(colour, -mean)) / f64::from(range.scale);
            ((real + f64::from(range.zero_point) + 0.5) * one).round() as i32
        });
        (image.data.clone(), offsets.collect())
    });
    PreprocessSpec { record, mean_image }
}
