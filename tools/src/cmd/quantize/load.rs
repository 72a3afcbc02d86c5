//! Loading the network of `fixnet quantize`, and which flag could do something about one that cannot be
//! loaded.

use super::Args;
use crate::import::{OnnxFile, Problem as ImportProblem};
use crate::lower::LowerError;
use crate::partition::PartitionError;
use crate::pipeline::{self, Loaded, PipelineError, Problem};

/// The network in int8; failing that, as the flags allow, in parts, or whole in float.
pub(super) fn load(args: &Args) -> anyhow::Result<Loaded> {
    pipeline::load(args.model.as_deref(), &args.load_options()).map_err(|error| {
        let hint = args.fallback.is_none().then(|| hint(args, &error)).flatten();
        let said = error.to_string();
        match hint {
            // What is to be done about the operator may be the same.
            Some(hint) if !said.contains("`--partition`") => anyhow::anyhow!("{said}; {hint}"),
            _ => error.into(),
        }
    })
}

/// The flag that could do something about a node.
fn hint(args: &Args, error: &PipelineError) -> Option<&'static str> {
    let node = match error {
        PipelineError::Import(error) => matches!(error.problem, ImportProblem::Node(_)),
        _ => matches!(error.problem(), Some(Problem::Lower(LowerError::Unsupported { .. }))),
    };
    if node && !args.partition && can_be_judged(args) {
        return Some(
            "`--partition` leaves such nodes in float before or behind the residual blocks",
        );
    }
    match error.problem()? {
        Problem::Partition(PartitionError::Middle { .. } | PartitionError::NoTrunk { .. }) => {
            Some("`--fallback tract` runs the whole network in float")
        }
        _ => None,
    }
}

/// Whether the float network can be had, which every part of it is judged by.
fn can_be_judged(args: &Args) -> bool {
    let file = args.model.as_ref().map(|path| OnnxFile::open(path).and_then(OnnxFile::into_proto));
    file.is_none_or(|proto| proto.is_ok())
}
