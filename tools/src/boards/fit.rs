//! Whether a model fits a board, before anything is built.

use fixnet::{KernelFamily, Model};
use thiserror::Error;

use super::{BareMetal, Board, BoardError, Linux};
use crate::output;

/// Header of a payload and padding to the next aligned byte, next to the model and one input.
const PAYLOAD_OVERHEAD: usize = 128;

/// Where a model lies on a board without an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the image, in flash.
    Flash,
    /// Outside of the image.
    Memory,
}

/// What a model takes of a board without an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareMetalFit {
    pub place: Place,
    /// Model and one input.
    pub payload_bytes: usize,
    /// The kernels that run it, and their activations and scratch.
    pub kernels: KernelFamily,
    pub arena_bytes: usize,
}

/// What a model takes of a board that runs Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinuxFit {
    pub disk_bytes: usize,
    /// Model and arena.
    pub ram_bytes: usize,
}

/// What a model takes of a board, one way of running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    BareMetal(BareMetalFit),
    Linux(LinuxFit),
}

/// Why a model does not go onto a board.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FitError {
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(
        "the model has parts in float ({count}), which board {board} cannot run without an operating \
         system"
    )]
    FloatParts { board: String, count: usize },
    #[error(
        "board {board} has no operating system to run tract, and these nodes have no int8 form \
         or stand beside one that has none: {nodes}"
    )]
    FloatNodes { board: String, nodes: String },
    #[error(
        "the model does not fit {board}: {what} needs {needed} bytes and {available} are available"
    )]
    TooLarge { board: String, what: &'static str, needed: usize, available: usize },
    #[error("the model is packed for {target}, which board {board} ({core}) does not run")]
    WrongTarget { board: String, core: String, target: &'static str },
}

/// Checks a model against the budget of a board, however the board runs it.
///
/// # Errors
/// [`FitError`]: of a board with two ways, why the better one is closed.
pub fn fit(board: &Board, model: &Model<'_>) -> Result<Fit, FitError> {
    let linux = || fit_linux(board, model, 0).map(Fit::Linux);
    if board.bare_metal.is_none() || model.float_parts().next().is_some() {
        return linux();
    }
    match fit_bare_metal(board, model).map(Fit::BareMetal) {
        Err(_) if board.linux.is_some() => linux(),
        bare_metal => bare_metal,
    }
}

/// Refuses nodes that stay in float, by name and operator, on a board without an operating system.
///
/// # Errors
/// [`FitError::FloatNodes`] with the names of the first ones.
pub fn check_float_nodes(board: &Board, nodes: &[(&str, &str)]) -> Result<(), FitError> {
    const SHOWN: usize = 8;
    if nodes.is_empty() || board.linux.is_some() {
        return Ok(());
    }
    let shown = nodes.iter().take(SHOWN);
    let mut names: Vec<String> = shown
        .map(|(name, op)| format!("\"{}\" ({})", output::name(name), output::name(op)))
        .collect();
    if nodes.len() > SHOWN {
        names.push(format!("{} more", nodes.len() - SHOWN));
    }
    Err(FitError::FloatNodes { board: board.name.clone(), nodes: names.join(", ") })
}

/// Checks a model against the budget of a board without an operating system.
///
/// # Errors
/// [`FitError::TooLarge`] with the bytes that are needed and available, that the board only runs
/// Linux or another target's files, or that the model has float parts.
pub fn fit_bare_metal(board: &Board, model: &Model<'_>) -> Result<BareMetalFit, FitError> {
    let bare_metal = board.require_bare_metal()?;
    let count = model.float_parts().count();
    if count > 0 {
        return Err(FitError::FloatParts { board: board.name.clone(), count });
    }
    let limit = Limit { board };
    let kernels = kernels(board, model)?;
    let arena_bytes = model.required_by_family(kernels, 1).arena();
    limit.check("the arena", arena_bytes, bare_metal.budget.arena)?;
    let payload_bytes = model.file_bytes() + model.input().elements() + PAYLOAD_OVERHEAD;
    let place = place(&limit, bare_metal, payload_bytes)?;
    Ok(BareMetalFit { place, payload_bytes, kernels, arena_bytes })
}

/// Flash if the board has it and the model fits, else the memory outside of the image.
fn place(
    limit: &Limit<'_>,
    bare_metal: &BareMetal,
    payload_bytes: usize,
) -> Result<Place, FitError> {
    let code = bare_metal.budget.code.unwrap_or(0);
    let flash = bare_metal
        .budget
        .flash
        .map(|available| limit.check("code and model in flash", code + payload_bytes, available));
    match (flash, bare_metal.payload) {
        (Some(Ok(())), _) => Ok(Place::Flash),
        (Some(Err(error)), None) => Err(error),
        (_, Some(region)) => {
            limit.check("the model in memory", payload_bytes, region.bytes)?;
            Ok(Place::Memory)
        }
        (None, None) => limit.check("the model", payload_bytes, 0).map(|()| Place::Memory),
    }
}

/// Checks a model, and a program of `program_bytes`, against the budget of a board that runs Linux.
///
/// # Errors
/// [`FitError::TooLarge`], or that the board does not run Linux.
pub fn fit_linux(
    board: &Board,
    model: &Model<'_>,
    program_bytes: usize,
) -> Result<LinuxFit, FitError> {
    let Linux { budget, .. } = board.require_linux()?;
    let limit = Limit { board };
    let disk_bytes = program_bytes + model.file_bytes();
    kernels(board, model)?;
    // Whichever of its programs a board runs.
    let families = board.families().filter(|family| family.runs(model.target()));
    let arenas = families.map(|kernels| model.required_by_family(kernels, 1).arena());
    let ram_bytes = model.file_bytes() + arenas.max().unwrap_or(0);
    limit.check("program and model on disk", disk_bytes, budget.disk)?;
    limit.check("model and arena in memory", ram_bytes, budget.ram)?;
    Ok(LinuxFit { disk_bytes, ram_bytes })
}

/// The best kernels of a board that run the model.
fn kernels(board: &Board, model: &Model<'_>) -> Result<KernelFamily, FitError> {
    let target = model.target();
    board.kernels(target).ok_or_else(|| FitError::WrongTarget {
        board: board.name.clone(),
        core: board.core.clone(),
        target: target.name(),
    })
}

struct Limit<'b> {
    board: &'b Board,
}

impl Limit<'_> {
    fn check(&self, what: &'static str, needed: usize, available: usize) -> Result<(), FitError> {
        if needed <= available {
            return Ok(());
        }
        Err(FitError::TooLarge { board: self.board.name.clone(), what, needed, available })
    }
}
