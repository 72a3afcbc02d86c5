//! What `fixnet quantize` is given besides the network: preprocessing, images, and a name for its file.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use super::Args;
use super::args::InputKind;
use crate::cmd::{open_images, warn_once};
use crate::data::{self, DataError, InputShape, OpenOptions, Recipe};
use crate::files::{Destination, FileError};
use crate::graph::InputLayout;
use crate::images::Images;
use crate::import::external_files;
use crate::pipeline::{BUNDLED_NAME, Lowered};

/// Preprocessing and images.
pub(super) struct Inputs {
    /// Of images; none for a network that takes tensors.
    pub recipe: Option<Recipe>,
    pub calibration: Images,
    /// None with `--no-compare`.
    pub comparison: Option<Images>,
    /// Where those come from; `None`: they are generated.
    pub origin: Option<String>,
    /// Names of the classes, or none.
    pub labels: Vec<String>,
    /// What was warned of.
    pub notes: Vec<String>,
}

impl Inputs {
    pub fn open(args: &Args, lowered: &Lowered) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let labels = class_names(args, lowered.classes())?;
        let own = Some((lowered.name.as_str(), lowered.layout));
        let calibration = calibration_images(args, &mut notes)?;
        let recipe = recipe(args, own, lowered.input_shape(), Some(&calibration), &mut notes)?;
        if recipe.is_none() && args.calib.is_none() {
            warn_once(&generated_note(lowered), &mut notes);
        }
        let (comparison, origin) = match args.no_compare {
            true => (None, None),
            false => {
                let (images, origin) = comparison_images(args, lowered.classes(), &mut notes)?;
                (Some(images), origin)
            }
        };
        Ok(Self { recipe, calibration, comparison, origin, labels, notes })
    }

    /// The files of all images.
    pub fn files(&self) -> Vec<&Path> {
        let sets = std::iter::once(&self.calibration).chain(&self.comparison);
        sets.flat_map(Images::files).collect()
    }
}

/// The names that `--labels` gives, for so many classes; none without it.
pub(super) fn class_names(args: &Args, classes: usize) -> Result<Vec<String>, DataError> {
    args.labels.as_deref().map_or(Ok(Vec::new()), |path| data::class_names(path, classes))
}

/// Where the model file goes: over nothing that it is made from, images excepted.
pub(super) fn destination(args: &Args, out: &Path) -> Result<Destination, FileError> {
    let out = Destination::new(out)?;
    let given = [&args.model, &args.preprocess.mean_image, &args.preprocess.zoo, &args.labels];
    let given = given.into_iter().flatten().map(PathBuf::as_path);
    let out = out.apart_from(given)?;
    let Some(model) = args.model.as_deref().filter(|_| out.exists()) else { return Ok(out) };
    let external = external_files(model);
    out.apart_from(external.iter().map(PathBuf::as_path))
}

/// Ranges of noise are not those of what a network is made for.
fn generated_note(lowered: &Lowered) -> String {
    format!(
        "{}: is calibrated on generated noise of mean 0 and deviation 1; give --calib a folder of .npy \
         files of what it is to run on",
        lowered.path.display()
    )
}

/// Whether the network takes images: what `--input` says; else whether it can, and `calibration` does not
/// hold its own values.
fn takes_images(
    args: &Args,
    shape: InputShape,
    calibration: Option<&Images>,
) -> anyhow::Result<bool> {
    let channels = shape.channels;
    let flag = args.preprocess.of_images();
    let images = match args.input {
        Some(InputKind::Image) => {
            ensure!(
                shape.is_image(),
                "--input image: the network's input has {channels} channels, and images have 1, 3 or 4"
            );
            true
        }
        Some(InputKind::Tensor) => false,
        None if flag.is_some() => shape.is_image(),
        None => shape.is_image() && !calibration.map_or(Ok(false), Images::holds_reals)?,
    };
    match flag.filter(|_| !images) {
        None => Ok(images),
        Some(flag) => bail!(
            "{flag}: is about images, and the network takes tensors of {channels} channels; leave it out"
        ),
    }
}

/// The preprocessing that the flags and the zoo give, for an input of this shape; none if the network takes
/// no images. `network` is the name and the layout of one that `--layout` must agree with.
pub(super) fn recipe(
    args: &Args,
    network: Option<(&str, InputLayout)>,
    shape: InputShape,
    calibration: Option<&Images>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<Recipe>> {
    let preset = args.model.is_none().then_some(BUNDLED_NAME);
    let preprocessing = args.preprocess.resolve(preset)?;
    if let (Some((name, own)), Some(given)) = (network, preprocessing.layout)
        && given != own
    {
        bail!("--layout {given:?}: the input of {name} is {own:?}; leave the flag out");
    }
    if !takes_images(args, shape, calibration)? {
        return Ok(None);
    }
    let recipe = preprocessing.recipe;
    recipe.check_input(shape)?;
    recipe.doubt().into_iter().for_each(|doubt| warn_once(&doubt, notes));
    Ok(Some(recipe))
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
    // What has no classes has no labels.
    let (limit, classes) = (Some(args.limit), Some(classes).filter(|&classes| classes > 0));
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
