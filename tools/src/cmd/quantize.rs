//! `fixnet quantize`: the main job, from an ONNX file to a model file with its price.

mod args;
mod inputs;
mod load;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use fixnet::format::Target;
use fixnet::hybrid::{HybridError, HybridModel};
use fixnet::{KernelSet, Model};

use super::{Bars, in_thread_pool, network_remedy, shown_family, warn_once, with_spinner};
use crate::boards::{self, Board};
use crate::compare::CompareOptions;
use crate::files::Destination;
use crate::output::{self, print, print_json};
use crate::pipeline::{FloatOnly, Loaded, Lowered, PipelineError};
use crate::report::{self, LayerTime, Summary};
pub use args::Args;
use inputs::Inputs;

/// Fewer calibration images are gone through as soon as it is found out whether they are worth it.
const REHEARSED_FROM: usize = 16;

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    in_thread_pool(args.threads, || quantize(args))
}

fn quantize(args: &Args) -> anyhow::Result<ExitCode> {
    let board = args.board.as_deref().map(Board::load).transpose()?;
    // Before the network is loaded, which takes long.
    args.out.as_deref().map(|out| inputs::destination(args, out)).transpose()?;
    let network = with_spinner("loading", || load::load(args))?;
    let out = match &args.out {
        Some(out) => inputs::destination(args, out)?,
        None => inputs::destination(args, Path::new(&format!("{}.fxn", network.name())))?,
    };
    if let Some(board) = &board {
        let nodes = network.float_nodes();
        let nodes: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.op.as_str())).collect();
        boards::check_float_nodes(board, &nodes)
            .with_context(|| network.path().display().to_string())?;
    }
    match network {
        Loaded::Int8(lowered) => write_int8(args, &lowered, board.as_ref(), out),
        Loaded::Float { network, reason } => {
            write_float(args, &network, &reason, board.as_ref(), &out)
        }
    }
}

/// What of the parts in float nothing but tract itself has computed.
fn unjudged_note(path: &Path, nodes: &[(String, String)]) -> Option<String> {
    const SHOWN: usize = 4;
    let named = |(name, op): &(String, String)| {
        format!("node \"{}\" ({})", output::name(name), output::name(op))
    };
    let mut names: Vec<String> = nodes.iter().take(SHOWN).map(named).collect();
    if nodes.len() > SHOWN {
        names.push(format!("{} more", nodes.len() - SHOWN));
    }
    (!names.is_empty()).then(|| {
        format!(
            "{}: {}: computed by tract alone, for the independent run of the file that judges it does not know \
             this operator or its spelling",
            path.display(),
            names.join(", ")
        )
    })
}

/// Quantizes, compares, and writes the file.
fn write_int8(
    args: &Args,
    lowered: &Arc<Lowered>,
    board: Option<&Board>,
    out: Destination,
) -> anyhow::Result<ExitCode> {
    let file = || lowered.path.display().to_string();
    let explained = |error: PipelineError| anyhow!("{error}{}", network_remedy(&error));
    let limits = args.limits.limits();
    lowered.check_limits(&limits).map_err(explained)?;
    let mut inputs = Inputs::open(args, lowered)?;
    if let Some(note) = unjudged_note(&lowered.path, &lowered.unjudged) {
        warn_once(&note, &mut inputs.notes);
    }
    let out = out.apart_from(inputs.files())?;
    // Before many images are gone through.
    if inputs.calibration.len() > REHEARSED_FROM {
        let (images, recipe) = (&inputs.calibration, inputs.recipe.as_ref());
        let options = (args.quantize_options(), &args.pack_options());
        let rehearse = || lowered.rehearse(images, recipe, options, &limits);
        with_spinner("checking", rehearse).map_err(explained)?;
    }
    let observed =
        lowered.observe(&inputs.calibration, inputs.recipe.as_ref(), &Bars::default())?;
    if let Some([(low, high), (least, most)]) = observed.beyond_images() {
        let note = format!(
            "{}: the calibration tensors hold values from {low} to {high}, and images give {least} to {most}; \
             --input tensor makes a network of tensors",
            file()
        );
        warn_once(&note, &mut inputs.notes);
    }
    let mut planned = observed.quantize(args.quantize_options())?.plan();
    planned.spec.labels = std::mem::take(&mut inputs.labels);
    let packed = planned.pack(&args.pack_options())?;
    let model = args.limits.check_model(out.path(), &packed.bytes)?;
    if let Some(board) = board {
        boards::fit(board, &model).with_context(file)?;
    }
    args.limits.check_model(out.path(), &packed.whole)?;
    let kernels = args.kernels.unwrap_or_else(KernelSet::detect);
    let options = CompareOptions { kernels, limits, ..CompareOptions::default() };
    let comparison = match &inputs.comparison {
        Some(images) => Some(packed.compare(images, &options, &Bars::default())?),
        None => None,
    };
    let timings = times(&model, kernels).with_context(file)?;
    out.write(&packed.bytes)?;
    let summary = Summary {
        file: out.path(),
        model: &model,
        kernels: shown_family(&model, args.kernels.map(KernelSet::family)),
        timings: &timings,
        comparison: comparison.as_ref(),
        images: inputs.origin.as_deref(),
        notes: &inputs.notes,
    };
    print_summary(args, &summary)
}

/// The time of each layer on this machine; none if the file is packed for another one.
fn times(model: &Model<'_>, kernels: KernelSet) -> Result<Vec<LayerTime>, HybridError> {
    match kernels.family().runs(model.target()) {
        true => report::time_plan(&HybridModel::load(model)?, kernels),
        false => Ok(Vec::new()),
    }
}

/// Writes a file that tract runs whole.
fn write_float(
    args: &Args,
    network: &FloatOnly,
    reason: &PipelineError,
    board: Option<&Board>,
    out: &Destination,
) -> anyhow::Result<ExitCode> {
    ensure!(
        args.target == Target::Portable,
        "--target {}: the whole network stays in float and has no weights to pack; leave the flag out",
        args.target.name()
    );
    let file = || network.path.display().to_string();
    args.limits.check_macs(&network.path, network.part.macs())?;
    let mut notes = Vec::new();
    if let Some(note) = unjudged_note(&network.path, &network.unjudged) {
        warn_once(&note, &mut notes);
    }
    let recipe = inputs::recipe(args, None, network.input_shape(), None, &mut notes)?;
    let labels = inputs::class_names(args, network.part.output[2])?;
    let bytes = network.pack(recipe.as_ref(), labels)?;
    let model = args.limits.check_model(out.path(), &bytes)?;
    if let Some(board) = board {
        boards::fit(board, &model).with_context(file)?;
    }
    out.write(&bytes)?;
    let reason = format!("{reason}; the whole network stays in float and is run by tract");
    warn_once(&reason, &mut notes);
    let summary = Summary {
        file: out.path(),
        model: &model,
        kernels: shown_family(&model, args.kernels.map(KernelSet::family)),
        timings: &[],
        comparison: None,
        images: None,
        notes: &notes,
    };
    print_summary(args, &summary)
}

fn print_summary(args: &Args, summary: &Summary<'_>) -> anyhow::Result<ExitCode> {
    if args.json {
        print_json(&summary.json())?;
    } else {
        print(&summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}
