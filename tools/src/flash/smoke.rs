//! The smoke test of a board: one image, this machine's result for it, and how the result of a Linux
//! board's program is read.

use std::path::Path;

use fixnet::{KernelSet, Model, SessionError};
use serde::Deserialize;
use thiserror::Error;

use crate::boards::Board;
use crate::data::dead_leaves::dead_leaves;
use crate::data::{DataError, InputSize, Recipe, Resizing, Source, to_png};
use crate::files::{self, FileError, ScratchFolder};
use crate::firmware::{BoardInference, BoardLayer, BoardReport};
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

/// An image that board and host both run.
#[derive(Debug)]
pub struct Smoke {
    pub name: String,
    /// The image file, and its name on the board.
    pub file: Vec<u8>,
    pub file_name: String,
    /// What `run` on the board must be told of the image.
    pub flags: Vec<String>,
    /// What was done to give it the network's size.
    pub note: Option<String>,
    /// The pixels that the network sees.
    pub rgb: Vec<u8>,
    pub host: HostResult,
}

impl Smoke {
    /// The image `input`, or a generated one, and what this machine makes of it.
    ///
    /// # Errors
    /// [`SmokeError`] naming the file.
    pub fn new(
        model: &Model<'_>,
        recipe: &Recipe,
        input: Option<(&Path, Resizing)>,
    ) -> Result<Self, SmokeError> {
        let shape = model.input();
        let size = InputSize { height: shape.height, width: shape.width };
        // What the board reads is read here, too: a recipe may resize and crop.
        let (name, file, extension, (sample, note)) = match input {
            Some((path, resizing)) => {
                let name = path.display().to_string();
                let file = files::read(path, files::IMAGE)
                    .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
                let sample = resizing.load(&Source::Image(path.to_owned()), recipe, size)?;
                let extension = path.extension().unwrap_or_default().to_string_lossy();
                (name, file, extension.to_lowercase(), sample)
            }
            None => {
                let file = to_png(&dead_leaves(0, 0, size.width, size.height))?;
                let folder = ScratchFolder::new()?;
                let path = folder.path().join("generated.png");
                std::fs::write(&path, &file)
                    .map_err(|reason| DataError::Io { path: path.clone(), reason })?;
                let sample = Source::Image(path).load_fitting(recipe, size)?;
                ("a generated image".to_string(), file, "png".to_string(), sample)
            }
        };
        let rgb = sample.pixels.data;
        let host = host_result(model, &rgb, KernelSet::detect())?;
        let flags = input.map(|(_, resizing)| resizing.flags()).unwrap_or_default();
        let file_name = format!("self-test.{extension}");
        Ok(Self { name, file, file_name, flags, note, rgb, host })
    }
}

/// What `run --json --checksums` prints, as far as it is needed.
#[derive(Debug, Deserialize)]
struct RunJson {
    input_crc32: String,
    logits: Vec<i32>,
    layers: Vec<LayerJson>,
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
