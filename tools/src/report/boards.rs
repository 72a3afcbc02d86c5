//! The table of boards.

use std::fmt::Write;

use super::table::{left, names, prose, table};
use crate::boards::{Board, Fit, FitError};
use crate::output;

/// A board and, for each way it runs, what a model takes of it or why it is refused.
pub struct BoardRow<'a> {
    pub board: &'a Board,
    pub fits: Option<Vec<Result<Fit, FitError>>>,
}

impl BoardRow<'_> {
    /// Whether there was no model, or one way of running it.
    #[must_use]
    pub fn fits_somewhere(&self) -> bool {
        self.fits.as_ref().is_none_or(|fits| fits.iter().any(Result::is_ok))
    }
}

/// One row a board; below it, why a model is refused.
#[must_use]
pub fn boards_table(rows: &[BoardRow<'_>]) -> String {
    let with_model = rows.iter().any(|row| row.fits.is_some());
    let mut columns = vec![
        names("board"),
        prose("what"),
        names("core").rank(3),
        names("without an OS").rank(2),
        left("Linux"),
        names("QEMU").rank(1),
    ];
    if with_model {
        columns.push(left("model"));
    }
    let mut list = table(&columns);
    for row in rows {
        let board = row.board;
        let dash = || "-".to_string();
        let mut cells = vec![
            board.name.clone(),
            board.description.clone(),
            board.core.clone(),
            board.bare_metal.as_ref().map_or_else(dash, |b| b.target.clone()),
            board.linux.as_ref().map_or_else(dash, |_| "yes".to_string()),
            board.emulated_as().map_or_else(dash, str::to_owned),
        ];
        if with_model {
            let verdict = if row.fits_somewhere() { "fits" } else { "does not fit" };
            cells.push(verdict.to_string());
        }
        list.add_row(cells);
    }
    let mut text = format!("{list}\n");
    let refusals = rows.iter().filter_map(|row| row.fits.as_ref()).flatten();
    for error in refusals.filter_map(|fit| fit.as_ref().err()) {
        let _ = writeln!(text, "{}", output::line(&error.to_string()));
    }
    text
}
