//! Tables and numbers as people like to read them.
//!
//! What may not be broken: a table fits the terminal, whatever names hold: long names lose their
//! middle, texts are folded, and columns that can be done without are left out and named below it.
//! Without a terminal it takes the width that it needs.

use std::fmt::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, TableComponent, presets};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output;

/// Spaces between columns.
const GAP: usize = 2;
/// The renderer's own, between any two columns.
const SEPARATOR: usize = 1;
/// A name is shortened to this before columns are left out, and to the other when none is left to.
const SHORT: usize = 20;
const SHORTEST: usize = 8;

/// A column's heading, the side that its cells keep to, and what becomes of it where space is short.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    heading: &'static str,
    alignment: CellAlignment,
    /// The column with the highest is left out first, one with 0 never.
    rank: u8,
    fold: Fold,
}

/// What becomes of cells that are too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Never,
    /// Names lose their middle.
    Middle,
    /// Texts go on in the next line.
    Lines,
}

/// Short texts of this program, aligned to the left.
#[must_use]
pub const fn left(heading: &'static str) -> Column {
    Column { heading, alignment: CellAlignment::Left, rank: 0, fold: Fold::Never }
}

/// Numbers, aligned to the right.
#[must_use]
pub const fn right(heading: &'static str) -> Column {
    Column { heading, alignment: CellAlignment::Right, rank: 0, fold: Fold::Never }
}

/// Names from files, of any length: shortened in the middle.
#[must_use]
pub const fn names(heading: &'static str) -> Column {
    Column { heading, alignment: CellAlignment::Left, rank: 0, fold: Fold::Middle }
}

/// Sentences, folded into lines.
#[must_use]
pub const fn prose(heading: &'static str) -> Column {
    Column { heading, alignment: CellAlignment::Left, rank: 0, fold: Fold::Lines }
}

impl Column {
    /// May be left out, after all of a higher rank.
    #[must_use]
    pub const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Loses the middle of its cells if it must.
    #[must_use]
    pub const fn shortened(self) -> Self {
        Self { fold: Fold::Middle, ..self }
    }
}

/// Rows below headings and a line.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// An empty table.
#[must_use]
pub fn table(columns: &[Column]) -> Table {
    Table { columns: columns.to_vec(), rows: Vec::new() }
}

impl Table {
    /// Adds a row of cells of whatever text; those that are missing at its end are empty.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells =
            cells.into_iter().chain(std::iter::repeat(String::new())).zip(&self.columns).map(
                |(cell, column)| match column.fold {
                    Fold::Lines => output::line(&cell),
                    Fold::Never | Fold::Middle => output::name(&cell),
                },
            );
        self.rows.push(cells.collect());
    }

    /// The table in lines of at most `limit` columns, if that can be, with bold headings where asked.
    #[must_use]
    pub fn render(&self, limit: Option<usize>, styled: bool) -> String {
        let (kept, widths) = self.fit(limit.unwrap_or(usize::MAX));
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_content_arrangement(ContentArrangement::Disabled);
        match styled {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        let heading =
            |&at: &usize| Cell::new(self.columns[at].heading).add_attribute(Attribute::Bold);
        table.set_header(kept.iter().map(heading));
        for row in &self.rows {
            table.add_row(kept.iter().map(|&at| match self.columns[at].fold {
                Fold::Lines => folded(&row[at], widths[at]),
                Fold::Never | Fold::Middle => shortened(&row[at], widths[at]),
            }));
        }
        for (column, (position, &at)) in table.column_iter_mut().zip(kept.iter().enumerate()) {
            column.set_cell_alignment(self.columns[at].alignment);
            let gap = if position + 1 == kept.len() { 0 } else { GAP - SEPARATOR };
            column.set_padding((0, gap as u16));
        }
        let lines = table.lines().map(|line| line.trim_end().to_string());
        let mut text = lines.collect::<Vec<_>>().join("\n");
        let missing = (0..self.columns.len()).filter(|at| !kept.contains(at));
        let missing: Vec<&str> = missing.map(|at| self.columns[at].heading).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let _ = write!(text, "\n(not shown: {missing}; COLUMNS=200 shows all)");
        }
        text
    }

    /// The columns that stay, and the width of every column.
    fn fit(&self, limit: usize) -> (Vec<usize>, Vec<usize>) {
        let widest = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].width());
            cells.chain([self.columns[at].heading.width()]).max().unwrap_or(0)
        };
        let natural: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let mut widths = natural.clone();
            let fits = self.narrow(&kept, &mut widths, SHORT, limit);
            let last = kept.iter().copied().max_by_key(|&at| self.columns[at].rank);
            match last.filter(|&at| !fits && self.columns[at].rank > 0) {
                Some(last) => kept.retain(|&at| at != last),
                None => {
                    self.narrow(&kept, &mut widths, SHORTEST, limit);
                    return (kept, widths);
                }
            }
        }
    }

    /// Narrows the widest columns, a character at a time and none below `least`, until the table fits
    /// `limit`; `false` if it still does not.
    fn narrow(&self, kept: &[usize], widths: &mut [usize], least: usize, limit: usize) -> bool {
        let gaps = GAP * kept.len().saturating_sub(1);
        loop {
            let total = gaps + kept.iter().map(|&at| widths[at]).sum::<usize>();
            let gives = |at: &usize| {
                let Column { heading, fold, .. } = self.columns[*at];
                fold != Fold::Never && widths[*at] > least.max(heading.width())
            };
            let widest = kept.iter().copied().filter(gives).max_by_key(|&at| widths[at]);
            match widest {
                _ if total <= limit => return true,
                None => return false,
                Some(widest) => widths[widest] -= 1,
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(output::columns(), output::is_styled()))
    }
}

/// `text` in at most `width` columns of the terminal, without its middle if need be: names differ at their
/// ends.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let left = width.saturating_sub(1);
    let head = prefix(text.chars(), left / 3);
    let tail = prefix(text.chars().rev(), left - head.width());
    format!("{head}…{}", tail.chars().rev().collect::<String>())
}

/// As many of the first characters as fit `width` columns of the terminal.
fn prefix(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= width
    };
    chars.take_while(fits).collect()
}

/// `text` in lines of at most `width` columns, broken between words, and within words that are longer.
fn folded(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.width());
        if line > 0 && line + 1 + word.width() > width {
            lines.push(String::new());
        }
        for (at, c) in word.chars().enumerate() {
            if lines.last().is_some_and(|line| line.width() + 1 > width) {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if at == 0 && !line.is_empty() {
                    line.push(' ');
                }
                line.push(c);
            }
        }
    }
    lines.join("\n")
}
/// `56x56x64`.
#[must_use]
pub fn shape(sides: &[usize]) -> String {
    if sides.is_empty() {
        return "-".to_string();
    }
    sides.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// `2.36 M`.
#[must_use]
pub fn count(n: u64) -> String {
    match n {
        0 => "-".to_string(),
        1..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// Exact bytes with thin grouping; `-` for none.
#[must_use]
pub fn bytes(n: usize) -> String {
    if n == 0 {
        return "-".to_string();
    }
    let digits = n.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table =
            table(&[names("layer"), right("MACs").rank(1), prose("what").rank(2), right("µs")]);
        for (name, text) in [
            (
                "features.stage4.unit2.branch.conv1",
                "a sentence of several words, none of them long",
            ),
            (
                "レイヤーレイヤーレイヤーレイヤーレイヤー",
                "aWordThatIsLongerThanAnyColumnOfATableCanEverBeHere",
            ),
            ("short", ""),
        ] {
            table.add_row([name, "12.5 M", text, "1.5"].map(String::from));
        }
        table
    }

    #[test]
    fn a_table_fits_every_terminal_and_names_what_is_missing() {
        let table = example();
        let whole = table.render(None, false);
        assert!(whole.contains("branch.conv1") && !whole.contains("not shown"));
        let widest = whole.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert_eq!(table.render(Some(widest), false), whole);
        for limit in 20..widest {
            let text = table.render(Some(limit), false);
            let rows = text.lines().filter(|line| !line.starts_with('('));
            for line in rows {
                assert!(line.width() <= limit, "{limit}: {line}");
            }
            assert!(text.contains("conv1") && text.contains("1.5"), "{limit}: {text}");
            // The line that names what is missing is none of the table's own.
            let header = text.lines().next().unwrap_or_default();
            let complete = header.contains("MACs") && header.contains("what");
            assert_eq!(text.contains("not shown"), !complete, "{limit}: {text}");
        }
    }

    #[test]
    fn only_a_terminal_that_is_not_dumb_gets_bold() {
        let table = example();
        assert!(table.render(Some(80), true).contains("\x1b[1mlayer"));
        assert!(!table.render(Some(80), false).contains('\x1b'));
    }

    #[test]
    fn no_cell_breaks_its_line() {
        let mut table = table(&[names("name"), prose("text")]);
        table.add_row(["a\nb\x1b[2J".into(), "c\r\nd\u{202e}e\x07".into()]);
        table.add_row(["x".repeat(1 << 20), "y".into()]);
        let text = table.render(None, false);
        assert_eq!(text.lines().count(), 4);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        assert!(text.len() < 2000);
    }

    #[test]
    fn folded_text_keeps_its_words() {
        let text = "one two three four-and-five";
        for width in 1..40 {
            let lines = folded(text, width);
            assert!(lines.lines().all(|line| line.width() <= width), "{width}: {lines}");
            let letters =
                |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines), letters(text));
        }
    }
}
