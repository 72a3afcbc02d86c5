//! `fixnet check MODEL.onnx`: what becomes of each node, and whether `quantize` takes the network.
//!
//! What may not be broken: what this calls supported, `quantize` does not refuse for the network's sake.
//! So where every node is supported, the network goes through everything that `quantize` does, with one
//! generated image, and the model file is dropped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::{LimitArgs, Shape, import_options, parse_shape, with_spinner};
use crate::data::Recipe;
use crate::images::Images;
use crate::import::{ImportOptions, NodeVerdict, Verdict};
use crate::lower::LowerError;
use crate::output::{self, print, print_json};
use crate::pipeline::{PipelineError, Problem, QuantizeOptions, Source};
use crate::report::verdicts::{self, OperatorVerdict};

/// List every node of an ONNX model and whether fixnet can run it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to check.
    model: PathBuf,
    /// Shape of the input, for models with symbolic dimensions: 1,3,224,224.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape)]
    input_shape: Option<Shape>,
    /// Print the verdicts as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a PathBuf,
    supported: bool,
    nodes: &'a [NodeVerdict],
    operators: Vec<OperatorVerdict>,
    /// Why `quantize` refuses a network whose nodes are all supported.
    problem: Option<String>,
}

/// Exit code 1 if `quantize` refuses the network.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = import_options(args.input_shape.as_ref());
    let mut nodes = Source::open(&args.model)?.check(&options)?;
    let mut problem = None;
    if nodes.iter().all(|node| node.verdict.is_supported())
        && let Err(error) = with_spinner("checking", || try_out(&args.model, &options))
        && !blame_node(&mut nodes, &error)
    {
        problem = Some(format!("{error:#}"));
    }
    let supported = problem.is_none() && nodes.iter().all(|node| node.verdict.is_supported());
    let operators = verdicts::by_operator(&nodes);
    if args.json {
        let (model, nodes) = (&args.model, &nodes);
        let report = Report { model, supported, nodes, operators, problem };
        print_json(&report)?;
    } else {
        let model = args.model.display().to_string();
        let end = match problem {
            Some(problem) => output::line(&problem),
            None => verdicts::conclusion(&model, &nodes),
        };
        let tables = (verdicts::node_table(&nodes), verdicts::operator_table(&operators));
        print(&format!("{}\n\n{}\n\n{end}\n", tables.0, tables.1))?;
    }
    Ok(if supported { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that `quantize` does with a network, but for writing the file.
fn try_out(model: &Path, options: &ImportOptions) -> anyhow::Result<()> {
    let lowered = Source::open(model)?.lower(options)?;
    let limits = LimitArgs::default();
    limits.check_network(&lowered)?;
    let recipe = lowered.input_shape().is_image().then(Recipe::default);
    let observed = lowered.observe(&Images::for_calibration(0, 1), recipe.as_ref(), &())?;
    let file = observed.quantize(QuantizeOptions::default())?.plan().write()?;
    limits.check_model(model, &file)?;
    Ok(())
}

/// Lays what is wrong at the door of the node that it names; true if there is one.
fn blame_node(nodes: &mut [NodeVerdict], error: &anyhow::Error) -> bool {
    let problem = error.downcast_ref().and_then(PipelineError::problem);
    let Some(Problem::Lower(LowerError::Unsupported { node, what })) = problem else {
        return false;
    };
    let Some(verdict) = nodes.iter_mut().find(|verdict| verdict.name == *node) else {
        return false;
    };
    verdict.verdict = Verdict::Unsupported { reason: (*what).to_string(), advice: None };
    true
}
