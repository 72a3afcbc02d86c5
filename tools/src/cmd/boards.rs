//! `fixnet boards`: the boards there are, what they have, and whether a model fits.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use fixnet::AlignedBytes;
use serde_json::{Value, json};

use super::{LimitArgs, read_model, with_spinner};
use crate::boards::{Board, FIRMWARE_HELP, Fit, FitError, Place, fit_bare_metal, fit_linux};
use crate::cmd::InFile;
use crate::files::{self, PROGRAM, ScratchFolder};
use crate::firmware::{build_minimal, image_size};
use crate::output::{print, print_json};
use crate::report::{BoardRow, boards_table, bytes};

/// List the boards, or say whether a model fits them.
#[derive(Debug, clap::Args)]
#[command(after_help = FIRMWARE_HELP)]
pub struct Args {
    /// Only this board.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// An int8 model: say what it takes of each board.
    #[arg(value_name = "FILE.fxn")]
    file: Option<PathBuf>,
    /// Build the smallest image around the model, without a console, and say what its code takes of
    /// the board's budget (Cortex-M).
    #[arg(long, requires = "board", requires = "file")]
    code: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 1 if a board was named and the model or the code does not fit it.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let boards = match &args.board {
        Some(name) => vec![Board::load(name)?],
        None => Board::all()?,
    };
    let file = args.file.as_deref().map(|path| anyhow::Ok((path, read_model(path)?)));
    let file: Option<(&Path, AlignedBytes)> = file.transpose()?;
    let model =
        file.as_ref().map(|(path, bytes)| args.limits.check_model(path, bytes)).transpose()?;
    if let (true, [board], Some((path, bytes))) = (args.code, boards.as_slice(), &file) {
        return code(args, board, path, bytes);
    }
    let rows: Vec<BoardRow<'_>> = boards
        .iter()
        .map(|board| BoardRow {
            board,
            fits: model.as_ref().map(|model| {
                let bare_metal = board
                    .bare_metal
                    .as_ref()
                    .map(|_| fit_bare_metal(board, model).map(Fit::BareMetal));
                let linux =
                    board.linux.as_ref().map(|_| fit_linux(board, model, 0).map(Fit::Linux));
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

/// Builds the smallest image and prints what it takes.
fn code(args: &Args, board: &Board, path: &Path, model: &[u8]) -> anyhow::Result<ExitCode> {
    let bare_metal = board.require_bare_metal()?;
    let (Some(ram), Some(budget)) = (bare_metal.ram, bare_metal.budget.code) else {
        bail!("{}: there is no budget of code; its image does not lie in flash", board.name);
    };
    let folder = ScratchFolder::new()?;
    let elf = folder.path().join("minimal.elf");
    let path = path.canonicalize().in_file(path)?;
    with_spinner("building the image", || build_minimal(board, &path, &[], &elf))?;
    let elf = files::read(&elf, PROGRAM).in_file(&elf)?;
    let size = image_size(&elf, ram, model)?;
    if args.json {
        print_json(&json!({
            "board": board.name,
            "target": bare_metal.target,
            "code_bytes": size.code,
            "code_budget": budget,
            "flash_bytes": size.flash,
            "ram_bytes": size.ram,
        }))?;
    } else {
        print(&format!(
            "{}: the smallest image takes {} B of flash, {} B of it code (budget {} B), {} B of RAM\n",
            board.name,
            bytes(size.flash),
            bytes(size.code),
            bytes(budget),
            bytes(size.ram)
        ))?;
    }
    Ok(if size.code <= budget { ExitCode::SUCCESS } else { ExitCode::from(1) })
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
        "qemu": board.emulated_as(),
    });
    if let Some(fits) = &row.fits {
        let errors = fits.iter().filter_map(|fit| fit.as_ref().err()).map(FitError::to_string);
        value["fits"] = json!(row.fits_somewhere());
        value["refusals"] = json!(errors.collect::<Vec<_>>());
        for fit in fits.iter().flatten() {
            let (way, needs) = needs(fit);
            value["needs"][way] = needs;
        }
    }
    value
}

/// The bytes that a model takes, by the way it runs.
fn needs(fit: &Fit) -> (&'static str, Value) {
    match fit {
        Fit::BareMetal(fit) => {
            let place = match fit.place {
                Place::Flash => "flash",
                Place::Memory => "memory",
            };
            let needs = json!({
                "kernels": fit.kernels.name(),
                "arena_bytes": fit.arena_bytes,
                "payload_bytes": fit.payload_bytes,
                "payload_in": place,
            });
            ("bare_metal", needs)
        }
        Fit::Linux(fit) => {
            ("linux", json!({ "disk_bytes": fit.disk_bytes, "ram_bytes": fit.ram_bytes }))
        }
    }
}
