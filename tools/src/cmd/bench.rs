//! `fixnet bench`: whole inferences against the clock, alone or against another runtime.

#[cfg(feature = "tract")]
mod against;
#[cfg(feature = "tract")]
mod hybrid;
mod worker;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use fixnet::{AlignedBytes, KernelSet, Model, Session};
use serde_json::{Value, json};

use super::{
    KernelArgs, LimitArgs, Shape, parse_shape, positive, progress, read_model, thread_count,
};
use crate::bench::{self, Limits, Times, take_turns};
use crate::cmd::InFile;
use crate::data::{Content, Source, Wanted};
use crate::images::generated;
use crate::output::{print, print_json};
use crate::report::{Row, bench_table, latency_table, time_layers_by_threads};

/// What takes part, with errors as commands print them.
type Contestant<'a> = bench::Contestant<'a, anyhow::Error>;

/// Runs without `--runs`, unless they take longer than the budget.
const DEFAULT_RUNS: usize = 50;
const BUDGET: Duration = Duration::from_secs(20);
const LEAST_RUNS: usize = 5;

/// Measure the time of whole inferences, alone or against another runtime.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// Image file, .npy file, or FILE.bin:INDEX to run on [default: a generated one].
    #[arg(long, value_name = "INPUT")]
    input: Option<String>,
    /// Threads of one inference.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = thread_count())]
    threads: usize,
    /// Runtime to measure against, on the same image; may be given more than once.
    #[arg(long, value_name = "RUNTIME", value_enum)]
    against: Vec<Rival>,
    /// Python that has onnxruntime [default: what FIXNET_PYTHON names, or python3].
    #[arg(long, value_name = "PROGRAM", requires = "against")]
    python: Option<PathBuf>,
    /// The float network for --against [default: the bundled one, for a file made from it].
    #[arg(long, value_name = "MODEL.onnx", requires = "against")]
    model: Option<PathBuf>,
    /// Shape of the float network's input, for a model that leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape, requires = "model")]
    input_shape: Option<Shape>,
    /// Runs that count [default: 50, or as many as 20 seconds allow].
    #[arg(long, value_name = "N", value_parser = positive())]
    runs: Option<usize>,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Measure on request: for each line N on standard input print the nanoseconds of N inferences,
    /// of fixnet or of the runtime of --against.
    #[arg(long, conflicts_with_all = ["runs", "json"])]
    worker: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

/// A runtime for ONNX files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rival {
    /// The float network by tract.
    Tract,
    /// The network quantized by ONNX Runtime: static QDQ, u8 activations, int8 weights.
    Onnxruntime,
    /// The float network by ONNX Runtime.
    OnnxruntimeFloat,
}

impl Rival {
    const fn name(self) -> &'static str {
        match self {
            Self::Tract => "tract",
            Self::Onnxruntime => "onnxruntime",
            Self::OnnxruntimeFloat => "onnxruntime-float",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    let kernels = args.kernels.choose(&args.file, &model)?;
    let wanted = Wanted::by(&model);
    let input = match &args.input {
        Some(input) => Source::parse(input)?.load_fitting(&wanted)?.0.content,
        None if args.worker => worker::ramps(&wanted),
        None => generated(0, 0, &wanted),
    };
    let required = model.required_by_threads(kernels, args.threads);
    let mut arena = AlignedBytes::try_zeroed(required.arena()).in_file(&args.file)?;
    let pool = match args.threads {
        1 => None,
        threads => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            Some(pool.with_context(|| format!("--threads {threads}"))?)
        }
    };
    let threads = (args.threads, pool.as_ref());
    let ours = if model.float_parts().next().is_some() {
        let contestant = hybrid::contestant(&model, arena.as_mut_slice(), kernels, threads, &input);
        contestant.in_file(&args.file)?
    } else {
        let session = Session::with_threads(&model, arena.as_mut_slice(), kernels, args.threads)
            .in_file(&args.file)?;
        fixnet_contestant(session, pool.as_ref(), &input).in_file(&args.file)?
    };
    let mut contestants = vec![ours];
    if !args.against.is_empty() {
        contestants.extend(against::contestants(args, &model, (&input, &wanted))?);
    }
    if let (true, Some(last)) = (args.worker, contestants.last_mut()) {
        let facts = json!({
            "runtime": last.name,
            "version": last.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")),
            "threads": last.threads,
            "kernels": kernels.name(),
        });
        worker::serve(last, &facts, io::stdin().lock(), io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let times = measure(args, &mut contestants).in_file(&args.file)?;
    let rows = layer_rows(&model, kernels, threads, &input).in_file(&args.file)?;
    if args.json {
        let mut json = bench_json(args.threads, kernels, &contestants, &times);
        json["layers"] = rows.iter().map(Row::json).collect();
        print_json(&json)?;
    } else {
        let table = bench_table(model.name(), kernels, &contestants, &times);
        print(&format!("{table}\n{}", latency_table(&rows)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, contestants: &mut [Contestant<'_>]) -> anyhow::Result<Vec<Times>> {
    let limits = match args.runs {
        Some(runs) => Limits { runs, budget: Duration::MAX, least: runs },
        None => Limits { runs: DEFAULT_RUNS, budget: BUDGET, least: LEAST_RUNS },
    };
    let bar = progress("measuring", limits.runs);
    let times = take_turns(contestants, limits, || bar.inc(1));
    bar.finish_and_clear();
    times
}

/// From the int8 input to the logits.
fn fixnet_contestant<'a>(
    mut session: Session<'a, 'a>,
    pool: Option<&'a rayon::ThreadPool>,
    input: &Content,
) -> anyhow::Result<Contestant<'a>> {
    input.set(&mut session)?;
    let input = session.input_mut().to_vec();
    let run = move || {
        session.input_mut().copy_from_slice(&input);
        in_pool(pool, || session.run().map(|_| ()))?;
        Ok(())
    };
    let threads = pool.map_or(1, rayon::ThreadPool::current_num_threads);
    Ok(Contestant::here("fixnet", threads, run))
}

/// The time of every layer, on as many threads.
fn layer_rows(
    model: &Model<'_>,
    kernels: KernelSet,
    (threads, pool): (usize, Option<&rayon::ThreadPool>),
    input: &Content,
) -> anyhow::Result<Vec<Row>> {
    if model.float_parts().next().is_some() {
        return hybrid::rows(model, kernels, (threads, pool), input);
    }
    let input = input.int8(model)?;
    let times = in_pool(pool, || time_layers_by_threads(model, kernels, threads, &input))?;
    Ok(Row::for_layers(model, &times))
}

fn in_pool<T: Send>(pool: Option<&rayon::ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

fn bench_json(
    threads: usize,
    kernels: KernelSet,
    contestants: &[Contestant<'_>],
    times: &[Times],
) -> Value {
    let mut json = json!({ "threads": threads, "kernels": kernels.name(), "against": {} });
    let Some((ours, others)) = times.split_first() else { return json };
    json["runs"] = json!(ours.runs());
    json["median_ms"] = json!(ours.median_ms());
    json["p90_ms"] = json!(ours.p90_ms());
    for (contestant, other) in contestants.iter().skip(1).zip(others) {
        json["against"][contestant.name] = json!({
            "version": contestant.version,
            "threads": contestant.threads,
            "median_ms": other.median_ms(),
            "p90_ms": other.p90_ms(),
            "ratio": other.median_ms() / ours.median_ms(),
        });
    }
    json
}

/// A program without tract takes the same flags.
#[cfg(not(feature = "tract"))]
mod against {
    use fixnet::Model;

    use super::{Args, Contestant};
    use crate::data::{Content, Wanted};

    pub(super) fn contestants(
        args: &Args,
        _model: &Model<'_>,
        _input: (&Content, &Wanted),
    ) -> anyhow::Result<Vec<Contestant<'static>>> {
        let name = args.against.first().map_or("", |rival| rival.name());
        anyhow::bail!(
            "--against {name}: this program was built without tract, which reads ONNX files; \
             measure without --against, or on a 64-bit board"
        )
    }
}

/// A program without tract reads the same files.
#[cfg(not(feature = "tract"))]
mod hybrid {
    use fixnet::{KernelSet, Model, SessionError};

    use super::Contestant;
    use crate::data::Content;
    use crate::report::Row;

    pub(super) fn contestant<'a>(
        model: &Model<'a>,
        _arena: &'a mut [u8],
        _kernels: KernelSet,
        _threads: (usize, Option<&'a rayon::ThreadPool>),
        _input: &Content,
    ) -> anyhow::Result<Contestant<'a>> {
        Err(SessionError::FloatParts { count: model.float_parts().count() }.into())
    }

    pub(super) fn rows(
        model: &Model<'_>,
        _kernels: KernelSet,
        _threads: (usize, Option<&rayon::ThreadPool>),
        _input: &Content,
    ) -> anyhow::Result<Vec<Row>> {
        Err(SessionError::FloatParts { count: model.float_parts().count() }.into())
    }
}
