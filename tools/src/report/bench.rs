//! What `bench` prints.

use fixnet::KernelSet;

use super::table::{left, right, table};
use crate::bench::Times;

/// Times side by side; the first contestant is the measure of the others.
#[must_use]
pub fn bench_table(
    model: &str,
    kernels: KernelSet,
    names: &[(&str, usize)],
    times: &[Times],
) -> String {
    let mut rows = table(&[
        left("runtime"),
        right("threads"),
        right("median ms"),
        right("p90 ms"),
        right("times as long"),
    ]);
    let first = times.first().map_or(f64::NAN, Times::median_ms);
    for ((name, threads), times) in names.iter().zip(times) {
        rows.add_row(vec![
            name.to_string(),
            threads.to_string(),
            format!("{:.3}", times.median_ms()),
            format!("{:.3}", times.p90_ms()),
            format!("{:.2}", times.median_ms() / first),
        ]);
    }
    let runs = times.first().map_or(0, Times::runs);
    let set = kernels.name();
    format!("{model}, {set} kernels, {runs} runs in turn\n\n{rows}\n")
}
