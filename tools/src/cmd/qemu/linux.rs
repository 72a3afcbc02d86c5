//! Boards of which QEMU emulates the processor: the program for Linux, with the host's files.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fixnet::{KernelSet, Model};

use super::{Args, Rival, print_runs};
use crate::boards::{Board, fit_linux};
use crate::cmd::InFile;
use crate::cmd::{read_model, runnable_here, with_spinner};
use crate::data::{Source, Wanted};
use crate::files::ScratchFolder;
use crate::firmware::BoardReport;
use crate::flash::program;
use crate::flash::smoke::{Smoke, report_of_run};
use crate::output;
use crate::qemu::LinuxEmulation;
use crate::report::{BoardRun, HostResult, host_result};

/// Runs the command for a board whose processor is `cpu`.
pub(super) fn run(args: &Args, board: &Board, cpu: &str) -> anyhow::Result<ExitCode> {
    let linux = board.require_linux()?;
    let image_only =
        [(args.save_image.is_some(), "--save-image"), (args.no_layer_clock, "--no-layer-clock")];
    for (given, flag) in image_only {
        ensure!(!given, "{flag} is for boards without an operating system; leave it out");
    }
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    if model.float_parts().next().is_some() {
        bail!("{}: has parts in float, which have no layers to count", args.file.display());
    }
    let here = runnable_here(&args.file, read_model(&args.file)?, args.limits)?;
    let host_model = args.limits.check_model(&args.file, &here)?;
    let scratch = ScratchFolder::new()?;
    let inputs = inputs(args, &host_model, scratch.path())?;
    let target = linux.targets.first().context("the board names no target")?;
    let program = match &args.image {
        Some(path) => path.clone(),
        None => with_spinner("building the program", || program::build(target))?,
    };
    fit_linux(board, &model, program::read(&program, target)?.len()).in_file(&args.file)?;
    let emulation = LinuxEmulation {
        cpu,
        program: &program,
        limit: Duration::from_secs(args.time_limit as u64),
        scratch: scratch.path(),
    };
    let emulate = |input: &Input| emulate(args, &emulation, board, input);
    let emulate_all = || inputs.iter().map(emulate).collect::<anyhow::Result<Vec<BoardReport>>>();
    let reports = with_spinner("running in QEMU", emulate_all)?;
    let against = match (&args.against, inputs.first()) {
        (Some(Rival::Tract), Some(input)) => {
            Some(with_spinner("running tract in QEMU", || count_tract(args, &emulation, input))?)
        }
        _ => None,
    };
    let runs: Vec<BoardRun<'_>> = inputs
        .iter()
        .zip(&reports)
        .filter_map(|(input, report)| Some((input, report, report.inferences.first()?)))
        .map(|(input, report, inference)| BoardRun {
            board,
            model: &model,
            image: &input.name,
            report,
            inference,
            host: Some(&input.host),
            emulated: true,
            instructions_per_tick: args.count.then_some(1),
            tract_instructions: against,
        })
        .collect();
    print_runs(args, &runs)?;
    Ok(if runs.iter().all(BoardRun::equals_host) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// An image on its way through board and host.
struct Input {
    name: String,
    /// What the program is given.
    argument: OsString,
    host: HostResult,
}

fn inputs(args: &Args, model: &Model<'_>, scratch: &Path) -> anyhow::Result<Vec<Input>> {
    if args.images.is_empty() {
        let smoke = Smoke::new(model, None).in_file(&args.file)?;
        let path = scratch.join(&smoke.file_name);
        std::fs::write(&path, &smoke.file).in_file(&path)?;
        return Ok(vec![Input { name: smoke.name, argument: path.into(), host: smoke.host }]);
    }
    let wanted = Wanted::by(model);
    let load = |image: &String| {
        let (sample, note) = args.geometry.resizing().load(&Source::parse(image)?, &wanted)?;
        note.iter().for_each(|note| output::note(note));
        let host = host_result(model, &sample.content, KernelSet::detect()).in_file(&args.file)?;
        Ok(Input { name: sample.name, argument: image.into(), host })
    };
    args.images.iter().map(load).collect()
}

fn emulate(
    args: &Args,
    emulation: &LinuxEmulation<'_>,
    board: &Board,
    input: &Input,
) -> anyhow::Result<BoardReport> {
    let mut arguments: Vec<OsString> = ["run", "--json"].map(OsString::from).to_vec();
    if args.checksums {
        arguments.push("--checksums".into());
    }
    if let Some(kernels) = &args.kernels {
        arguments.extend(["--kernels".into(), kernels.into()]);
    }
    if let Some(macs) = args.limits.max_macs {
        arguments.extend(["--max-macs".into(), macs.to_string().into()]);
    }
    if args.count {
        arguments.push("--marks".into());
    }
    arguments.extend(args.geometry.resizing().flags().into_iter().map(OsString::from));
    arguments.extend([args.file.clone().into_os_string(), input.argument.clone()]);
    let (text, counts) = match args.count {
        true => {
            let (text, counts) = emulation.count(&arguments, input.host.calls.len())?;
            (text, Some(counts))
        }
        false => (emulation.run(&arguments)?, None),
    };
    let understood = report_of_run(board, &text);
    let mut report =
        understood.map_err(|reason| anyhow::anyhow!("the program's answer: {reason}"))?;
    if let (Some(counts), Some(inference)) = (counts, report.inferences.first_mut()) {
        inference.layers.iter_mut().for_each(|layer| layer.ticks = 0);
        for (&step, count) in input.host.calls.iter().zip(&counts) {
            if let Some(layer) = inference.layers.get_mut(step) {
                layer.ticks += count;
            }
        }
        inference.ticks = counts.iter().sum();
    }
    Ok(report)
}

/// The instructions of one inference by tract, of the float network.
fn count_tract(args: &Args, emulation: &LinuxEmulation<'_>, input: &Input) -> anyhow::Result<u64> {
    let mut arguments: Vec<OsString> =
        ["run", "--json", "--backend", "tract", "--marks"].map(OsString::from).to_vec();
    if let Some(model) = &args.model {
        arguments.extend(["--model".into(), model.clone().into_os_string()]);
    }
    arguments.extend(args.geometry.resizing().flags().into_iter().map(OsString::from));
    arguments.extend([args.file.clone().into_os_string(), input.argument.clone()]);
    let (_, counts) = emulation.count(&arguments, 1)?;
    Ok(counts.into_iter().sum())
}
