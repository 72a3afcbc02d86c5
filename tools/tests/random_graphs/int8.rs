//! The int8 model of a random network: it follows the float network, and gives the same bytes however it
//! is computed.

use std::collections::BTreeMap;

use fixnet::format::{ModelSpec, Target};
use fixnet::hybrid::{HybridModel, HybridSession};
use fixnet::session::{Hook, StepInfo};
use fixnet::{AlignedBytes, KernelSet, Model};
use tools::data::Pixels;
use tools::images::Images;
use tools::packing;
use tools::pipeline::CompareOptions;

use crate::generator::{Dice, Network};
use crate::judge::{Accepted, CALIBRATION_IMAGES, Fault, fault};
use crate::oracle::Outputs;

const MIN_OUTPUT_SQNR_DB: f64 = 15.0;
const MIN_LAYER_SQNR_DB: f64 = 20.0;
/// Scores below this are what rounding leaves of nothing, in networks whose activations are of the order
/// of 1: int8 has to say as little, and no ratio.
pub const NOTHING: f64 = 1e-2;

/// What a model makes of each image: the bytes of each step, and the scores.
pub struct Run {
    steps: Vec<Vec<u8>>,
    scores: Vec<f32>,
}

pub fn runs_of(
    model: &Model<'_>,
    kernels: KernelSet,
    threads: usize,
    pixels: &[Pixels],
) -> Result<Vec<Run>, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault {
        kind: "the int8 model fails",
        facts: format!("{} with {threads} threads: {error}", kernels.name()),
    };
    let hybrid = HybridModel::load(model).map_err(|e| failed(&e))?;
    let mut arena = AlignedBytes::zeroed(model.required_by_threads(kernels, threads).arena());
    // What an earlier run left must not matter.
    arena.as_mut_slice().fill(0x5a);
    let mut session =
        hybrid.session(arena.as_mut_slice(), kernels, threads).map_err(|e| failed(&e))?;
    pixels.iter().map(|pixels| run_of(&mut session, pixels).map_err(|e| failed(&e))).collect()
}

fn run_of(
    session: &mut HybridSession<'_, '_>,
    pixels: &Pixels,
) -> Result<Run, fixnet::hybrid::HybridError> {
    session.set_pixels(&pixels.data)?;
    session.run_head()?;
    let mut steps = Steps(Vec::new());
    session.plan().run_with(&mut steps)?;
    session.set_pixels(&pixels.data)?;
    let scores = session.run()?;
    Ok(Run { steps: steps.0, scores })
}

/// Collects the output of every step, also of those that give it in parts.
struct Steps(Vec<Vec<u8>>);

impl Hook for Steps {
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        if self.0.len() <= info.index {
            self.0.resize(info.index + 1, Vec::new());
        }
        self.0[info.index].extend_from_slice(output);
    }
}

/// Int8 follows the float network; failing that, every layer alone does.
pub fn faithful(
    network: &Network,
    accepted: &Accepted,
    model: &Model<'_>,
    runs: &[Run],
    expected: &[Outputs],
) -> Result<(), Fault> {
    let (mut signal, mut noise) = (0.0, 0.0);
    // Of the image that is furthest off.
    let (mut most, mut example) = (0.0, String::new());
    for (run, expected) in runs.iter().zip(expected) {
        if run.scores.len() != expected[0].len() {
            return fault("int8 scores", format!("{} of {}", run.scores.len(), expected[0].len()));
        }
        let mut own_noise = 0.0;
        for (&found, &expected) in run.scores.iter().zip(&expected[0]) {
            signal += f64::from(expected).powi(2);
            own_noise += (f64::from(expected) - f64::from(found)).powi(2);
        }
        noise += own_noise;
        if own_noise > most {
            (most, example) = (own_noise, format!("{:?}, expected {:?}", run.scores, expected[0]));
        }
    }
    let sqnr = 10.0 * (signal / noise.max(1e-30)).log10();
    let largest = |values: &[f32]| values.iter().fold(0.0, |m: f64, &v| m.max(f64::from(v).abs()));
    let nothing = expected.iter().all(|outputs| largest(&outputs[0]) < NOTHING)
        && runs.iter().all(|run| largest(&run.scores) < NOTHING);
    if noise == 0.0 || nothing || sqnr >= MIN_OUTPUT_SQNR_DB {
        return Ok(());
    }
    // All of them: of a layer of four values, three images whose values are small beside those that set
    // its grid say nothing.
    let images = Images::for_calibration(network.seed, CALIBRATION_IMAGES);
    let options = CompareOptions {
        kernels: KernelSet::REFERENCE,
        layer_images: CALIBRATION_IMAGES,
        ..CompareOptions::default()
    };
    let lowered = &accepted.planned.lowered;
    let comparison = lowered
        .compare(*model, &images, &options, &())
        .or_else(|e| fault("the comparison fails", e.to_string()))?;
    let worst =
        comparison.layers.iter().min_by(|a, b| a.sqnr_isolated_db.total_cmp(&b.sqnr_isolated_db));
    match worst {
        Some(worst) if worst.sqnr_isolated_db < MIN_LAYER_SQNR_DB => fault(
            "int8 of a layer",
            format!(
                "outputs {sqnr:.1} dB; layer {} alone {:.1} dB; {example}",
                worst.name, worst.sqnr_isolated_db
            ),
        ),
        _ => Ok(()),
    }
}

/// Every kernel set, every form of the file, any number of threads: the bytes of the reference.
pub fn same_bytes(
    network: &Network,
    accepted: &Accepted,
    pixels: &[Pixels],
    reference: &[Run],
) -> Result<(), Fault> {
    let mut dice = Dice::new(network.seed ^ 0x7472_6561_6473);
    let streamed = accepted.planned.spec.clone();
    let mut files: BTreeMap<&str, ModelSpec> = BTreeMap::new();
    files.insert("portable", streamed.clone());
    for target in Target::ALL.into_iter().filter(|&t| t != Target::Portable) {
        if KernelSet::available().any(|kernels| kernels.family().runs(target)) {
            let packed = packing::pack(&streamed, target, None);
            let packed = packed.or_else(|e| fault("packing fails", e.to_string()))?;
            files.insert(target.name(), packed);
        }
    }
    for (name, spec) in files {
        let bytes =
            fixnet::format::write(&spec).or_else(|e| fault("packing fails", e.to_string()))?;
        let model =
            Model::new_checked(&bytes).or_else(|e| fault("packing fails", e.to_string()))?;
        for kernels in KernelSet::available().filter(|k| k.family().runs(model.target())) {
            let threads = dice.pick(&[1, 2, 3, dice_threads(network.seed)]);
            let runs = runs_of(&model, kernels, threads, &pixels[..1])?;
            let Some(step) = first_difference(&runs[0], &reference[0]) else { continue };
            let layer = model.layers().nth(step).map_or("the scores", |layer| layer.name);
            let kernel = kernels.name();
            return fault(
                "bytes differ",
                format!("{name} file, {kernel}, {threads} threads: step {step} ({layer})"),
            );
        }
    }
    Ok(())
}

/// A number of threads of 1 to 33.
fn dice_threads(seed: u64) -> usize {
    Dice::new(seed).range(1, 33)
}

/// The first step that gives other bytes; one past the last for the scores.
fn first_difference(run: &Run, reference: &Run) -> Option<usize> {
    let count = run.steps.len().max(reference.steps.len());
    let differs = |&i: &usize| run.steps.get(i) != reference.steps.get(i);
    (0..count).find(differs).or((run.scores != reference.scores).then_some(count))
}
