//! `fixnet inspect`: the plan of a model file.

use std::path::PathBuf;
use std::process::ExitCode;

use fixnet::KernelFamily;

use super::{LimitArgs, check_target, parse_family, read_model, shown_family};
use crate::files::Destination;
use crate::output::{print, print_json};
use crate::report;

/// Print the plan of a model file: steps, arena over time, and bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// Kernels to plan for, of this machine or another [default: the fastest here].
    #[arg(long, value_name = "SET", value_parser = parse_family)]
    kernels: Option<KernelFamily>,
    /// Draw the arena over time.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
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
    let svg = args.svg.as_deref().map(Destination::new).transpose()?;
    let svg = svg.map(|svg| svg.apart_from([args.file.as_path()])).transpose()?;
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    if let Some(family) = args.kernels {
        check_target(&args.file, &model, family)?;
    }
    let kernels = shown_family(&model, args.kernels);
    if let Some(svg) = &svg {
        anyhow::ensure!(
            model.step_count() > 0,
            "{}: the network runs whole in float; there is no arena to draw for --svg",
            args.file.display()
        );
        svg.write(report::arena_svg(&model, kernels).as_bytes())?;
    }
    if args.json {
        print_json(&report::plan_json(&model, kernels))?;
    } else {
        print(&report::plan_text(&model, kernels))?;
    }
    Ok(ExitCode::SUCCESS)
}
