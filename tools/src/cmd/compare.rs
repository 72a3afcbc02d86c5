//! `fixnet compare`: an int8 model file against the float network that it was made from.

use std::path::PathBuf;
use std::process::ExitCode;

use fixnet::Model;
use serde_json::json;

use super::{
    Bars, KernelArgs, LimitArgs, Shape, import_options, in_thread_pool, open_images, parse_shape,
    positive, read_model, thread_count, whole_and_portable, with_spinner,
};
use crate::cmd::InFile;
use crate::compare::{CompareOptions, Comparison, LAYER_IMAGES};
use crate::data::OpenOptions;
use crate::images::Images;
use crate::output::{self, print, print_json};
use crate::pipeline::{PipelineError, Source};
use crate::report;

/// Compare a model file with the float network that it was made from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The float network.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// A folder of images or .npy files, one such file, or CIFAR-10 binary batches [default: generated].
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,
    /// Images to pass over first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// Images to compare on, at most [default: all, or 256 generated ones].
    #[arg(long, value_name = "N", value_parser = positive())]
    limit: Option<usize>,
    /// Images that the per-layer figures come from.
    #[arg(long, value_name = "N", default_value_t = LAYER_IMAGES, value_parser = positive())]
    layer_images: usize,
    /// Exit with 1 if int8 top-1 is more than this many points below float top-1.
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,
    /// Shape of the input, for a model that leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape)]
    input_shape: Option<Shape>,
    /// Seed of the generated images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Images at once, each on one thread [default: as many as there are cores].
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    in_thread_pool(args.threads, || compare(args))
}

fn compare(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = whole_and_portable(&args.file, &read_model(&args.file)?, args.limits)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    let options = import_options(args.input_shape.as_ref(), &[]);
    let network = with_spinner("loading", || Source::open(&args.model)?.lower_as(&model, &options))
        .in_file(&args.model)?;
    let mut notes = Vec::new();
    let images = images(args, &model, &mut notes)?;
    let kernels = args.kernels.choose(&args.file, &model)?;
    let (layer_images, limits) = (args.layer_images, args.limits.limits());
    let options = CompareOptions { kernels, layer_images, limits };
    let comparison = network
        .compare(model, &images, &options, &Bars::default())
        .map_err(|error| PipelineError::compare(&args.file, error))?;
    let drop = drop_over_limit(args, &comparison)?;
    if args.json {
        let mut json = serde_json::to_value(&comparison)?;
        json["notes"] = json!(notes);
        print_json(&json)?;
    } else {
        let origin = args.images.as_ref().map(|path| path.display().to_string());
        print(&report::comparison_text(&comparison, origin.as_deref()))?;
    }
    if let Some((drop, limit)) = drop {
        let reason = format!("top-1 drops by {drop:.2} points, more than --max-drop {limit}");
        output::error(&format!("{}: {reason}", args.file.display()));
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// What to compare on.
fn images(args: &Args, model: &Model<'_>, notes: &mut Vec<String>) -> anyhow::Result<Images> {
    let Some(path) = &args.images else {
        return Ok(Images::for_comparison(args.seed, args.limit.unwrap_or(256)));
    };
    let classes = Some(model.classes()).filter(|&classes| classes > 0);
    open_images(path, &OpenOptions { skip: args.skip, limit: args.limit, classes }, notes)
}

/// The drop of top-1 and its limit, if there is one and the drop is larger.
fn drop_over_limit(args: &Args, comparison: &Comparison) -> anyhow::Result<Option<(f64, f64)>> {
    let Some(limit) = args.max_drop else { return Ok(None) };
    let Some(drop) = comparison.drop_points() else {
        let images = args.images.as_ref().map(|path| path.display().to_string());
        anyhow::bail!(
            "{}: --max-drop needs labels, and not all of these images have one",
            images.as_deref().unwrap_or("generated images")
        )
    };
    Ok((drop > limit).then_some((drop, limit)))
}
