//! `fixnet bench --worker`: inferences on request, as `bench/worker.py` speaks of other runtimes.

use std::io::{self, BufRead, Write};

use anyhow::Context;
use serde_json::{Value, json};

use super::Contestant;
use crate::data::{Content, InputShape, Pixels, Wanted};

/// Most inferences of one request.
const MAX_RUNS: usize = 1_000_000;

/// An input that takes no time to make, for whoever measures the time to the first result: ramps.
pub(super) fn ramps(wanted: &Wanted) -> Content {
    let InputShape { height, width, channels } = wanted.shape;
    let ramps = (0..wanted.shape.elements()).map(|at| at as u8);
    match wanted.recipe {
        Some(_) => Content::Pixels(Pixels { width, height, channels, data: ramps.collect() }),
        None => Content::Real(ramps.map(f32::from).collect()),
    }
}

/// Runs once, tells what runs, and then measures as many inferences as each line of `requests` asks
/// for; ends with `requests`.
pub(super) fn serve(
    contestant: &mut Contestant<'_>,
    facts: &Value,
    requests: impl BufRead,
    mut answers: impl Write,
) -> anyhow::Result<()> {
    (contestant.run)()?;
    let mut answer = |value: &Value| writeln!(answers, "{value}").and_then(|()| answers.flush());
    answer(facts).or_else(end_of_reader)?;
    for line in requests.lines() {
        let line = line.context("standard input")?;
        let runs = line.trim().parse().ok().filter(|runs| (1..=MAX_RUNS).contains(runs));
        let runs = runs.with_context(|| {
            format!("standard input: {line:?} is no number of runs from 1 to {MAX_RUNS}")
        })?;
        let times: anyhow::Result<Vec<u64>> =
            (0..runs).map(|_| Ok((contestant.run)()?.as_nanos() as u64)).collect();
        answer(&json!(times?)).or_else(end_of_reader)?;
    }
    Ok(())
}

/// Whoever closes the pipe wants no more answers.
fn end_of_reader(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(requests: &str) -> anyhow::Result<String> {
        let mut contestant = Contestant::here("test", 1, || Ok(()));
        let mut answers = Vec::new();
        serve(&mut contestant, &json!({"runtime": "test"}), requests.as_bytes(), &mut answers)?;
        Ok(String::from_utf8(answers)?)
    }

    #[test]
    fn every_request_is_answered_with_as_many_times() {
        let answers = served("2\n 3\n").unwrap();
        let lines: Vec<Value> = answers.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0], json!({"runtime": "test"}));
        let counts: Vec<usize> = lines[1..].iter().map(|l| l.as_array().unwrap().len()).collect();
        assert_eq!(counts, [2, 3]);
    }

    #[test]
    fn a_request_that_is_no_count_is_refused() {
        for request in ["", "0", "-1", "many", "1000001", "99999999999999999999"] {
            let error = served(&format!("{request}\n")).unwrap_err().to_string();
            assert!(error.contains("no number of runs"), "{error}");
        }
    }
}
