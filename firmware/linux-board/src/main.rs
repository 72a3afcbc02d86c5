//! `fixnet-board`: the commands of `fixnet` that belong on a Linux board - Raspberry Pi OS, JetPack -
//! with the flags, the output and the exit codes that they have on the host.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tools::cmd;

/// Residual networks in int8 on this board: run, measure, compare.
#[derive(Debug, Parser)]
#[command(name = "fixnet-board", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(cmd::run::Args),
    Bench(cmd::bench::Args),
    #[cfg(feature = "tract")]
    Compare(cmd::compare::Args),
    #[cfg(not(feature = "tract"))]
    Compare(without_tract::Args),
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Run(args) => cmd::run::run(args),
        Command::Bench(args) => cmd::bench::run(args),
        #[cfg(feature = "tract")]
        Command::Compare(args) => cmd::compare::run(args),
        #[cfg(not(feature = "tract"))]
        Command::Compare(args) => without_tract::run(args),
    }
}

fn main() -> ExitCode {
    cmd::start();
    cmd::finish(run(&Cli::parse()))
}

/// The commands that need the float network, where it cannot be run.
#[cfg(not(feature = "tract"))]
mod without_tract {
    use std::process::ExitCode;

    /// Not in this program: it was built without tract, which runs the float network.
    #[derive(Debug, clap::Args)]
    pub struct Args {
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    }

    pub fn run(_args: &Args) -> anyhow::Result<ExitCode> {
        anyhow::bail!(
            "compare needs tract, which is not in this program; \
             run `fixnet compare` on the host or on a 64-bit board"
        )
    }
}
