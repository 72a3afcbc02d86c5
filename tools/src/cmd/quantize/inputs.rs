//! What `fixnet quantize` is given besides the network: preprocessing, images, and a name for its file.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Args;
use crate::cmd::{open_images, warn_once};
use crate::data::{InputSize, OpenOptions, Recipe};
use crate::files::{Destination, FileError};
use crate::graph::InputLayout;
use crate::images::Images;
use crate::import::external_files;
use crate::pipeline::{BUNDLED_NAME, Lowered};

/// Preprocessing and images.
pub(super) struct Inputs {
    pub recipe: Recipe,
    pub calibration: Images,
    /// None with `--no-compare`.
    pub comparison: Option<Images>,
    /// Where those come from; `None`: they are generated.
    pub origin: Option<String>,
    /// What was warned of.
    pub notes: Vec<String>,
}

impl Inputs {
    pub fn open(args: &Args, lowered: &Lowered) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let own = Some((lowered.name.as_str(), lowered.layout));
        let recipe = recipe(args, own, lowered.input_size(), &mut notes)?;
        let calibration = calibration_images(args, &mut notes)?;
        let (comparison, origin) = match args.no_compare {
            true => (None, None),
            false => {
                let (images, origin) = comparison_images(args, lowered.classes(), &mut notes)?;
                (Some(images), origin)
            }
        };
        Ok(Self { recipe, calibration, comparison, origin, notes })
    }

    /// The files of all images.
    pub fn files(&self) -> Vec<&Path> {
        let sets = std::iter::once(&self.calibration).chain(&self.comparison);
        sets.flat_map(Images::files).collect()
    }
}

/// Where the model file goes: over nothing that it is made from, images excepted.
pub(super) fn destination(args: &Args, out: &Path) -> Result<Destination, FileError> {
    let out = Destination::new(out)?;
    let given = [&args.model, &args.preprocess.mean_image, &args.preprocess.zoo];
    let given = given.into_iter().flatten().map(PathBuf::as_path);
    let out = out.apart_from(given)?;
    let Some(model) = args.model.as_deref().filter(|_| out.exists()) else { return Ok(out) };
    let external = external_files(model);
    out.apart_from(external.iter().map(PathBuf::as_path))
}

/// The preprocessing that the flags and the zoo give, for an input of `size`; `network` is the name and
/// the layout of one that `--layout` must agree with.
pub(super) fn recipe(
    args: &Args,
    network: Option<(&str, InputLayout)>,
    size: InputSize,
    notes: &mut Vec<String>,
) -> anyhow::Result<Recipe> {
    let preset = args.model.is_none().then_some(BUNDLED_NAME);
    let preprocessing = args.preprocess.resolve(preset)?;
    if let (Some((name, own)), Some(given)) = (network, preprocessing.layout)
        && given != own
    {
        bail!("--layout {given:?}: the input of {name} is {own:?}; leave the flag out");
    }
    let recipe = preprocessing.recipe;
    recipe.check_mean_image(size)?;
    recipe.doubt().into_iter().for_each(|doubt| warn_once(&doubt, notes));
    Ok(recipe)
}

fn calibration_images(args: &Args, notes: &mut Vec<String>) -> anyhow::Result<Images> {
    let limit = Some(args.calib_limit);
    Ok(match &args.calib {
        Some(path) => open_images(path, &OpenOptions { limit, ..OpenOptions::default() }, notes)?,
        None => Images::for_calibration(args.seed, args.calib_limit),
    })
}

/// What to compare on, and where it comes from: `--images`; else the calibration folder's images behind
/// those that were calibrated on, or these themselves if there are no others; else generated images.
fn comparison_images(
    args: &Args,
    classes: usize,
    notes: &mut Vec<String>,
) -> anyhow::Result<(Images, Option<String>)> {
    let (limit, classes) = (Some(args.limit), Some(classes));
    let from_start = OpenOptions { limit, classes, ..OpenOptions::default() };
    if let Some(path) = &args.images {
        let images = open_images(path, &from_start, notes)?;
        return Ok((images, Some(path.display().to_string())));
    }
    let Some(path) = &args.calib else {
        return Ok((Images::for_comparison(args.seed, args.limit), None));
    };
    let behind = OpenOptions { skip: args.calib_limit, limit, classes };
    if let Ok(images) = open_images(path, &behind, notes) {
        let origin = format!("{}, not calibrated on", path.display());
        return Ok((images, Some(origin)));
    }
    let images = open_images(path, &from_start, notes)?;
    Ok((images, Some(format!("{}, which were calibrated on", path.display()))))
}
