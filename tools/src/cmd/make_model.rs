//! `fixnet make-model NAME`: a residual network with generated weights, as an ONNX file.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::parse_size;
use crate::files::Destination;
use crate::onnx_writer;
use crate::output::print_json;
use crate::zoo_models::{self, ModelOptions};

/// Write a network of the literature with random, well-scaled weights: for tests and benchmarks.
#[derive(Debug, clap::Args)]
#[command(after_help = zoo_models::list())]
pub struct Args {
    /// One of the networks below.
    name: String,
    /// Weights are drawn from this number; the same seed gives the same file everywhere.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File to write.
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Number of classes [default: the network's own].
    #[arg(long)]
    classes: Option<usize>,
    /// Rows and columns of the input, one number if they are as many [default: the network's own].
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    input_size: Option<(usize, usize)>,
    /// Channels of the input: 1 for grey images, 4 for RGBA, others for tensors [default: 3].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Factor on all channel counts.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    width_multiplier: f64,
    /// Blocks of every stage: the same network in another depth [default: the network's own].
    #[arg(long, value_name = "N")]
    blocks: Option<usize>,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let out = Destination::new(&args.out)?;
    let options = ModelOptions {
        classes: args.classes,
        input_size: args.input_size.map(|(height, _)| height),
        input_width: args.input_size.map(|(_, width)| width),
        channels: args.channels,
        width_multiplier: args.width_multiplier,
        blocks: args.blocks,
    };
    let graph = zoo_models::build(&args.name, args.seed, &options)?;
    let bytes = onnx_writer::to_bytes(&graph);
    out.write(&bytes)?;
    if args.json {
        print_json(&json!({
            "file": args.out,
            "file_bytes": bytes.len(),
            "name": args.name,
            "seed": args.seed,
            "input": graph.shape(graph.input),
            "output": graph.outputs.first().map(|output| graph.shape(output.value)),
            "outputs": graph.outputs.iter().map(|o| graph.shape(o.value)).collect::<Vec<_>>(),
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}
