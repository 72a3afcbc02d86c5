//! Whole inferences against the clock: contestants take turns, so that a change of the machine's speed
//! meets all of them.

use std::time::{Duration, Instant};

/// Runs of every contestant that do not count.
const WARM_UP: usize = 3;

/// Something that runs one inference.
pub struct Contestant<'a, E> {
    pub name: &'static str,
    /// Of a runtime that is not part of this program.
    pub version: Option<String>,
    /// Threads that it runs on.
    pub threads: usize,
    /// Runs once and gives the time.
    pub run: Box<dyn FnMut() -> Result<Duration, E> + 'a>,
}

impl<'a, E> Contestant<'a, E> {
    /// One that runs in this process.
    pub fn here(
        name: &'static str,
        threads: usize,
        mut run: impl FnMut() -> Result<(), E> + 'a,
    ) -> Self {
        let timed = move || {
            let start = Instant::now();
            run()?;
            Ok(start.elapsed())
        };
        Self { name, version: None, threads, run: Box::new(timed) }
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runs of every contestant.
    pub runs: usize,
    /// No round starts after this time, once `least` are done.
    pub budget: Duration,
    pub least: usize,
}

/// Times of one contestant, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    #[must_use]
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of the runs do not exceed (nearest rank), in milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    #[must_use]
    pub fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    #[must_use]
    pub fn p90_ms(&self) -> f64 {
        self.percentile_ms(90)
    }
}

/// Runs the contestants in turn after a warm-up; `done` is called once a round.
///
/// # Errors
/// The first run that fails.
pub fn take_turns<E>(
    contestants: &mut [Contestant<'_, E>],
    limits: Limits,
    done: impl Fn(),
) -> Result<Vec<Times>, E> {
    for _ in 0..WARM_UP {
        for contestant in contestants.iter_mut() {
            (contestant.run)()?;
        }
    }
    let mut times = vec![Vec::new(); contestants.len()];
    let started = Instant::now();
    for round in 0..limits.runs {
        if round >= limits.least && started.elapsed() > limits.budget {
            break;
        }
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push((contestant.run)()?);
        }
        done();
    }
    Ok(times.into_iter().map(Times::new).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contestants_take_turns() {
        let log = RefCell::new(String::new());
        let contestant = |name: &'static str| {
            let log = &log;
            Contestant::here(name, 1, move || {
                log.borrow_mut().push_str(name);
                Ok::<(), std::convert::Infallible>(())
            })
        };
        let limits = Limits { runs: 2, budget: Duration::ZERO, least: 2 };
        let times = take_turns(&mut [contestant("a"), contestant("b")], limits, || {}).unwrap();
        assert_eq!(log.into_inner(), "ab".repeat(WARM_UP + 2));
        assert!(times.iter().all(|t| t.runs() == 2));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times = Times::new((1..=10).rev().map(Duration::from_millis).collect());
        assert_eq!((times.median_ms(), times.p90_ms()), (5.0, 9.0));
        assert_eq!(Times::new(vec![Duration::from_millis(3)]).p90_ms(), 3.0);
    }
}
