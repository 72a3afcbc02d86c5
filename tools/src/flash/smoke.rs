//! The smoke test of a board: one image, this machine's result for it, and how the result of a Linux
//! board's program is read.

use std::path::Path;

use fixnet::{KernelSet, Model, SessionError};
use serde::Deserialize;
use thiserror::Error;

use crate::boards::Board;
use crate::data::{Content, DataError, InputShape, Resizing, Source, Wanted, to_npy, to_png};
use crate::files::{self, FileError, ScratchFolder};
use crate::firmware::{BoardInference, BoardLayer, BoardReport};
use crate::images::{generated, generated_name};
use crate::report::{HostResult, host_result};

const NANOSECONDS: u64 = 1_000_000_000;

/// Why there is no input for the board's first run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SmokeError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Temporary(#[from] FileError),
}

/// An input that board and host both run.
#[derive(Debug)]
pub struct Smoke {
    pub name: String,
    /// The file of an image or a tensor, and its name on the board.
    pub file: Vec<u8>,
    pub file_name: String,
    /// What `run` on the board must be told of the image.
    pub flags: Vec<String>,
    /// What was done to give it the network's size.
    pub note: Option<String>,
    /// What the network sees.
    pub content: Content,
    pub host: HostResult,
}

impl Smoke {
    /// The image `input`, or a generated one, and what this machine makes of it.
    ///
    /// # Errors
    /// [`SmokeError`] naming the file.
    pub fn new(model: &Model<'_>, input: Option<(&Path, Resizing)>) -> Result<Self, SmokeError> {
        let wanted = Wanted::by(model);
        // What the board reads is read here, too: a recipe may resize and crop.
        let (name, file, extension, (sample, note)) = match input {
            Some((path, resizing)) => {
                let name = path.display().to_string();
                let file = files::read(path, files::IMAGE)
                    .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
                let sample = resizing.load(&Source::of_file(path), &wanted)?;
                let extension = path.extension().unwrap_or_default().to_string_lossy();
                (name, file, extension.to_lowercase(), sample)
            }
            None => {
                let InputShape { height, width, channels } = wanted.shape;
                let (file, extension) = match generated(0, 0, &wanted) {
                    Content::Pixels(pixels) => (to_png(&pixels)?, "png"),
                    Content::Real(values) => (to_npy(&[height, width, channels], &values), "npy"),
                };
                let folder = ScratchFolder::new()?;
                let path = folder.path().join(format!("generated.{extension}"));
                std::fs::write(&path, &file)
                    .map_err(|reason| DataError::Io { path: path.clone(), reason })?;
                let sample = Source::of_file(&path).load_fitting(&wanted)?;
                (generated_name(&wanted).to_string(), file, extension.to_string(), sample)
            }
        };
        let content = sample.content;
        let host = host_result(model, &content, KernelSet::detect())?;
        let flags = input.map(|(_, resizing)| resizing.flags()).unwrap_or_default();
        let file_name = format!("self-test.{extension}");
        Ok(Self { name, file, file_name, flags, note, content, host })
    }
}

/// What `run --json --checksums` prints, as far as it is needed.
#[derive(Debug, Deserialize)]
struct RunJson {
    input_crc32: String,
    #[serde(default)]
    logits: Vec<i32>,
    #[serde(default)]
    outputs: Vec<OutputJson>,
    layers: Vec<LayerJson>,
}

#[derive(Debug, Deserialize)]
struct OutputJson {
    crc32: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LayerJson {
    name: String,
    kernel: String,
    ns: u64,
    crc32: Option<String>,
}

/// Reads what `run --json --checksums` printed on a board as a report.
///
/// # Errors
/// What cannot be understood.
pub fn report_of_run(board: &Board, text: &str) -> Result<BoardReport, String> {
    let run: RunJson = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let hex =
        |text: &str| u32::from_str_radix(text, 16).map_err(|error| format!("{text}: {error}"));
    let layer = |layer: LayerJson| {
        let crc32 = layer.crc32.as_deref().map(hex).transpose()?;
        Ok(BoardLayer { name: layer.name, kernel: layer.kernel, ticks: layer.ns, crc32 })
    };
    let layers: Vec<BoardLayer> =
        run.layers.into_iter().map(layer).collect::<Result<_, String>>()?;
    let inference = BoardInference {
        input_crc32: hex(&run.input_crc32)?,
        ticks: layers.iter().map(|layer| layer.ticks).sum(),
        layers,
        logits: run.logits,
        outputs: run
            .outputs
            .iter()
            .filter_map(|output| output.crc32.as_deref())
            .map(hex)
            .collect::<Result<_, String>>()?,
        ..BoardInference::default()
    };
    Ok(BoardReport {
        board: board.name.clone(),
        clock_source: "instant".to_string(),
        ticks_per_second: NANOSECONDS,
        inferences: vec![inference],
        ..BoardReport::default()
    })
}
