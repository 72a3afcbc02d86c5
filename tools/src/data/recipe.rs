//! What is done to an image before the network sees it.
//!
//! With `x` the 8-bit value of a pixel after resizing and cropping,
//!
//! ```text
//! float input = ((x - mean_image) * scale - mean) / std
//! ```
//!
//! so `mean_image` is in units of `x` (0 to 255) and `mean` and `std` are in units of `x * scale`.
//! `mean`, `std` and `mean_image` are always given in the order R, G, B, A; [`ChannelOrder::Bgr`] only
//! swaps the planes that the network gets. A grey network takes what its images have in common. [`Normalisation`] is the one place that computes this
//! formula: the tables of the integer preprocessor and the float reference both come from it.

use serde::{Deserialize, Serialize};
use values::{Normalisation, order};

use super::error::MAX_SIDE;
use super::resample::{centre_crop, covering_size, resize, shorter_side_size};
use super::{DataError, InputShape, MeanImage, Pixels, RecipeError};
use crate::graph::InputLayout;

const MAX_PIXELS: usize = 1 << 27;

/// Which colour the network's first channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
}

impl ChannelOrder {
    /// The channel of an image (0 red or grey, 1 green, 2 blue, 3 alpha) that the network's holds.
    #[must_use]
    pub fn colour(self, channel: usize) -> usize {
        match (self, channel) {
            (Self::Bgr, 0..3) => 2 - channel,
            _ => channel,
        }
    }
}

/// A checked recipe and the layout, where one was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    pub recipe: Recipe,
    pub layout: Option<InputLayout>,
}

/// Preprocessing, from any image to the network's float input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Mean and deviation of a fourth channel.
    pub alpha_mean: f32,
    pub alpha_std: f32,
    /// The shorter side after resizing.
    pub resize: Option<u32>,
    /// Side of the square cut from the middle, after resizing.
    pub crop: Option<u32>,
    pub channel_order: ChannelOrder,
    pub mean_image: Option<MeanImage>,
}

impl Default for Recipe {
    /// 0 to 255 becomes 0 to 1.
    fn default() -> Self {
        Self {
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            alpha_mean: 0.0,
            alpha_std: 1.0,
            resize: None,
            crop: None,
            channel_order: ChannelOrder::Rgb,
            mean_image: None,
        }
    }
}

impl Recipe {
    /// Refuses values that no image could be computed with.
    pub fn validate(&self) -> Result<(), RecipeError> {
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(RecipeError::Scale(self.scale));
        }
        let Normalisation { mean, std, .. } = self.normalisation();
        if !mean.iter().all(|m| m.is_finite()) {
            return Err(RecipeError::Mean(mean));
        }
        if !std.iter().all(|s| s.is_normal() && *s > 0.0) {
            return Err(RecipeError::Std(std));
        }
        for (flag, side) in [("resize", self.resize), ("crop", self.crop)] {
            match side {
                Some(value) if !(1..=MAX_SIDE).contains(&value) => {
                    return Err(RecipeError::Side { flag, value });
                }
                _ => {}
            }
        }
        match (self.crop, self.resize) {
            (Some(crop), Some(resize)) if crop > resize => {
                Err(RecipeError::CropOverResize { crop, resize })
            }
            _ => Ok(()),
        }
    }

    /// What is probably not meant: a mean or deviation that no scaled value reaches.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let largest = 255.0 * self.scale;
        let beyond = |values: &[f32; 3]| values.iter().any(|value| value.abs() > largest);
        let flag = match (self.mean_image.is_some(), beyond(&self.mean), beyond(&self.std)) {
            (false, true, _) => format!("--mean {}", triple(&self.mean)),
            (false, _, true) => format!("--std {}", triple(&self.std)),
            _ => return None,
        };
        Some(format!(
            "{flag}: values are 0 to {largest} when the mean is subtracted; \
             give --scale 1 if these are for values from 0 to 255"
        ))
    }

    /// Whether the recipe fits the network: the mean image, if there is one, has the input's shape, and grey
    /// is not asked to be three colours. Images from [`Recipe::apply_geometry`] are checked already; others
    /// need this before [`Recipe::float_input`].
    pub fn check_input(&self, input: InputShape) -> Result<(), RecipeError> {
        if let Some(found) = self.mean_image.as_ref().map(MeanImage::shape)
            && found != input
        {
            return Err(RecipeError::MeanImageSize { found, input });
        }
        if input.channels != 1 {
            return Ok(());
        }
        for (flag, values) in [("mean", self.mean), ("std", self.std)] {
            if values.iter().any(|value| *value != values[0]) {
                return Err(RecipeError::Grey { flag, values });
            }
        }
        match self.channel_order {
            ChannelOrder::Rgb => Ok(()),
            ChannelOrder::Bgr => Err(RecipeError::GreyOrder),
        }
    }

    /// Gives an image the network's channels, resizes and crops it, and checks that it then has the network's
    /// size. `name` is for
    /// error messages.
    pub fn apply_geometry(
        &self,
        name: &str,
        pixels: Pixels,
        input: InputShape,
    ) -> Result<Pixels, DataError> {
        self.check_input(input)?;
        let pixels = pixels.with_channels(input.channels);
        let resized = self.resized(name, pixels)?;
        let cropped = self.cropped(name, resized)?;
        if (cropped.width, cropped.height) != (input.width, input.height) {
            return Err(DataError::WrongSize {
                name: name.to_owned(),
                width: cropped.width,
                height: cropped.height,
                input,
            });
        }
        Ok(cropped)
    }

    /// [`Recipe::apply_geometry`] of an image of any size. One that would have another size than the
    /// network's is resized until it covers that and cut from the middle, whatever the recipe says, and
    /// what was done is said.
    pub fn fit(
        &self,
        name: &str,
        pixels: Pixels,
        input: InputShape,
    ) -> Result<(Pixels, Option<String>), DataError> {
        match self.apply_geometry(name, pixels.clone(), input) {
            Ok(pixels) => return Ok((pixels, None)),
            Err(DataError::WrongSize { .. } | DataError::CropTooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let pixels = pixels.with_channels(input.channels);
        let InputShape { width, height, .. } = input;
        let (wide, high) = covering_size(pixels.width, pixels.height, width, height);
        check_size(name, &pixels, wide, high, width.min(height))?;
        let resized = resize(&pixels, wide, high);
        let fitted = centre_crop(&resized, width, height).unwrap_or(resized);
        let note = format!(
            "{name}: {}x{} pixels were resized to {wide}x{high}, of which the middle {width}x{height} \
             go into the network (--resize and --crop say otherwise)",
            pixels.width, pixels.height
        );
        Ok((fitted, Some(note)))
    }

    fn resized(&self, name: &str, pixels: Pixels) -> Result<Pixels, DataError> {
        let Some(shorter) = self.resize else {
            return Ok(pixels);
        };
        let (width, height) = shorter_side_size(pixels.width, pixels.height, shorter as usize);
        check_size(name, &pixels, width, height, shorter as usize)?;
        Ok(resize(&pixels, width, height))
    }

    fn cropped(&self, name: &str, pixels: Pixels) -> Result<Pixels, DataError> {
        let Some(crop) = self.crop else {
            return Ok(pixels);
        };
        centre_crop(&pixels, crop as usize, crop as usize).ok_or_else(|| DataError::CropTooLarge {
            name: name.to_owned(),
            width: pixels.width,
            height: pixels.height,
            crop,
        })
    }

    /// The float input of a value `x` (0 to 255, less the mean image) of one channel of an image (0 red or
    /// grey, 1 green, 2 blue, 3 alpha).
    pub fn normalise(&self, colour: usize, x: f32) -> f32 {
        self.normalisation().value(colour, x)
    }

    /// The network's float input for pixels that already have its size. A mean image must have the
    /// same size ([`Recipe::check_input`]).
    pub fn float_input(&self, pixels: &Pixels, layout: InputLayout) -> Vec<f32> {
        let input = self.normalisation().interleaved(pixels);
        match layout {
            InputLayout::Nchw => order::chw(&input, [pixels.height, pixels.width, pixels.channels]),
            InputLayout::Nhwc => input,
        }
    }

    fn normalisation(&self) -> Normalisation<'_> {
        let with_alpha = |[r, g, b]: [f32; 3], alpha: f32| [r, g, b, alpha];
        Normalisation {
            scale: self.scale,
            mean: with_alpha(self.mean, self.alpha_mean),
            std: with_alpha(self.std, self.alpha_std),
            bgr: self.channel_order == ChannelOrder::Bgr,
            mean_image: self.mean_image.as_ref().map(|image| image.data.as_slice()),
        }
    }
}

/// Refuses a resize to more pixels than any image needs.
fn check_size(
    name: &str,
    pixels: &Pixels,
    width: usize,
    height: usize,
    shorter: usize,
) -> Result<(), DataError> {
    if width.saturating_mul(height) <= MAX_PIXELS {
        return Ok(());
    }
    let resize = u32::try_from(shorter).unwrap_or(u32::MAX);
    let (name, width, height) = (name.to_owned(), pixels.width, pixels.height);
    Err(DataError::TooLong { name, width, height, resize })
}

fn triple(values: &[f32; 3]) -> String {
    values.map(|value| value.to_string()).join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PIXELS: InputShape = InputShape { height: 1, width: 2, channels: 3 };

    fn two_pixels() -> Pixels {
        Pixels { width: 2, height: 1, channels: 3, data: vec![10, 20, 30, 40, 50, 60] }
    }

    fn halves() -> Recipe {
        Recipe { scale: 0.5, mean: [1.0, 2.0, 3.0], std: [2.0, 4.0, 8.0], ..Recipe::default() }
    }

    #[test]
    fn float_input_follows_the_formula_in_both_layouts() {
        let nchw = halves().float_input(&two_pixels(), InputLayout::Nchw);
        assert_eq!(nchw, [2.0, 9.5, 2.0, 5.75, 1.5, 3.375]);
        let nhwc = halves().float_input(&two_pixels(), InputLayout::Nhwc);
        assert_eq!(nhwc, [2.0, 2.0, 1.5, 9.5, 5.75, 3.375]);
    }

    #[test]
    fn bgr_swaps_planes_and_keeps_each_colours_mean() {
        let recipe = Recipe { channel_order: ChannelOrder::Bgr, ..halves() };
        let input = recipe.float_input(&two_pixels(), InputLayout::Nchw);
        assert_eq!(input, [1.5, 3.375, 2.0, 5.75, 2.0, 9.5]);
    }

    #[test]
    fn the_mean_image_is_subtracted_before_the_scale() {
        let recipe = Recipe {
            mean_image: Some(MeanImage {
                width: 2,
                height: 1,
                channels: 3,
                data: vec![10.0, 20.0, 30.0, 38.0, 46.0, 52.0],
            }),
            ..halves()
        };
        recipe.check_input(TWO_PIXELS).unwrap();
        let input = recipe.float_input(&two_pixels(), InputLayout::Nhwc);
        assert_eq!(input, [-0.5, -0.5, -0.375, 0.0, 0.0, 0.125]);
        let error = recipe.check_input(InputShape { height: 2, width: 2, channels: 3 });
        assert!(matches!(error, Err(RecipeError::MeanImageSize { .. })));
    }

    #[test]
    fn an_image_of_another_size_is_refused_with_the_flag_to_use() {
        let input = InputShape { height: 32, width: 32, channels: 3 };
        let error = Recipe::default().apply_geometry("a.png", two_pixels(), input).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("a.png: 2x1 pixels"), "{message}");
        assert!(message.contains("--resize 32 --crop 32"), "{message}");
    }

    #[test]
    fn a_crop_never_pads() {
        let recipe = Recipe { crop: Some(2), ..Recipe::default() };
        let error = recipe.apply_geometry("a.png", two_pixels(), TWO_PIXELS).unwrap_err();
        assert!(matches!(error, DataError::CropTooLarge { crop: 2, .. }));
    }

    #[test]
    fn resize_and_crop_reach_the_networks_size() {
        let recipe = Recipe { resize: Some(4), crop: Some(4), ..Recipe::default() };
        let input = InputShape { height: 4, width: 4, channels: 3 };
        let pixels = recipe.apply_geometry("a.png", two_pixels(), input).unwrap();
        assert_eq!(pixels.pixel(0, 0), [14, 24, 34]);
        assert_eq!(pixels.pixel(3, 3), [36, 46, 56]);
    }

    #[test]
    fn an_image_of_any_size_can_be_fitted() {
        let geometry = |resize, crop| Recipe { resize, crop, ..Recipe::default() };
        let recipes = [geometry(None, None), geometry(Some(9), None), geometry(Some(9), Some(8))];
        let inputs = [(8, 8), (5, 8), (8, 5)].map(|(width, height)| InputShape {
            height,
            width,
            channels: 3,
        });
        for (width, height) in [(8, 8), (1, 1), (3, 40), (40, 3), (9, 8), (7, 8), (100, 75)] {
            let data = (0..3 * width * height).map(|at| at as u8).collect();
            let image = Pixels { width, height, channels: 3, data };
            for (recipe, input) in recipes.iter().flat_map(|r| inputs.iter().map(move |i| (r, *i)))
            {
                let (fitted, note) = recipe.fit("a.png", image.clone(), input).unwrap();
                assert_eq!((fitted.width, fitted.height), (input.width, input.height));
                assert_eq!(fitted.data.len(), 3 * input.width * input.height);
                let strict = recipe.apply_geometry("a.png", image.clone(), input);
                assert_eq!(note.is_none(), strict.is_ok(), "{note:?}");
                assert!(strict.is_err() || strict.unwrap() == fitted);
            }
        }
        // As --resize 8 --crop 8.
        let image = Pixels {
            width: 20,
            height: 11,
            channels: 3,
            data: (0..660).map(|at| at as u8).collect(),
        };
        let fitted = recipes[0].fit("a.png", image.clone(), inputs[0]).unwrap().0;
        assert_eq!(
            geometry(Some(8), Some(8)).apply_geometry("a.png", image, inputs[0]).unwrap(),
            fitted
        );
    }

    #[test]
    fn statistics_of_unscaled_values_are_doubted_without_the_scale() {
        let imagenet = [123.675, 116.28, 103.53];
        let (mean, std) = (imagenet, [58.395, 57.12, 57.375]);
        let doubt = |recipe: Recipe| recipe.doubt().unwrap_or_default();
        let line = doubt(Recipe { mean, ..Recipe::default() });
        assert!(line.starts_with("--mean 123.675,116.28,103.53: values are 0 to 1 "), "{line}");
        assert!(line.contains("--scale 1 "), "{line}");
        assert!(doubt(Recipe { std, ..Recipe::default() }).starts_with("--std 58.395,"));
        assert_eq!(Recipe { mean, std, scale: 1.0, ..Recipe::default() }.doubt(), None);
        let (mean, std) = ([0.485, 0.456, 1.0], [0.229, 1.0, 1.0]);
        assert_eq!(Recipe { mean, std, ..Recipe::default() }.doubt(), None);
    }

    #[test]
    fn impossible_values_are_refused() {
        let bad = [
            Recipe { scale: 0.0, ..Recipe::default() },
            Recipe { std: [1.0, 0.0, 1.0], ..Recipe::default() },
            Recipe { mean: [f32::NAN, 0.0, 0.0], ..Recipe::default() },
            Recipe { resize: Some(0), ..Recipe::default() },
            Recipe { resize: Some(200), crop: Some(224), ..Recipe::default() },
        ];
        for recipe in bad {
            assert!(recipe.validate().is_err(), "{recipe:?}");
        }
        assert_eq!(Recipe::default().validate(), Ok(()));
    }

    #[test]
    fn grey_and_alpha_have_recipes_of_their_own() {
        let grey = InputShape { height: 1, width: 2, channels: 1 };
        let pixels = Recipe::default().apply_geometry("a.png", two_pixels(), grey).unwrap();
        assert_eq!(pixels.data, [18, 48]);
        let recipe = Recipe { mean: [9.0; 3], std: [2.0; 3], scale: 0.5, ..Recipe::default() };
        assert_eq!(recipe.float_input(&pixels, InputLayout::Nchw), [0.0, 7.5]);
        let error = halves().check_input(grey).unwrap_err().to_string();
        assert!(error.starts_with("--mean 1,2,3: the network takes grey"), "{error}");
        let bgr = Recipe { channel_order: ChannelOrder::Bgr, ..Recipe::default() };
        assert_eq!(bgr.check_input(grey), Err(RecipeError::GreyOrder));

        let rgba = InputShape { channels: 4, ..grey };
        let recipe = Recipe { alpha_mean: 0.5, alpha_std: 0.25, ..Recipe { scale: 1.0, ..bgr } };
        let pixels = recipe.apply_geometry("a.png", two_pixels(), rgba).unwrap();
        let input = recipe.float_input(&pixels, InputLayout::Nhwc);
        assert_eq!(input, [30.0, 20.0, 10.0, 1018.0, 60.0, 50.0, 40.0, 1018.0]);
    }
}
