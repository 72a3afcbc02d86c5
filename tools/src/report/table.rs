//! Tables and numbers as people like to read them.

use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets,
};

/// A column's heading and the side that its cells keep to.
pub(super) type Column = (&'static str, CellAlignment);

pub(super) const fn left(heading: &'static str) -> Column {
    (heading, CellAlignment::Left)
}

pub(super) const fn right(heading: &'static str) -> Column {
    (heading, CellAlignment::Right)
}

/// An empty table whose only line is the one below the headings.
pub(super) fn table(columns: &[Column]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(h, _)| Cell::new(h).add_attribute(Attribute::Bold)));
    for (column, (_, alignment)) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(*alignment);
        column.set_padding((0, 2));
    }
    table
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
