//! Time per layer on this machine: the median over runs, after one run to warm up.

use std::time::{Duration, Instant};

use fixnet::profile::{Profiler, WallClock};
use fixnet::{AlignedBytes, KernelSet, Model, RunError, Session, SessionError};

/// Runs whose median is reported.
const RUNS: usize = 7;
/// No further run is started after this time.
const BUDGET: Duration = Duration::from_secs(2);
/// Layers of the largest network.
const MAX_LAYERS: usize = fixnet::format::MAX_RECORDS;

/// One layer's kernel and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTime {
    pub kernel: &'static str,
    pub nanoseconds: u64,
}

/// Times every layer on `input`, the model's int8 input in HWC order.
///
/// # Errors
/// [`SessionError::InputLength`].
pub fn time_layers(
    model: &Model<'_>,
    kernels: KernelSet,
    input: &[i8],
) -> Result<Vec<LayerTime>, SessionError> {
    time_layers_by_threads(model, kernels, 1, input)
}

/// [`time_layers`] with layers split over `threads` threads of the current rayon pool.
///
/// # Errors
/// [`SessionError::InputLength`].
pub fn time_layers_by_threads(
    model: &Model<'_>,
    kernels: KernelSet,
    threads: usize,
    input: &[i8],
) -> Result<Vec<LayerTime>, SessionError> {
    let (needed, available) = (model.input().elements(), input.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    let mut arena = AlignedBytes::try_zeroed(model.required_by_threads(kernels, threads).arena())?;
    let mut session = Session::with_threads(model, arena.as_mut_slice(), kernels, threads)?;
    Ok(time_session(&mut session, input)?)
}

/// Times every layer of a session on an input of its length.
///
/// # Errors
/// [`RunError`].
pub(super) fn time_session(
    session: &mut Session<'_, '_>,
    input: &[i8],
) -> Result<Vec<LayerTime>, RunError> {
    let mut profiler = Box::new(Profiler::<WallClock, MAX_LAYERS>::new(WallClock::default()));
    let medians = medians(|| {
        profiler.clear();
        session.input_mut().copy_from_slice(input);
        session.run_with(&mut *profiler)?;
        Ok(profiler.records().iter().map(|r| r.ticks).collect())
    })?;
    let names = profiler.records().iter().map(|r| r.kernel);
    let time = |(kernel, nanoseconds)| LayerTime { kernel, nanoseconds };
    Ok(names.zip(medians).map(time).collect())
}

/// The median of each time that `run` gives, over some runs, after one to warm up.
///
/// # Errors
/// The first run that fails.
pub fn medians<E>(mut run: impl FnMut() -> Result<Vec<u64>, E>) -> Result<Vec<u64>, E> {
    let mut times: Vec<Vec<u64>> = vec![Vec::with_capacity(RUNS); run()?.len()];
    let started = Instant::now();
    for done in 0..RUNS {
        if done > 0 && started.elapsed() > BUDGET {
            break;
        }
        for (times, time) in times.iter_mut().zip(run()?) {
            times.push(time);
        }
    }
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    };
    Ok(times.into_iter().map(median).collect())
}
