//! `fixnet pack`: a model file for another machine, without quantizing again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use fixnet::format::{self, ModelSpec, Target};

use super::{LimitArgs, read_model, shown_family};
use crate::files::Destination;
use crate::output::{print, print_json};
use crate::packing::{self, parse_target};
use crate::report;

/// Lay out the weights of a model file for a machine; results stay the same to the byte.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The int8 model, packed for whatever machine.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// Machine to lay the weights out for.
    #[arg(long, value_name = "NAME", value_parser = parse_target)]
    target: Target,
    /// Largest file: packed weights make it larger and the network faster.
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Output file.
    #[arg(long, value_name = "FILE.fxn")]
    out: PathBuf,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let out = Destination::new(&args.out)?.apart_from([args.file.as_path()])?;
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    let file = || args.file.display().to_string();
    anyhow::ensure!(
        model.step_count() > 0,
        "{}: the network runs whole in float and has no weights to pack",
        file()
    );
    let portable = format::unpack(&model).with_context(file)?;
    let portable = ModelSpec::from_model(&args.limits.check_model(&args.file, &portable)?);
    let packed = packing::pack(&portable, args.target, args.max_bytes).with_context(file)?;
    let bytes = format::write(&packed).with_context(file)?;
    let model = args.limits.check_model(&args.out, &bytes)?;
    out.write(&bytes)?;
    let family = shown_family(&model, None);
    if args.json {
        print_json(&report::plan_json(&model, family))?;
    } else {
        print(&format!("{}wrote {}\n", report::plan_text(&model, family), args.out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
