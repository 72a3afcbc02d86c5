//! The preprocessing flags that commands with images share.

use std::path::PathBuf;

use clap::Args;

use crate::data::{ChannelOrder, MeanImage, Preprocessing, Recipe, Resizing};
use crate::graph::InputLayout;
use crate::zoo::Zoo;

/// Flags win over the preset of `--preset`, which wins over the defaults.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Preprocessing")]
pub struct PreprocessArgs {
    /// Start from the preprocessing of this zoo entry (`fixnet fetch` lists them).
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,

    /// Read zoo entries from this file instead of the built-in list.
    #[arg(long, value_name = "FILE.toml")]
    pub zoo: Option<PathBuf>,

    /// Subtracted from each colour after scaling: R,G,B, one number for all, or R,G,B,A.
    #[arg(long, value_name = "R,G,B", value_parser = parse_channels, allow_hyphen_values = true)]
    pub mean: Option<PerChannel>,

    /// Divides each colour after the mean is subtracted; as many numbers.
    #[arg(long, value_name = "R,G,B", value_parser = parse_channels)]
    pub std: Option<PerChannel>,

    /// Multiplies the 8-bit values; a number or a fraction [default: 1/255].
    #[arg(long, value_name = "S", value_parser = parse_fraction)]
    pub scale: Option<f32>,

    /// Resize the shorter side of every image to N pixels (bilinear, antialiased).
    #[arg(long, value_name = "N")]
    pub resize: Option<u32>,

    /// Cut an NxN square from the middle, after resizing.
    #[arg(long, value_name = "N")]
    pub crop: Option<u32>,

    /// Layout of the network's input tensor [default: as found in the model].
    #[arg(long, value_name = "nchw|nhwc")]
    pub layout: Option<InputLayout>,

    /// Order of the network's input channels [default: rgb].
    #[arg(long, value_name = "ORDER")]
    pub channels: Option<ChannelOrder>,

    /// Per-pixel mean in units of 8-bit values, subtracted before scaling: HxWxC or CxHxW.
    #[arg(long, value_name = "FILE.npy")]
    pub mean_image: Option<PathBuf>,
}

/// A number for each channel of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerChannel {
    colours: [f32; 3],
    alpha: Option<f32>,
}

/// How single images get the network's size, where it is not as the model file says.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct GeometryArgs {
    /// Resize the shorter side of every image to N pixels [default: as the model file says, or to what
    /// the network takes].
    #[arg(long, value_name = "N", help_heading = "Preprocessing")]
    pub resize: Option<u32>,

    /// Cut an NxN square from the middle, after resizing [default: likewise].
    #[arg(long, value_name = "N", help_heading = "Preprocessing")]
    pub crop: Option<u32>,
}

impl GeometryArgs {
    /// The flags, as images are read by them.
    #[must_use]
    pub fn resizing(self) -> Resizing {
        Resizing { resize: self.resize, crop: self.crop }
    }
}

impl PreprocessArgs {
    /// The first flag that was given and says something about images.
    #[must_use]
    pub fn of_images(&self) -> Option<&'static str> {
        let flags = [
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
            ("--scale", self.scale.is_some()),
            ("--resize", self.resize.is_some()),
            ("--crop", self.crop.is_some()),
            ("--channels", self.channels.is_some()),
            ("--mean-image", self.mean_image.is_some()),
            ("--preset", self.preset.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Resolves the flags; `default_preset` names the zoo entry to start from if `--preset` was not
    /// given.
    ///
    /// # Errors
    /// One line that names the flag, the entry or the file.
    pub fn resolve(&self, default_preset: Option<&str>) -> anyhow::Result<Preprocessing> {
        let zoo = Zoo::open(self.zoo.as_deref())?;
        let mut preprocessing = match self.preset.as_deref().or(default_preset) {
            Some(name) => zoo.get(name)?.preprocessing(),
            None => Preprocessing { recipe: Recipe::default(), layout: None },
        };
        self.override_recipe(&mut preprocessing.recipe)?;
        preprocessing.layout = self.layout.or(preprocessing.layout);
        preprocessing.recipe.validate()?;
        Ok(preprocessing)
    }

    fn override_recipe(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        if let Some(PerChannel { colours, alpha }) = self.mean {
            recipe.mean = colours;
            recipe.alpha_mean = alpha.unwrap_or(recipe.alpha_mean);
        }
        if let Some(PerChannel { colours, alpha }) = self.std {
            recipe.std = colours;
            recipe.alpha_std = alpha.unwrap_or(recipe.alpha_std);
        }
        recipe.scale = self.scale.unwrap_or(recipe.scale);
        recipe.resize = self.resize.or(recipe.resize);
        recipe.crop = self.crop.or(recipe.crop);
        recipe.channel_order = self.channels.unwrap_or(recipe.channel_order);
        if let Some(path) = &self.mean_image {
            recipe.mean_image = Some(MeanImage::read(path)?);
        }
        Ok(())
    }
}

fn parse_channels(text: &str) -> Result<PerChannel, String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    match numbers.unwrap_or_default()[..] {
        [all] => Ok(PerChannel { colours: [all; 3], alpha: None }),
        [r, g, b] => Ok(PerChannel { colours: [r, g, b], alpha: None }),
        [r, g, b, a] => Ok(PerChannel { colours: [r, g, b], alpha: Some(a) }),
        _ => Err("expected three numbers, as 0.485,0.456,0.406, or one or four".to_owned()),
    }
}

fn parse_fraction(text: &str) -> Result<f32, String> {
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    match (numerator.trim().parse::<f32>(), denominator.trim().parse::<f32>()) {
        (Ok(numerator), Ok(denominator)) => Ok(numerator / denominator),
        _ => Err("expected a number or a fraction, as 1/255".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        preprocess: PreprocessArgs,
    }

    fn resolve(flags: &[&str]) -> anyhow::Result<Preprocessing> {
        let command = Command::try_parse_from(std::iter::once(&"test").chain(flags))?;
        command.preprocess.resolve(None)
    }

    #[test]
    fn flags_win_over_the_preset_and_the_preset_over_defaults() {
        let flags = ["--preset", "imagenet", "--crop", "200", "--mean", "-1,0,1"];
        let resolved = resolve(&flags).unwrap();
        assert_eq!(resolved.recipe.crop, Some(200));
        assert_eq!(resolved.recipe.mean, [-1.0, 0.0, 1.0]);
        assert_eq!(resolved.recipe.resize, Some(256));
        assert_eq!(resolved.recipe.std, [0.229, 0.224, 0.225]);
        assert_eq!(resolved.recipe.scale, 1.0 / 255.0);
    }

    #[test]
    fn without_flags_pixels_are_scaled_to_one() {
        assert_eq!(resolve(&[]).unwrap().recipe, Recipe::default());
        assert_eq!(PreprocessArgs::default().of_images(), None);
    }

    #[test]
    fn layout_scale_and_channels_are_understood() {
        let resolved =
            resolve(&["--layout", "nhwc", "--scale", "1/128", "--channels", "bgr"]).unwrap();
        assert_eq!(resolved.layout, Some(InputLayout::Nhwc));
        assert_eq!(resolved.recipe.scale, 1.0 / 128.0);
        assert_eq!(resolved.recipe.channel_order, ChannelOrder::Bgr);
    }

    #[test]
    fn one_number_is_for_every_colour_and_a_fourth_for_alpha() {
        let recipe = resolve(&["--mean", "0.5", "--std", "1,2,3,4"]).unwrap().recipe;
        assert_eq!((recipe.mean, recipe.alpha_mean), ([0.5; 3], 0.0));
        assert_eq!((recipe.std, recipe.alpha_std), ([1.0, 2.0, 3.0], 4.0));
    }

    #[test]
    fn bad_values_are_refused() {
        let bad: [&[&str]; 7] = [
            &["--mean", "1,2"],
            &["--std", "1,0,1"],
            &["--scale", "1/0"],
            &["--layout", "chw"],
            &["--crop", "0"],
            &["--preset", "no-such-entry"],
            &["--mean-image", "no-such-file.npy"],
        ];
        for flags in bad {
            assert!(resolve(flags).is_err(), "{flags:?}");
        }
    }
}
