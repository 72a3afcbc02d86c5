//! `fixnet bench` on a model with float parts: tract's ends and the int8 layers in one call.

use fixnet::hybrid::{HybridError, HybridModel};
use fixnet::{KernelSet, Model};

use super::Contestant;
use crate::data::RgbPixels;

/// From the float image, or the int8 input where there is no head, to the scores.
pub(super) fn contestant<'a>(
    model: &Model<'a>,
    arena: &'a mut [u8],
    kernels: KernelSet,
    (threads, pool): (usize, Option<&'a rayon::ThreadPool>),
    image: &RgbPixels,
) -> anyhow::Result<Contestant<'a>> {
    let mut session = HybridModel::load(model)?.session(arena, kernels, threads)?;
    session.set_rgb(&image.data)?;
    let input = session.plan().input_mut().to_vec();
    let run = move || {
        // A head writes the plan's input itself.
        session.plan().input_mut().copy_from_slice(&input);
        let mut infer = || session.run().map(|_| ());
        let result: Result<(), HybridError> = match pool {
            Some(pool) => pool.install(infer),
            None => infer(),
        };
        Ok(result?)
    };
    let threads = pool.map_or(1, rayon::ThreadPool::current_num_threads);
    Ok(Contestant { name: "fixnet", threads, run: Box::new(run) })
}
