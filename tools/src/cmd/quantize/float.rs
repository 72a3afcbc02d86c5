//! `fixnet quantize --partition` and `--fallback`: what stays in float.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use fixnet::format::Target;

use super::{Args, fit};
use crate::boards::Board;
use crate::cmd::{shown_family, warn_once};
use crate::files::Destination;
use crate::import::{ImportError, ImportOptions, OnnxFile, Problem};
use crate::lower::LowerError;
use crate::output::{self, print, print_json};
use crate::partition::{self, FloatNode, Part, PartitionError};
use crate::quantize;
use crate::report;
use crate::source::{Source, name_of};

/// A network on its way into a model file.
pub(super) enum Loaded {
    /// Int8, maybe between float ends.
    Split(Box<Source>),
    /// Float as a whole, and why.
    Whole { path: PathBuf, part: Part, reason: String },
}

impl Loaded {
    pub fn name(&self) -> String {
        match self {
            Self::Split(source) => source.name.clone(),
            Self::Whole { path, .. } => name_of(path),
        }
    }

    /// The ONNX file.
    fn path(&self) -> &Path {
        match self {
            Self::Split(source) => &source.path,
            Self::Whole { path, .. } => path,
        }
    }

    /// The nodes that stay in float.
    fn nodes(&self) -> Vec<&FloatNode> {
        let parts: Vec<&Part> = match self {
            Self::Split(source) => source.head.iter().chain(&source.tail).collect(),
            Self::Whole { part, .. } => vec![part],
        };
        parts.into_iter().flat_map(|part| &part.nodes).collect()
    }
}

/// The network in int8; failing that, as the flags allow, in parts, or whole in float.
pub(super) fn load(args: &Args) -> anyhow::Result<Loaded> {
    let shape = args.input_shape.as_ref().map(|s| s.0.clone());
    let split = |source| Loaded::Split(Box::new(source));
    let Some(path) = &args.model else { return Source::bundled().map(split) };
    let mut error = match Source::load(path, shape.clone()) {
        Ok(source) => return Ok(split(source)),
        Err(error) => error,
    };
    if args.partition {
        match Source::load_partitioned(path, shape.clone()) {
            Ok(source) => return Ok(split(source)),
            Err(more) => error = more,
        }
    }
    if args.fallback.is_none() {
        return Err(with_hint(args, error));
    }
    let part = partition::whole(path, &ImportOptions { input_shape: shape })?;
    Ok(Loaded::Whole { path: path.clone(), part, reason: format!("{error:#}") })
}

/// Says which flag could do something about a node.
fn with_hint(args: &Args, error: anyhow::Error) -> anyhow::Error {
    let node = error.downcast_ref::<ImportError>().map(|error| &error.problem);
    let lower = error.downcast_ref::<LowerError>();
    let split = error.downcast_ref::<PartitionError>();
    match (node, lower, split) {
        (Some(Problem::Node(_)), ..) | (_, Some(LowerError::Unsupported { .. }), _)
            if !args.partition && can_be_judged(args) =>
        {
            anyhow::anyhow!(
                "{error:#}; `--partition` leaves such nodes in float before or behind the residual blocks"
            )
        }
        (.., Some(PartitionError::Middle { .. } | PartitionError::NoTrunk { .. })) => {
            anyhow::anyhow!("{error:#}; `--fallback tract` runs the whole network in float")
        }
        _ => error,
    }
}

/// Whether the float network can be had, which every part of it is judged by.
fn can_be_judged(args: &Args) -> bool {
    let file = args.model.as_ref().map(|path| OnnxFile::open(path).and_then(OnnxFile::into_proto));
    file.is_none_or(|proto| proto.is_ok())
}

/// Refuses float parts on a board without an operating system, naming their nodes.
pub(super) fn check_board(board: &Board, network: &Loaded) -> anyhow::Result<()> {
    let nodes = network.nodes();
    if nodes.is_empty() || board.linux.is_some() {
        return Ok(());
    }
    const SHOWN: usize = 8;
    let mut names: Vec<String> = nodes
        .iter()
        .take(SHOWN)
        .map(|n| format!("\"{}\" ({})", output::name(&n.name), output::name(&n.op)))
        .collect();
    if nodes.len() > SHOWN {
        names.push(format!("{} more", nodes.len() - SHOWN));
    }
    anyhow::bail!(
        "{}: board {} has no operating system to run tract, and these nodes have no int8 form \
         or stand beside one that has none: {}",
        network.path().display(),
        board.name,
        names.join(", ")
    )
}

/// Writes a file that tract runs whole.
pub(super) fn write_whole(
    args: &Args,
    onnx: &Path,
    part: &Part,
    reason: &str,
    board: Option<&Board>,
    out: &Destination,
) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.target == Target::Portable,
        "--target {}: the whole network stays in float and has no weights to pack; leave the flag out",
        args.target.name()
    );
    let file = || onnx.display().to_string();
    args.limits.check_macs(&file(), part.macs())?;
    let recipe = args.preprocess.resolve(None)?.recipe;
    let [height, width, _] = part.input;
    let mut notes = Vec::new();
    recipe.doubt().into_iter().for_each(|doubt| warn_once(&doubt, &mut notes));
    recipe.check_mean_image(crate::data::InputSize { height, width })?;
    let bytes = fixnet::format::write(&quantize::whole(&name_of(onnx), part, &recipe))
        .context("the planned file is inconsistent")
        .with_context(file)?;
    let model = args.limits.check_model(out.path(), &bytes)?;
    if let Some(board) = board {
        fit(board, &model).with_context(file)?;
    }
    out.write(&bytes)?;
    let reason = format!("{reason}; the whole network stays in float and is run by tract");
    warn_once(&reason, &mut notes);
    let summary = report::Summary {
        file: out.path(),
        model: &model,
        kernels: shown_family(&model, args.kernels.map(fixnet::KernelSet::family)),
        timings: &[],
        comparison: None,
        images: None,
        notes: &notes,
    };
    if args.json {
        print_json(&summary.json())?;
    } else {
        print(&summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}
