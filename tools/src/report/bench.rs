//! What `bench` prints.

use fixnet::KernelSet;

use super::table::{names, right, table};
use crate::bench::{Contestant, Times};
use crate::output;

/// Times side by side; the first contestant is the measure of the others.
#[must_use]
pub fn bench_table<E>(
    model: &str,
    kernels: KernelSet,
    contestants: &[Contestant<'_, E>],
    times: &[Times],
) -> String {
    let mut rows = table(&[
        names("runtime"),
        right("threads"),
        right("median ms"),
        right("p90 ms"),
        right("times as long"),
    ]);
    let first = times.first().map_or(f64::NAN, Times::median_ms);
    for (contestant, times) in contestants.iter().zip(times) {
        let version = contestant.version.iter().map(|version| format!(" {version}"));
        rows.add_row(vec![
            std::iter::once(contestant.name.to_owned()).chain(version).collect(),
            contestant.threads.to_string(),
            format!("{:.3}", times.median_ms()),
            format!("{:.3}", times.p90_ms()),
            format!("{:.2}", times.median_ms() / first),
        ]);
    }
    let runs = times.first().map_or(0, Times::runs);
    let (set, model) = (kernels.name(), output::name(model));
    format!("{model}, {set} kernels, {runs} runs in turn\n\n{rows}\n")
}
