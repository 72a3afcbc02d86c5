//! What the tools print: tables for people, JSON for scripts. No figures are made here but times.

mod arena_map;
mod arena_svg;
mod bench;
mod board_run;
mod boards;
#[cfg(feature = "tract")]
mod comparison;
mod float_parts;
#[cfg(feature = "tract")]
mod float_time;
#[cfg(feature = "tract")]
mod hybrid_time;
mod inference;
mod plan;
mod table;
mod timing;
#[cfg(feature = "tract")]
pub mod verdicts;

use std::fmt::Write;

use fixnet::{KernelFamily, Model};

pub use arena_map::{ArenaMap, Occupant};
pub use arena_svg::arena_svg;
pub use bench::bench_table;
pub use board_run::{BoardRun, HostResult, host_result};
pub use boards::{BoardRow, boards_table};
#[cfg(feature = "tract")]
pub use comparison::{Summary, comparison_text};
pub use float_parts::float_parts_text;
#[cfg(feature = "tract")]
pub use float_time::time_float;
#[cfg(feature = "tract")]
pub use hybrid_time::{time_hybrid, time_plan};
pub use inference::{Inference, OutputValues, Row, Scores, TopClass, latency_table};
pub use plan::{plan_json, plan_text};
pub use table::{Table, bytes, count, left, names, prose, right, shape, table};
pub use timing::{LayerTime, medians, time_layers, time_layers_by_threads};

/// What the model needs, to the byte.
#[must_use]
pub fn memory_text(model: &Model<'_>, kernels: KernelFamily) -> String {
    let required = model.required_by_family(kernels, 1);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "arena   {:>11} B = {} B activations + {} B scratch of the {} kernels",
        required.arena(),
        required.activations,
        required.arena() - required.activations,
        kernels.name(),
    );
    let _ = writeln!(text, "weights {:>11} B", model.weight_bytes());
    let _ = writeln!(text, "file    {:>11} B", model.file_bytes());
    text
}
