//! `fixnet run`: images through a model file, with the time of every layer.

#[cfg(feature = "tract")]
mod float;
#[cfg(feature = "tract")]
mod hybrid;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use fixnet::format::{CRC32, MAX_RECORDS};
use fixnet::profile::Checksums;
use fixnet::threads::performance_cores;
use fixnet::{AlignedBytes, Hook, KernelSet, Model, Session, StepInfo};
use serde_json::Value;

use super::{
    GeometryArgs, KernelArgs, LimitArgs, Shape, on_threads, parse_shape, positive, read_model,
    thread_count,
};
use crate::cmd::InFile;
use crate::data::{Source, Wanted};
use crate::output::{self, print, print_json};
use crate::report::{Inference, LayerTime, OutputValues, Row, time_layers_by_threads};
use float::Float;

/// Classify images with a model file; print the best classes and the time of every layer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// An image file, a .npy file, or FILE.bin:INDEX for a record of a CIFAR-10 binary batch.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// What computes: fixnet in int8, or tract the float network, timed in the same layers.
    #[arg(long, value_enum, default_value_t)]
    backend: Backend,
    /// The float network for --backend tract [default: the bundled one, for a file made from it].
    #[arg(long, value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    /// Shape of the float network's input, for a model that leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape, requires = "model")]
    input_shape: Option<Shape>,
    #[command(flatten)]
    geometry: GeometryArgs,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Threads of one inference [default: one a physical core, of the fastest kind].
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// Print the CRC-32 of every layer's output.
    #[arg(long)]
    checksums: bool,
    /// Run once, without times, and yield the processor before and after every layer (of tract: before
    /// and after the network): marks for an emulator that counts.
    #[arg(long, hide = true)]
    marks: bool,
    /// Classes to print.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = positive())]
    top: usize,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON: one object, or an array for more than one image.
    #[arg(long)]
    json: bool,
}

/// What runs a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Backend {
    #[default]
    Fixnet,
    Tract,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    check_flags(args)?;
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    let wanted = Wanted::by(&model);
    let float = match args.backend {
        Backend::Fixnet => None,
        Backend::Tract => Some(Float::load(args, &model)?),
    };
    let inferences: Vec<Inference> = args
        .images
        .iter()
        .map(|image| infer(args, &model, &wanted, float.as_ref(), image))
        .collect::<anyhow::Result<_>>()?;
    if args.json {
        let mut values: Vec<Value> = inferences.iter().map(Inference::json).collect();
        match values.len() {
            1 => print_json(&values.remove(0))?,
            _ => print_json(&values)?,
        }
    } else {
        let texts: Vec<String> = inferences.iter().map(Inference::text).collect();
        print(&texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses flags of the other backend.
fn check_flags(args: &Args) -> anyhow::Result<()> {
    match args.backend {
        Backend::Fixnet => {
            ensure!(args.model.is_none(), "--model is for --backend tract; leave one out");
        }
        Backend::Tract => {
            ensure!(
                args.kernels.is_default(),
                "--kernels and --kernel are fixnet's; leave out --backend tract"
            );
            ensure!(args.threads.is_none(), "--threads is fixnet's; leave out --backend tract");
            ensure!(
                !args.checksums,
                "--checksums are of int8 bytes, which float layers do not have; leave out --backend tract"
            );
        }
    }
    Ok(())
}

fn infer(
    args: &Args,
    model: &Model<'_>,
    wanted: &Wanted,
    float: Option<&Float>,
    image: &str,
) -> anyhow::Result<Inference> {
    let (sample, note) = args.geometry.resizing().load(&Source::parse(image)?, wanted)?;
    note.iter().for_each(|note| output::note(note));
    let content = &sample.content;
    let (backend, outputs, rows) = match float {
        None if model.float_parts().next().is_some() => {
            hybrid::run(args, model, content).in_file(&args.file)?
        }
        None => {
            let input = content.int8(model).in_file(&args.file)?;
            let (outputs, rows) = fixnet_run(args, model, &input).in_file(&args.file)?;
            ("fixnet", outputs, rows)
        }
        Some(float) => {
            let (outputs, rows) = float.run(args, model, wanted, content).in_file(&args.file)?;
            ("tract", outputs, rows)
        }
    };
    let input_crc32 = content.crc32(model).in_file(&args.file)?;
    let (image, notes) = (sample.name, note.into_iter().collect());
    let labels = model.labels().into_iter().flatten().map(ToString::to_string).collect();
    Ok(Inference { backend, image, input_crc32, outputs, labels, top: args.top, rows, notes })
}

fn fixnet_run(
    args: &Args,
    model: &Model<'_>,
    input: &[i8],
) -> anyhow::Result<(Vec<OutputValues>, Vec<Row>)> {
    // What an emulator counts is one thread's.
    let default = if args.marks { 1 } else { performance_cores() };
    let threads = args.threads.unwrap_or(default);
    on_threads(threads, || fixnet_run_on(threads, args, model, input))
}

fn fixnet_run_on(
    threads: usize,
    args: &Args,
    model: &Model<'_>,
    input: &[i8],
) -> anyhow::Result<(Vec<OutputValues>, Vec<Row>)> {
    let kernels = args.kernels.choose(&args.file, model)?;
    let mut arena = AlignedBytes::try_zeroed(model.required_by_threads(kernels, threads).arena())?;
    let mut session = Session::with_threads(model, arena.as_mut_slice(), kernels, threads)?;
    session.input_mut().copy_from_slice(input);
    let mut checksums = Box::new(Checksums::<MAX_RECORDS>::new());
    match (args.checksums, args.marks) {
        (true, false) => session.run_with(&mut *checksums),
        (true, true) => session.run_with(&mut (&mut *checksums, Marks)),
        (false, false) => session.run(),
        (false, true) => session.run_with(&mut Marks),
    }
    .in_file(&args.file)?;
    let outputs = outputs(model, &session, args.checksums)?;
    let times = match args.marks {
        true => untimed(model, kernels),
        false => time_layers_by_threads(model, kernels, threads, input)?,
    };
    let mut rows = Row::for_layers(model, &times);
    for (row, &crc32) in rows.iter_mut().zip(checksums.values()) {
        row.crc32 = Some(crc32);
    }
    Ok((outputs, rows))
}

/// What the plan of a session that has run gives.
fn outputs(
    model: &Model<'_>,
    session: &Session<'_, '_>,
    checksums: bool,
) -> anyhow::Result<Vec<OutputValues>> {
    let told = model.outputs().enumerate().map(|(index, output)| {
        let bytes = session.output(index);
        let bytes = bytes.with_context(|| format!("output {:?} is not there", output.name))?;
        let crc32 = checksums.then(|| CRC32.checksum(bytes));
        Ok(OutputValues { crc32, ..OutputValues::of_plan(&output, bytes) })
    });
    told.collect()
}

/// The kernels of the layers alone.
fn untimed(model: &Model<'_>, kernels: KernelSet) -> Vec<LayerTime> {
    let kernel = |step: fixnet::format::Step<'_>| kernels.kernel_name(&step.operator);
    model.steps().map(|step| LayerTime { kernel: kernel(step), nanoseconds: 0 }).collect()
}

/// A mark before and after every layer: a system call that does nothing, and that nothing else makes.
struct Marks;

impl Hook for Marks {
    fn before(&mut self, _info: &StepInfo<'_>) {
        std::thread::yield_now();
    }

    fn after(&mut self, _info: &StepInfo<'_>, _output: &[u8]) {
        std::thread::yield_now();
    }
}

/// A program without tract takes the same flags.
#[cfg(not(feature = "tract"))]
mod float {
    use fixnet::Model;

    use super::{Args, OutputValues, Row, Wanted};
    use crate::data::Content;

    /// The float network, which nothing here can run.
    pub(super) enum Float {}

    impl Float {
        pub fn load(_args: &Args, _model: &Model<'_>) -> anyhow::Result<Self> {
            anyhow::bail!(
                "--backend tract: this program was built without tract; \
                 run it on the host or on a 64-bit board"
            )
        }

        pub fn run(
            &self,
            _args: &Args,
            _model: &Model<'_>,
            _wanted: &Wanted,
            _input: &Content,
        ) -> anyhow::Result<(Vec<OutputValues>, Vec<Row>)> {
            match *self {}
        }
    }
}

/// A program without tract reads the same files.
#[cfg(not(feature = "tract"))]
mod hybrid {
    use fixnet::{Model, SessionError};

    use super::{Args, OutputValues, Row};
    use crate::data::Content;

    pub(super) fn run(
        _args: &Args,
        model: &Model<'_>,
        _input: &Content,
    ) -> anyhow::Result<(&'static str, Vec<OutputValues>, Vec<Row>)> {
        Err(SessionError::FloatParts { count: model.float_parts().count() }.into())
    }
}
