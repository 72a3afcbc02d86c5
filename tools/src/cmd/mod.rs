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
mod in_file;
pub mod inspect;
mod kernels;
mod limits;
pub mod make_images;
#[cfg(feature = "tract")]
pub mod make_model;
pub mod pack;
mod preprocess;
mod progress;
pub mod qemu;
#[cfg(feature = "tract")]
pub mod quantize;
pub mod run;

pub use in_file::InFile;
pub use kernels::{
    KernelArgs, check_target, parse_family, parse_kernels, runnable_here, shown_family,
    whole_and_portable,
};
pub use limits::LimitArgs;
#[cfg(feature = "tract")]
pub use limits::network_remedy;
pub use preprocess::{GeometryArgs, PreprocessArgs};
#[cfg(feature = "tract")]
pub use progress::Bars;
pub use progress::{progress, with_spinner};

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use fixnet::AlignedBytes;
use fixnet::format::MAGIC;

use crate::data::OpenOptions;
use crate::images::Images;
use crate::{files, output};

/// More than any machine in sight has cores.
const MAX_THREADS: u64 = 256;

/// Offsets in a model file have 32 bits.
const MAX_MODEL_BYTES: u64 = u32::MAX as u64;
/// Of a model that is not read from a file.
const MAX_STREAM_BYTES: u64 = 1 << 30;

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
            output::error(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Reads a model file into aligned memory, which is all that it takes.
///
/// # Errors
/// One line that names the file.
pub fn read_model(path: &Path) -> anyhow::Result<AlignedBytes> {
    read_aligned(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn read_aligned(path: &Path) -> io::Result<AlignedBytes> {
    let mut file = files::open_or_stream(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > MAX_MODEL_BYTES {
        return Err(io::Error::other("it is larger than a model file can be"));
    }
    if metadata.is_file() {
        let len = metadata.len() as usize;
        let mut bytes = AlignedBytes::try_zeroed(len).map_err(io::Error::other)?;
        file.read_exact(bytes.as_mut_slice())?;
        return Ok(bytes);
    }
    // A stream has no length, and maybe no end: no more is read of one that is no model.
    let mut bytes = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
    if bytes == MAGIC {
        file.take(MAX_STREAM_BYTES + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_STREAM_BYTES {
        return Err(io::Error::other("it is longer than a stream may be; give it as a file"));
    }
    let mut aligned = AlignedBytes::try_zeroed(bytes.len()).map_err(io::Error::other)?;
    aligned.as_mut_slice().copy_from_slice(&bytes);
    Ok(aligned)
}

/// Opens a set of images; what its owner should know goes to standard error, and into `notes`.
///
/// # Errors
/// One line that names the file.
pub fn open_images(
    path: &Path,
    options: &OpenOptions,
    notes: &mut Vec<String>,
) -> anyhow::Result<Images> {
    let images = Images::open(path, options)?;
    for note in images.notes() {
        warn_once(note, notes);
    }
    Ok(images)
}

/// Warns, unless `notes` hold the same already.
pub fn warn_once(note: &str, notes: &mut Vec<String>) {
    if !notes.iter().any(|known| known == note) {
        output::warn(note);
        notes.push(note.to_owned());
    }
}

/// Runs what works on many images at once, each on one thread: on `threads` of them, or on all cores.
///
/// # Errors
/// Threads that the system does not give.
pub fn in_thread_pool<T: Send>(
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
        _ => in_thread_pool(Some(threads), work),
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

/// Understands `32` and `49x10`, rows and columns.
///
/// # Errors
/// What is expected.
pub fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => Ok((height, width)),
        _ => Err("expected a number of rows and columns, as 32 or 49x10".to_string()),
    }
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

/// What `--input-shape` and `--output` say of the import.
#[cfg(feature = "tract")]
#[must_use]
pub fn import_options(
    input_shape: Option<&Shape>,
    outputs: &[crate::import::OutputRequest],
) -> crate::import::ImportOptions {
    let input_shape = input_shape.map(|Shape(sides)| sides.clone());
    crate::import::ImportOptions { input_shape, outputs: outputs.to_vec() }
}
