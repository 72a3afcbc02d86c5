//! `fixnet check MODEL.onnx`: what becomes of each node, before anything is quantized.

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::{Shape, parse_shape};
use crate::import::{self, ImportOptions, NodeVerdict};
use crate::output::{print, print_json};

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
}

/// Exit code 1 if any node is unsupported.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = ImportOptions { input_shape: args.input_shape.clone().map(|Shape(sides)| sides) };
    let nodes = import::check(&args.model, &options)?;
    let supported = nodes.iter().all(|node| node.verdict.is_supported());
    if args.json {
        let report = Report { model: &args.model, supported, nodes: &nodes };
        print_json(&report)?;
    } else {
        print(&format!("{}\n{}\n", table(&nodes), summary(&nodes)))?;
    }
    Ok(if supported { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(nodes: &[NodeVerdict]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["#", "node", "op", "output", "verdict"]);
    for node in nodes {
        table.add_row([
            node.index.to_string(),
            node.name.escape_debug().to_string(),
            node.op.escape_debug().to_string(),
            node.shape.as_ref().map_or("?".to_string(), |shape| format!("{shape:?}")),
            node.verdict.to_string(),
        ]);
    }
    table
}

fn summary(nodes: &[NodeVerdict]) -> String {
    let refused: Vec<&NodeVerdict> =
        nodes.iter().filter(|node| !node.verdict.is_supported()).collect();
    match refused.first() {
        None => format!("all {} nodes are supported", nodes.len()),
        Some(first) => format!(
            "{} of {} nodes cannot be used; the first is node {} {:?} ({}): {}",
            refused.len(),
            nodes.len(),
            first.index,
            first.name,
            first.op.escape_debug(),
            first.verdict,
        ),
    }
}
