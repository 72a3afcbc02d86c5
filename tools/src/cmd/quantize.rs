//! `fixnet quantize`: the main job, from an ONNX file to a model file with its price.

mod float;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use fixnet::format::{ModelSpec, Target};
use fixnet::hybrid::HybridModel;
use fixnet::{AlignedBytes, KernelSet, Model};

use super::{
    LimitArgs, PreprocessArgs, Shape, open_images, over_images, parse_kernels, parse_shape,
    positive, progress, shown_family, thread_count, warn_once, with_spinner,
};
use crate::boards::{self, Board};
use crate::calibrate::{self, Bits, Method, Observed};
use crate::compare::{self, CompareError, Comparison, Subjects};
use crate::data::{DataError, OpenOptions, Recipe};
use crate::files::Destination;
use crate::images::Images;
use crate::output::{print, print_json};
use crate::packing::{self, parse_target};
use crate::quantize::{self, Options};
use crate::report;
use crate::source::{BUNDLED_NAME, Source};

/// Quantize an ONNX classifier to int8, plan its memory and say what that costs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without MODEL.onnx the bundled ResNet-20 for CIFAR-10 is quantized.")]
pub struct Args {
    /// The float network [default: the bundled ResNet-20].
    #[arg(value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    /// Calibration images: a folder, an image, or CIFAR-10 binary batches [default: generated].
    #[arg(long, value_name = "PATH")]
    calib: Option<PathBuf>,
    /// Images to calibrate on, in file-name or record order.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive())]
    calib_limit: usize,
    /// Images to compare on [default: those of --calib behind the calibration images, or generated].
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,
    /// Images to compare on, at most.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive())]
    limit: usize,
    /// Output file [default: the model's name with .fxn, here].
    #[arg(long, value_name = "FILE.fxn")]
    out: Option<PathBuf>,
    /// Shape of the input, for a model that leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape)]
    input_shape: Option<Shape>,
    /// How activation ranges are chosen.
    #[arg(long, value_enum, default_value_t)]
    method: Method,
    /// Bits of activations that direct convolutions read: with 7 AVX2 multiplies them as bytes.
    #[arg(long, value_enum, value_name = "N", default_value_t)]
    activation_bits: Bits,
    /// Seed of the generated images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Kernels to compare and time with [default: the fastest].
    #[arg(long, value_parser = parse_kernels)]
    kernels: Option<KernelSet>,
    /// Leave nodes without an int8 form in float, where they stand before or behind the residual
    /// blocks; such a file runs on machines with an operating system.
    #[arg(long)]
    partition: bool,
    /// What runs a network whole, in float, that has no int8 form.
    #[arg(long, value_enum)]
    fallback: Option<Fallback>,
    /// Refuse a model that this board cannot run or hold.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// Images at once, each on one thread [default: as many as there are cores].
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// Machine to lay the weights out for.
    #[arg(long, value_name = "NAME", default_value = "portable", value_parser = parse_target)]
    target: Target,
    /// Largest file: packed weights make it larger and the network faster.
    #[arg(long, value_name = "N", requires = "target")]
    max_bytes: Option<u64>,
    /// Do not compare with the float network.
    #[arg(long)]
    no_compare: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

/// A runtime for networks that have no int8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fallback {
    Tract,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    over_images(args.threads, || quantize(args))
}

fn quantize(args: &Args) -> anyhow::Result<ExitCode> {
    let board = args.board.as_deref().map(Board::load).transpose()?;
    // Before the network is loaded, which takes long.
    args.out.as_deref().map(|out| destination(args, out)).transpose()?;
    let network = with_spinner("loading", || float::load(args))?;
    let name = network.name();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.fxn")));
    let out = destination(args, &out)?;
    if let Some(board) = &board {
        float::check_board(board, &network)?;
    }
    match network {
        float::Loaded::Split(source) => quantize_source(args, &source, board.as_ref(), out),
        float::Loaded::Whole { path, part, reason } => {
            float::write_whole(args, &path, &part, &reason, board.as_ref(), &out)
        }
    }
}

/// Where the model file goes: over nothing that it is made from, images excepted.
fn destination(args: &Args, out: &Path) -> anyhow::Result<Destination> {
    let out = Destination::new(out)?;
    let given = [&args.model, &args.preprocess.mean_image, &args.preprocess.zoo];
    let given = given.into_iter().flatten().map(PathBuf::as_path);
    let out = out.apart_from(given)?;
    let Some(model) = args.model.as_deref().filter(|_| out.exists()) else { return Ok(out) };
    let external = crate::import::external_files(model);
    out.apart_from(external.iter().map(PathBuf::as_path))
}

fn quantize_source(
    args: &Args,
    source: &Source,
    board: Option<&Board>,
    out: Destination,
) -> anyhow::Result<ExitCode> {
    args.limits.check_macs(&source.file(), source.network.macs())?;
    let mut notes = Vec::new();
    let recipe = recipe(args, source)?;
    recipe.doubt().into_iter().for_each(|doubt| warn_once(&doubt, &mut notes));
    let calibration = calibration_images(args, &mut notes)?;
    let judged = match args.no_compare {
        true => None,
        false => Some(comparison_images(args, source, &mut notes)?),
    };
    let judging = judged.iter().flat_map(|(images, _)| images.files());
    let out = out.apart_from(calibration.files().into_iter().chain(judging))?;
    let options = Options {
        method: args.method,
        activation_bits: args.activation_bits,
        ..Options::default()
    };
    let spec = specify(source, &calibration, &recipe, options)?;
    let portable = model_file(source, &spec.clone().with_whole_tensors())?;
    let packed =
        packing::pack(&spec, args.target, args.max_bytes).with_context(|| source.file())?;
    let bytes = model_file(source, &packed)?;
    let model = args.limits.check_model(out.path(), &bytes)?;
    let file = || source.file();
    if let Some(board) = board {
        fit(board, &model).with_context(file)?;
    }
    let kernels = args.kernels.unwrap_or_else(KernelSet::detect);
    let portable = args.limits.check_model(out.path(), &portable)?;
    let subjects = source.subjects(portable, &recipe, kernels).with_context(file)?;
    let (comparison, origin) = match &judged {
        Some((images, origin)) => {
            let layer_images = super::compare::LAYER_IMAGES;
            let comparison = run_comparison(&subjects, images, layer_images);
            (Some(comparison.map_err(|e| about(e, &source.file()))?), origin.as_deref())
        }
        None => (None, None),
    };
    let timings = match kernels.family().runs(model.target()) {
        true => {
            let hybrid = HybridModel::load(&model).with_context(file)?;
            report::time_plan(&hybrid, kernels).with_context(file)?
        }
        false => Vec::new(),
    };
    out.write(&bytes)?;
    let summary = report::Summary {
        file: out.path(),
        model: &model,
        kernels: shown_family(&model, args.kernels.map(KernelSet::family)),
        timings: &timings,
        comparison: comparison.as_ref(),
        images: origin,
        notes: &notes,
    };
    if args.json {
        print_json(&summary.json())?;
    } else {
        print(&summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a model that is too large for `board`, however it runs there.
fn fit(board: &Board, model: &Model<'_>) -> anyhow::Result<()> {
    let bare_metal = board.bare_metal.is_some() && model.float_parts().next().is_none();
    let refused = match bare_metal {
        true => boards::fit_bare_metal(board, model).err(),
        false => boards::fit_linux(board, model, 0).err(),
    };
    match refused {
        Some(_) if bare_metal && board.linux.is_some() => {
            boards::fit_linux(board, model, 0)?;
            Ok(())
        }
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// The preprocessing that the flags and the zoo give.
fn recipe(args: &Args, source: &Source) -> anyhow::Result<Recipe> {
    let preset = args.model.is_none().then_some(BUNDLED_NAME);
    let preprocessing = args.preprocess.resolve(preset)?;
    if let Some(layout) = preprocessing.layout.filter(|&layout| layout != source.layout) {
        anyhow::bail!(
            "--layout {layout:?}: the input of {} is {:?}; leave the flag out",
            source.name,
            source.layout
        );
    }
    preprocessing.recipe.check_mean_image(source.input_size())?;
    Ok(preprocessing.recipe)
}

fn calibration_images(args: &Args, notes: &mut Vec<String>) -> anyhow::Result<Images> {
    let limit = Some(args.calib_limit);
    Ok(match &args.calib {
        Some(path) => open_images(path, &OpenOptions { limit, ..OpenOptions::default() }, notes)?,
        None => Images::for_calibration(args.seed, args.calib_limit),
    })
}

/// The bytes of a model file.
///
/// # Errors
/// One line that names the ONNX file.
pub fn model_file(source: &Source, spec: &ModelSpec) -> anyhow::Result<AlignedBytes> {
    let written = fixnet::format::write(spec).context("the planned file is inconsistent");
    written.with_context(|| source.file())
}

/// Calibrates, quantizes and plans: a portable network.
///
/// # Errors
/// One line that names the ONNX file, or the image that cannot be used.
pub fn specify(
    source: &Source,
    images: &Images,
    recipe: &Recipe,
    options: Options,
) -> anyhow::Result<ModelSpec> {
    let observed = observe(source, images, recipe)?;
    let (head, tail) = (source.head.as_ref(), source.tail.as_ref());
    let (name, network) = (&source.name, &source.network);
    let quantized =
        quantize::quantize_between(head, tail, name, network, &observed, recipe, options);
    Ok(quantized.with_context(|| source.file())?.spec)
}

/// Runs the float network on the calibration images.
///
/// # Errors
/// The first image that fails, or what the network makes of it.
pub fn observe(source: &Source, images: &Images, recipe: &Recipe) -> anyhow::Result<Vec<Observed>> {
    let bar = progress("calibrating", images.len());
    let image = |index: usize| -> anyhow::Result<Vec<f32>> {
        let sample = images.sample(index, recipe, source.input_size())?;
        Ok(source.inner_input(recipe, &sample.pixels)?)
    };
    let done = || bar.inc(1);
    let observed = calibrate::calibrate(&source.network, &source.inner, images.len(), image, done);
    bar.finish_and_clear();
    observed.map_err(|error| about(error, &source.file()))
}

/// Names the file of the network, unless the error is about an image, which it names itself.
#[must_use]
pub fn about(error: anyhow::Error, file: &str) -> anyhow::Error {
    let of_image = error.is::<DataError>()
        || matches!(
            error.downcast_ref(),
            Some(CompareError::Data(_) | CompareError::NotFinite { .. })
        );
    if of_image { error } else { error.context(file.to_string()) }
}

/// What to compare on: `--images`; else the calibration folder's images behind those that were
/// calibrated on, or these themselves if there are no others; else generated images.
fn comparison_images(
    args: &Args,
    source: &Source,
    notes: &mut Vec<String>,
) -> anyhow::Result<(Images, Option<String>)> {
    let (limit, classes) = (Some(args.limit), Some(source.classes()));
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

/// Compares, with a progress bar.
///
/// # Errors
/// The first image that fails.
pub fn run_comparison(
    subjects: &Subjects<'_>,
    images: &Images,
    layer_images: usize,
) -> anyhow::Result<Comparison> {
    let bar = progress("comparing", images.len());
    let comparison = compare::compare(subjects, images, layer_images, || bar.inc(1));
    bar.finish_and_clear();
    Ok(comparison?)
}
