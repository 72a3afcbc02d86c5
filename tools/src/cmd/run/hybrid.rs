//! `fixnet run` on a model with float parts.

use fixnet::format::{CRC32, FloatPartKind, MAX_RECORDS};
use fixnet::hybrid::HybridModel;
use fixnet::profile::{Checksums, WallClock};
use fixnet::{AlignedBytes, Model};

use super::Args;
use crate::data::Content;
use crate::report::{OutputValues, Row, time_hybrid};

/// Runs the parts by tract and the plan by fixnet; also says what ran.
pub(super) fn run(
    args: &Args,
    model: &Model<'_>,
    input: &Content,
) -> anyhow::Result<(&'static str, Vec<OutputValues>, Vec<Row>)> {
    let whole = model.float_part(FloatPartKind::Whole).is_some();
    anyhow::ensure!(
        !(args.checksums && whole),
        "the network runs whole in float; there are no int8 bytes for --checksums"
    );
    let kernels = args.kernels.choose(&args.file, model)?;
    let hybrid = HybridModel::load(model)?;
    let mut arena = AlignedBytes::try_zeroed(model.required(kernels).arena())?;
    let mut session = hybrid.session(arena.as_mut_slice(), kernels, 1)?;
    input.set_hybrid(&mut session)?;
    session.run_head()?;
    let quantized = session.plan().tensor_mut(model.input().tensor).unwrap_or_default();
    let quantized = CRC32.checksum(quantized);
    let mut checksums = Box::new(Checksums::<MAX_RECORDS>::new());
    let run = session.run_with(&mut WallClock::default(), &mut *checksums)?;
    let outputs = match whole || model.float_part(FloatPartKind::Tail).is_some() {
        true => vec![OutputValues::of_scores("scores", run.scores)],
        false => super::outputs(model, session.plan(), args.checksums)?,
    };
    let mut rows = time_hybrid(&hybrid, &mut session, kernels, input)?;
    if args.checksums {
        for (row, step) in rows.iter_mut().zip(hybrid.steps(kernels)) {
            row.crc32 = match step.step {
                Some(index) => checksums.values().get(index).copied(),
                None => (step.kernel == "scalar" && step.name == "quantize").then_some(quantized),
            };
        }
    }
    Ok((if whole { "tract" } else { "fixnet+tract" }, outputs, rows))
}
