//! One latency table for a model with float parts: tract's nodes, fixnet's layers, and what lies
//! between them.

use fixnet::hybrid::{HybridError, HybridModel, HybridSession, HybridStep};
use fixnet::profile::WallClock;
use fixnet::{AlignedBytes, KernelSet};

use super::timing::time_session;
use super::{LayerTime, Row, medians};
use crate::data::Content;

/// Times everything that one run on `input` computes, in order.
///
/// # Errors
/// [`HybridError`] if a part fails or the input has another size than the network's.
pub fn time_hybrid(
    hybrid: &HybridModel<'_>,
    session: &mut HybridSession<'_, '_>,
    kernels: KernelSet,
    input: &Content,
) -> Result<Vec<Row>, HybridError> {
    let mut clock = WallClock::default();
    let times = medians(|| {
        input.set_hybrid(session)?;
        session.run_with(&mut clock, &mut ()).map(|run| run.ticks)
    })?;
    let rows = hybrid.steps(kernels).into_iter().zip(times);
    Ok(rows.map(|(step, nanoseconds)| row(step, nanoseconds)).collect())
}

/// Times the layers of the int8 plan alone, on an input of zeros.
///
/// # Errors
/// [`HybridError`] if there is no session, or a step was not computed.
pub fn time_plan(
    hybrid: &HybridModel<'_>,
    kernels: KernelSet,
) -> Result<Vec<LayerTime>, HybridError> {
    let model = hybrid.model();
    let mut arena = AlignedBytes::try_zeroed(model.required(kernels).arena())?;
    let mut session = hybrid.session(arena.as_mut_slice(), kernels, 1)?;
    Ok(time_session(session.plan(), &vec![0; model.input().elements()])?)
}

fn row(step: HybridStep, nanoseconds: u64) -> Row {
    let name = match step.step {
        Some(_) => step.name,
        None => step.name.trim_matches('/').replace('/', "."),
    };
    let HybridStep { kernel, shape, macs, .. } = step;
    Row { name, kernel, shape, macs, nanoseconds, crc32: None }
}
