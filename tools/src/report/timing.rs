//! Time per layer on this machine: the median over runs, after one run to warm up.

use std::time::{Duration, Instant};

use fixnet::profile::{Profiler, WallClock};
use fixnet::{AlignedBytes, KernelSet, Model, Session, SessionError};

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
    let (needed, available) = (model.input().elements(), input.len());
    if needed != available {
        return Err(SessionError::InputLength { needed, available });
    }
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels)?;
    let mut times: Vec<Vec<u64>> = vec![Vec::with_capacity(RUNS); model.step_count()];
    let mut profiler = Box::new(Profiler::<WallClock, MAX_LAYERS>::new(WallClock::default()));
    let mut names = Vec::new();
    let started = Instant::now();
    for run in 0..=RUNS {
        if run > 1 && started.elapsed() > BUDGET {
            break;
        }
        profiler.clear();
        session.input_mut().copy_from_slice(input);
        session.run_with(&mut *profiler);
        if run > 0 {
            for (times, record) in times.iter_mut().zip(profiler.records()) {
                times.push(record.ticks);
            }
        }
        names = profiler.records().iter().map(|r| r.kernel).collect();
    }
    let median = |times: &mut Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    };
    let rows = names.into_iter().zip(&mut times);
    Ok(rows.map(|(kernel, times)| LayerTime { kernel, nanoseconds: median(times) }).collect())
}
