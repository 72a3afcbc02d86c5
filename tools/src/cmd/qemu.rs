//! `fixnet qemu`: a model file on an emulated board, and what every layer did there.

#[cfg(all(feature = "flash", unix))]
mod linux;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use fixnet::format::{CRC32, payload_flags};
use fixnet::{KernelSet, Model};
use serde_json::Value;

use super::{GeometryArgs, LimitArgs, positive, read_model, runnable_here, with_spinner};
use crate::boards::{Board, Emulator, FIRMWARE_HELP, Place, fit_bare_metal};
use crate::cmd::InFile;
use crate::data::{Content, Source, Wanted};
use crate::files::{self, Destination, PROGRAM, ScratchFolder};
use crate::firmware::{BoardInference, BoardReport, Console, build, payload};
use crate::images::{generated, generated_name};
use crate::output::{self, PrintError, print, print_json};
use crate::qemu::Emulation;
use crate::report::{BoardRun, HostResult, host_result};

/// Run a model file on an emulated board; print logits and the time of every layer.
#[derive(Debug, clap::Args)]
#[command(after_help = FIRMWARE_HELP)]
pub struct Args {
    /// The board; `fixnet boards` lists them.
    #[arg(long, value_name = "NAME")]
    board: String,
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// Image files, .npy files, or FILE.bin:INDEX for a record of a CIFAR-10 binary batch [default: a
    /// generated one].
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Count the instructions that the board executes in every layer.
    #[arg(long)]
    count: bool,
    /// Print the CRC-32 of every layer's output.
    #[arg(long)]
    checksums: bool,
    /// A runtime whose instructions to count, too: it runs the float network on the same image (boards
    /// that run Linux).
    #[arg(long, value_enum, requires = "count")]
    against: Option<Rival>,
    /// The float network for --against [default: the bundled one, for a file made from it].
    #[arg(long, value_name = "MODEL.onnx", requires = "against")]
    model: Option<PathBuf>,
    /// Kernels to run [default: the fastest] (boards that run Linux).
    #[arg(long, value_name = "SET")]
    kernels: Option<String>,
    /// Take this image, an ELF file built for the board, instead of building one; for Linux, the program.
    #[arg(long, value_name = "ELF")]
    image: Option<PathBuf>,
    /// Keep the image that was built.
    #[arg(long, value_name = "ELF", conflicts_with = "image")]
    save_image: Option<PathBuf>,
    /// Stop the emulator after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = positive())]
    time_limit: usize,
    /// Read the clock only around a whole inference, to see what reading it costs.
    #[arg(long)]
    no_layer_clock: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON: one object, or an array for more than one image.
    #[arg(long)]
    json: bool,
}

/// A runtime for float networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rival {
    Tract,
}

/// One input on its way through board and host.
struct Input {
    name: String,
    content: Content,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let board = Board::load(&args.board)?;
    if let Emulator::Processor(cpu) = board.emulator()? {
        return emulate_processor(args, &board, cpu);
    }
    let linux_only = [(args.against.is_some(), "--against"), (args.kernels.is_some(), "--kernels")];
    for (given, flag) in linux_only {
        ensure!(!given, "{flag} is for boards that run Linux; leave it out");
    }
    let read = args.images.iter().map(Path::new).chain([args.file.as_path()]);
    let kept = args.save_image.as_deref().map(Destination::new).transpose()?;
    let kept = kept.map(|kept| kept.apart_from(read)).transpose()?;
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    let fit = fit_bare_metal(&board, &model).in_file(&args.file)?;
    let inputs = inputs(args, &model)?;
    let here = runnable_here(&args.file, read_model(&args.file)?, args.limits)?;
    let host_model = args.limits.check_model(&args.file, &here)?;
    let hosts: Vec<HostResult> = inputs
        .iter()
        .map(|input| host_result(&host_model, &input.content, KernelSet::detect()))
        .collect::<Result<_, _>>()
        .in_file(&args.file)?;
    let report = emulate(args, &board, fit.place, &model, &bytes, &inputs, kept.as_ref())?;
    check_payload(args, &report, &bytes, &hosts)?;
    let runs: Vec<BoardRun<'_>> = inputs
        .iter()
        .zip(&report.inferences)
        .zip(&hosts)
        .map(|((input, inference), host)| {
            board_run(args, &board, &model, &report, input, inference, host)
        })
        .collect();
    print_runs(args, &runs)?;
    Ok(if runs.iter().all(BoardRun::equals_host) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

#[cfg(all(feature = "flash", unix))]
use linux::run as emulate_processor;

/// The program for Linux boards is built by what brings it to them.
#[cfg(not(all(feature = "flash", unix)))]
fn emulate_processor(_args: &Args, board: &Board, _cpu: &str) -> anyhow::Result<ExitCode> {
    bail!(
        "board {} runs Linux, for which this fixnet builds no programs; use it on Linux",
        board.name
    )
}

/// An image that was built around a payload runs that one, whatever lies in memory.
fn check_payload(
    args: &Args,
    report: &BoardReport,
    file: &[u8],
    hosts: &[HostResult],
) -> anyhow::Result<()> {
    let ran = report.inferences.iter().map(|inference| inference.input_crc32);
    let own = report.model_crc32 == Some(CRC32.checksum(file))
        && ran.eq(hosts.iter().map(|host| host.input_crc32));
    match &args.image {
        _ if own => Ok(()),
        Some(image) => bail!(
            "{}: the image ran a model and inputs of its own; leave out --image to build one for these",
            image.display()
        ),
        None => bail!("the board ran other inputs than it was given"),
    }
}

fn print_runs(args: &Args, runs: &[BoardRun<'_>]) -> Result<(), PrintError> {
    if args.json {
        let mut values: Vec<Value> = runs.iter().map(BoardRun::json).collect();
        return match values.len() {
            1 => print_json(&values.remove(0)),
            _ => print_json(&values),
        };
    }
    let texts: Vec<String> = runs.iter().map(BoardRun::text).collect();
    print(&texts.join("\n"))
}

fn inputs(args: &Args, model: &Model<'_>) -> anyhow::Result<Vec<Input>> {
    let wanted = Wanted::by(model);
    if args.images.is_empty() {
        let name = generated_name(&wanted).to_string();
        return Ok(vec![Input { name, content: generated(0, 0, &wanted) }]);
    }
    let load = |image: &String| {
        let (sample, note) = args.geometry.resizing().load(&Source::parse(image)?, &wanted)?;
        note.iter().for_each(|note| output::note(note));
        Ok(Input { name: sample.name, content: sample.content })
    };
    args.images.iter().map(load).collect()
}

/// Builds or takes the image and runs it.
fn emulate(
    args: &Args,
    board: &Board,
    place: Place,
    model: &Model<'_>,
    file: &[u8],
    inputs: &[Input],
    kept: Option<&Destination>,
) -> anyhow::Result<BoardReport> {
    let scratch = ScratchFolder::new()?;
    let contents: Vec<&Content> = inputs.iter().map(|input| &input.content).collect();
    let payload_path = scratch.path().join("payload");
    std::fs::write(&payload_path, payload(model, file, &contents, flags(args))?)
        .in_file(&payload_path)?;
    // An image that was built before knows nothing of this model.
    let in_flash = place == Place::Flash && args.image.is_none();
    let elf = match &args.image {
        Some(path) => path.clone(),
        None => {
            let elf = scratch.path().join("image.elf");
            let included = in_flash.then_some(payload_path.as_path());
            with_spinner("building the image", || build(board, included, Console::Emulator, &elf))?;
            if let Some(kept) = kept {
                kept.write(&files::read(&elf, PROGRAM).in_file(&elf)?)?;
            }
            elf
        }
    };
    let emulation = Emulation {
        board,
        elf: &elf,
        payload: (!in_flash).then_some(payload_path.as_path()),
        count: args.count,
        limit: Duration::from_secs(args.time_limit as u64),
        scratch: scratch.path(),
    };
    Ok(with_spinner("running in QEMU", || emulation.run())?)
}

fn flags(args: &Args) -> u16 {
    let mut flags = 0;
    if args.checksums {
        flags |= payload_flags::CHECKSUMS;
    }
    if args.no_layer_clock {
        flags |= payload_flags::NO_LAYER_CLOCK;
    }
    flags
}

fn board_run<'a>(
    args: &Args,
    board: &'a Board,
    model: &'a Model<'a>,
    report: &'a BoardReport,
    input: &'a Input,
    inference: &'a BoardInference,
    host: &'a HostResult,
) -> BoardRun<'a> {
    let per_tick =
        board.qemu.as_ref().filter(|_| args.count).map(|qemu| qemu.instructions_per_tick);
    BoardRun {
        board,
        model,
        image: &input.name,
        report,
        inference,
        host: Some(host),
        emulated: true,
        instructions_per_tick: per_tick,
        tract_instructions: None,
    }
}
