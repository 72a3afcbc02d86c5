//! `fixnet boards`: the boards there are, what they have, and whether a model fits.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{check_model, read_model};
use crate::boards::{Board, FitError, fit_bare_metal, fit_linux};
use crate::output::{print, print_json};
use crate::report::{BoardRow, boards_table};

/// List the boards, or say whether a model fits them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this board.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// An int8 model: say what it takes of each board.
    #[arg(value_name = "FILE.fxn")]
    file: Option<PathBuf>,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 1 if a board was named and the model does not fit it.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let boards = match &args.board {
        Some(name) => vec![Board::load(name)?],
        None => Board::all()?,
    };
    let file = args.file.as_deref().map(|path| Ok((path, read_model(path)?)));
    let file = file.transpose().map_err(|e: anyhow::Error| e)?;
    let model = file.as_ref().map(|(path, bytes)| check_model(path, bytes)).transpose()?;
    let rows: Vec<BoardRow<'_>> = boards
        .iter()
        .map(|board| BoardRow {
            board,
            fits: model.as_ref().map(|model| {
                let bare_metal = board
                    .bare_metal
                    .as_ref()
                    .map(|_| fit_bare_metal(board, model).map(|fit| fit.arena_bytes));
                let linux = board
                    .linux
                    .as_ref()
                    .map(|_| fit_linux(board, model, 0).map(|fit| fit.ram_bytes));
                [bare_metal, linux].into_iter().flatten().collect()
            }),
        })
        .collect();
    match args.json {
        true => print_json(&rows.iter().map(json).collect::<Vec<_>>())?,
        false => print(&boards_table(&rows))?,
    }
    let refused = args.board.is_some() && rows.iter().any(|row| !row.fits_somewhere());
    Ok(if refused { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn json(row: &BoardRow<'_>) -> Value {
    let board = row.board;
    let mut value = json!({
        "board": board.name,
        "description": board.description,
        "chip": board.chip,
        "core": board.core,
        "bare_metal": board.bare_metal.as_ref().map(|b| b.target.as_str()),
        "linux": board.linux.as_ref().map(|l| l.targets.as_slice()),
        "qemu": board.qemu.as_ref().map(|q| q.machine.as_str()),
    });
    if let Some(fits) = &row.fits {
        let errors = fits.iter().filter_map(|fit| fit.as_ref().err()).map(FitError::to_string);
        value["fits"] = json!(row.fits_somewhere());
        value["refusals"] = json!(errors.collect::<Vec<_>>());
    }
    value
}
