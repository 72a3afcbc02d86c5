//! The int8 input: its grid follows from the recipe alone.

use crate::calibrate::{Bits, Range};
use crate::data::Recipe;

/// The grid that covers every pixel value that the recipe can make, in images of so many channels.
#[must_use]
pub fn input_range(recipe: &Recipe, channels: usize) -> Range {
    let mut low = f64::INFINITY;
    let mut high = f64::NEG_INFINITY;
    let mut cover = |colour: usize, x: f32| {
        let value = f64::from(recipe.normalise(colour, x));
        low = low.min(value);
        high = high.max(value);
    };
    for colour in 0..channels {
        match &recipe.mean_image {
            None => [0.0, 255.0].into_iter().for_each(|x| cover(colour, x)),
            Some(image) => {
                for mean in image.data.iter().skip(colour).step_by(channels) {
                    [-mean, 255.0 - mean].into_iter().for_each(|x| cover(colour, x));
                }
            }
        }
    }
    Range::new(low, high, Bits::Eight)
}
