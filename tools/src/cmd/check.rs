//! `fixnet check MODEL.onnx`: what becomes of each node, and whether `quantize` takes the network.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{LimitArgs, Shape, import_options, network_remedy, parse_shape, with_spinner};
use crate::import::{NodeVerdict, OutputRequest};
use crate::output::{self, print, print_json};
use crate::partition::FloatNode;
use crate::pipeline::{Forecast, PipelineError, Source};
use crate::report::verdicts::{self, OperatorVerdict};

/// List every node of an ONNX model and whether fixnet can run it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to check.
    model: PathBuf,
    /// Shape of the input, for models with symbolic dimensions: 1,3,224,224.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape)]
    input_shape: Option<Shape>,
    #[command(flatten)]
    limits: LimitArgs,
    /// An output that is wanted, as scores or as a vector where the network does not say; may be given several
    /// times [default: all].
    #[arg(long = "output", value_name = "NAME[=KIND]")]
    outputs: Vec<OutputRequest>,
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
    /// What `quantize --partition` makes of one that `quantize` refuses for its nodes.
    partition: Option<PartitionReport<'a>>,
}

#[derive(Serialize)]
struct PartitionReport<'a> {
    supported: bool,
    float_nodes: &'a [FloatNode],
    problem: Option<String>,
}

/// Exit code 1 if `quantize` refuses the network.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = import_options(args.input_shape.as_ref(), &args.outputs);
    let source = Source::open(&args.model)?;
    let forecast = with_spinner("checking", || source.check(&options, &args.limits.limits()))?;
    let supported = forecast.is_supported();
    let operators = verdicts::by_operator(&forecast.nodes);
    if args.json {
        print_json(&report(args, &forecast, operators))?;
    } else {
        let end = conclusion(args, &forecast);
        let tables = (verdicts::node_table(&forecast.nodes), verdicts::operator_table(&operators));
        print(&format!("{}\n\n{}\n\n{end}\n", tables.0, tables.1))?;
    }
    Ok(if supported { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report<'a>(
    args: &'a Args,
    forecast: &'a Forecast,
    operators: Vec<OperatorVerdict>,
) -> Report<'a> {
    let partition = forecast.partition.as_ref().map(|partition| PartitionReport {
        supported: partition.is_ok(),
        float_nodes: partition.as_deref().unwrap_or_default(),
        problem: partition.as_ref().err().map(explained),
    });
    Report {
        model: &args.model,
        supported: forecast.is_supported(),
        nodes: &forecast.nodes,
        operators,
        problem: forecast.problem.as_ref().map(explained),
        partition,
    }
}

fn explained(error: &PipelineError) -> String {
    format!("{error}{}", network_remedy(error))
}

/// Whether the network is taken, and if not what to do.
fn conclusion(args: &Args, forecast: &Forecast) -> String {
    let model = args.model.display().to_string();
    let split = forecast.partition.as_ref().map(|partition| {
        let partition = partition.as_ref().map(Vec::len);
        verdicts::split(&model, partition.map_err(explained))
    });
    match (&forecast.problem, split) {
        (None, split) => verdicts::conclusion(&forecast.nodes, split.as_deref()),
        (Some(problem), None) => output::line(&explained(problem)),
        (Some(problem), Some(split)) => {
            format!("{}\nwhat to do: {split}", output::line(&explained(problem)))
        }
    }
}
