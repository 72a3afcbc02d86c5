//! One file a subcommand: its arguments and its `run`.

pub mod bench;
pub mod boards;
#[cfg(feature = "tract")]
pub mod check;
#[cfg(feature = "tract")]
pub mod compare;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(all(feature = "flash", unix))]
pub mod flash;
pub mod inspect;
mod kernels;
mod limits;
#[cfg(feature = "tract")]
pub mod make_model;
pub mod pack;
pub mod qemu;
#[cfg(feature = "tract")]
pub mod quantize;
pub mod run;

pub use kernels::{
    KernelArgs, check_target, parse_family, parse_kernels, runnable_here, shown_family,
    whole_and_portable,
};
pub use limits::LimitArgs;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use fixnet::{AlignedBytes, Model};
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::{Recipe, recipe_of};

/// More than any machine in sight has cores.
const MAX_THREADS: u64 = 256;

/// Offsets in a model file have 32 bits.
const MAX_MODEL_BYTES: u64 = u32::MAX as u64;

/// The start of a program, before anything else.
pub fn start() {
    #[cfg(feature = "tract")]
    fixnet::float::silence_caught_panics();
}

/// The end of a program: an error becomes one line on standard error and exit code 2.
#[must_use]
pub fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            let line: Vec<String> = format!("{error:#}").lines().map(str::to_string).collect();
            eprintln!("error: {}", line.join(" "));
            ExitCode::from(2)
        }
    }
}

/// A bar for whatever takes longer than a second; nothing where nobody looks.
#[must_use]
pub fn progress(what: &'static str, count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:32} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A sign of life while `work` runs; nothing where nobody looks.
pub fn with_spinner<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let spinner = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner().with_message(what)
    } else {
        ProgressBar::hidden()
    };
    spinner.enable_steady_tick(Duration::from_millis(200));
    let result = work();
    spinner.finish_and_clear();
    result
}

/// Reads a model file into aligned memory, which is all that it takes.
///
/// # Errors
/// One line that names the file.
pub fn read_model(path: &Path) -> anyhow::Result<AlignedBytes> {
    read_aligned(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn read_aligned(path: &Path) -> io::Result<AlignedBytes> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > MAX_MODEL_BYTES {
        return Err(io::Error::other("it is larger than a model file can be"));
    }
    // Pipes have no length.
    let len = if metadata.is_file() { metadata.len() as usize } else { 0 };
    let mut bytes = AlignedBytes::try_zeroed(len).map_err(io::Error::other)?;
    file.read_exact(bytes.as_mut_slice())?;
    let mut rest = Vec::new();
    file.take(MAX_MODEL_BYTES).read_to_end(&mut rest)?;
    if rest.is_empty() {
        return Ok(bytes);
    }
    let mut all = AlignedBytes::try_zeroed(len + rest.len()).map_err(io::Error::other)?;
    let (first, second) = all.as_mut_slice().split_at_mut(len);
    first.copy_from_slice(&bytes);
    second.copy_from_slice(&rest);
    Ok(all)
}

/// The preprocessing that a model file carries.
///
/// # Errors
/// One line that names the file.
pub fn embedded_recipe(path: &Path, model: &Model<'_>) -> anyhow::Result<Recipe> {
    recipe_of(model).ok_or_else(|| {
        anyhow::anyhow!(
            "{}: the file carries no preprocessing; make it again with `fixnet quantize`",
            path.display()
        )
    })
}

/// Runs what works on many images at once, each on one thread: on `threads` of them, or on all cores.
///
/// # Errors
/// Threads that the system does not give.
pub fn over_images<T: Send>(
    threads: Option<usize>,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let Some(threads) = threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.with_context(|| format!("--threads {threads}"))?.install(work)
}

/// Runs one inference's work where its layers find so many threads.
///
/// # Errors
/// Threads that the system does not give.
pub fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    match threads {
        0 | 1 => work(),
        _ => over_images(Some(threads), work),
    }
}

/// Understands a number of threads.
#[must_use]
pub fn thread_count() -> RangedU64ValueParser<usize> {
    positive().range(..=MAX_THREADS)
}

/// Understands a count that may not be 0.
#[must_use]
pub fn positive() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Understands `1,3,224,224`.
///
/// # Errors
/// What is expected.
pub fn parse_shape(text: &str) -> Result<Shape, String> {
    let sides: Result<Vec<usize>, _> = text.split([',', 'x']).map(|n| n.trim().parse()).collect();
    match sides {
        Ok(sides) if !sides.is_empty() && !sides.contains(&0) => Ok(Shape(sides)),
        _ => Err("expected positive numbers, as 1,3,224,224".to_string()),
    }
}

/// A tensor's shape on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);
