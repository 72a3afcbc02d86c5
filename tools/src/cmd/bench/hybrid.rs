//! `fixnet bench` on a model with float parts: tract's ends and the int8 layers in one call.

use fixnet::hybrid::{HybridError, HybridModel};
use fixnet::{AlignedBytes, KernelSet, Model};

use super::{Contestant, in_pool};
use crate::data::Content;
use crate::report::{Row, time_hybrid};

/// From the float image, or the int8 input where there is no head, to the scores.
pub(super) fn contestant<'a>(
    model: &Model<'a>,
    arena: &'a mut [u8],
    kernels: KernelSet,
    (threads, pool): (usize, Option<&'a rayon::ThreadPool>),
    input: &Content,
) -> anyhow::Result<Contestant<'a>> {
    let mut session = HybridModel::load(model)?.session(arena, kernels, threads)?;
    input.set_hybrid(&mut session)?;
    let input = session.plan().input_mut().to_vec();
    let run = move || {
        // A head writes the plan's input itself.
        session.plan().input_mut().copy_from_slice(&input);
        let result: Result<(), HybridError> = in_pool(pool, || session.run().map(|_| ()));
        Ok(result?)
    };
    let threads = pool.map_or(1, rayon::ThreadPool::current_num_threads);
    Ok(Contestant::here("fixnet", threads, run))
}

/// The time of everything that one run computes.
pub(super) fn rows(
    model: &Model<'_>,
    kernels: KernelSet,
    (threads, pool): (usize, Option<&rayon::ThreadPool>),
    input: &Content,
) -> anyhow::Result<Vec<Row>> {
    let hybrid = HybridModel::load(model)?;
    let mut arena = AlignedBytes::try_zeroed(model.required_by_threads(kernels, threads).arena())?;
    let mut session = hybrid.session(arena.as_mut_slice(), kernels, threads)?;
    Ok(in_pool(pool, || time_hybrid(&hybrid, &mut session, kernels, input))?)
}
