//! `fixnet`: the command line. Exit codes: 0 done, 1 a comparison or check failed, 2 bad usage or
//! input.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tools::cmd;

/// Residual networks in int8 on small machines: quantize, compare, run.
#[derive(Debug, Parser)]
#[command(name = "fixnet", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quantize(cmd::quantize::Args),
    Compare(cmd::compare::Args),
    Run(cmd::run::Args),
    Check(cmd::check::Args),
    MakeModel(cmd::make_model::Args),
    MakeImages(cmd::make_images::Args),
    Pack(cmd::pack::Args),
    Inspect(cmd::inspect::Args),
    Bench(cmd::bench::Args),
    Fetch(cmd::fetch::Args),
    #[cfg(unix)]
    Flash(cmd::flash::Args),
    Boards(cmd::boards::Args),
    Qemu(cmd::qemu::Args),
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Quantize(args) => cmd::quantize::run(args),
        Command::Compare(args) => cmd::compare::run(args),
        Command::Run(args) => cmd::run::run(args),
        Command::Check(args) => cmd::check::run(args),
        Command::MakeModel(args) => cmd::make_model::run(args),
        Command::MakeImages(args) => cmd::make_images::run(args),
        Command::Pack(args) => cmd::pack::run(args),
        Command::Inspect(args) => cmd::inspect::run(args),
        Command::Bench(args) => cmd::bench::run(args),
        Command::Fetch(args) => cmd::fetch::run(args),
        #[cfg(unix)]
        Command::Flash(args) => cmd::flash::run(args),
        Command::Boards(args) => cmd::boards::run(args),
        Command::Qemu(args) => cmd::qemu::run(args),
    }
}

fn main() -> ExitCode {
    cmd::start();
    cmd::finish(run(&Cli::parse()))
}
