//! The preprocessing inside a model file.

use fixnet::Model;
use fixnet::format::AlphaRecord;

use super::{ChannelOrder, MeanImage, Recipe};

/// The recipe that a model file carries: the inverse of what `quantize` writes.
#[must_use]
pub fn recipe_of(model: &Model<'_>) -> Option<Recipe> {
    let record = model.preprocess()?;
    let [height, width, channels] = model.image_shape();
    let alpha = |of: fn(&AlphaRecord) -> f32| model.alpha().map(of);
    let positive = |n: u16| (n > 0).then_some(u32::from(n));
    Some(Recipe {
        scale: record.scale,
        mean: record.mean,
        std: record.std,
        alpha_mean: alpha(|record| record.mean).unwrap_or(0.0),
        alpha_std: alpha(|record| record.std).unwrap_or(1.0),
        resize: positive(record.resize),
        crop: positive(record.crop),
        channel_order: if record.bgr == 0 { ChannelOrder::Rgb } else { ChannelOrder::Bgr },
        mean_image: model.mean_image().map(|data| MeanImage {
            width,
            height,
            channels,
            data: data.to_vec(),
        }),
    })
}
