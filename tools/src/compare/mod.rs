//! The judge: an int8 model against the float network that it was made from, run by tract.
//!
//! What may not be broken: both see the very same 8-bit pixels, or real values; ties go to the lowest class on both
//! sides; and the result does not depend on the number of threads (images are reduced in order).
//! Logits of the float side come from the ONNX file as given; the tensors inside come from its
//! folded form, which is the same network in one layout.

mod layers;
mod outputs;
mod scores;

use fixnet::float::{FloatError, FloatModel};
use fixnet::format::{FloatPartKind, Limits};
use fixnet::hybrid::{HybridError, HybridModel, HybridSession};
use fixnet::{AlignedBytes, KernelSet, Model};
use rayon::prelude::*;
use serde::Serialize;

pub use layers::LayerComparison;
pub use outputs::OutputComparison;

use crate::data::{DataError, Wanted};
use crate::graph::InputLayout;
use crate::images::Images;
use crate::lower::Network;
use crate::partition::Part;
use crate::pipeline::LoweredOutput;
use layers::{LayerJudge, LayerSums};
use outputs::{Given, OutputSums};
use scores::Scores;

/// Images that per-layer figures are computed on, by default.
pub const LAYER_IMAGES: usize = 64;

/// How a comparison is made.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions {
    /// What runs the int8 network.
    pub kernels: KernelSet,
    /// Images that the per-layer figures come from, at most.
    pub layer_images: usize,
    /// What the int8 network may take.
    pub limits: Limits,
}

impl Default for CompareOptions {
    /// The fastest kernels.
    fn default() -> Self {
        let kernels = KernelSet::detect();
        Self { kernels, layer_images: LAYER_IMAGES, limits: Limits::DEFAULT }
    }
}

/// What is compared.
pub struct Subjects<'a> {
    pub model: Model<'a>,
    /// The same with its float parts, if it has any.
    pub hybrid: HybridModel<'a>,
    /// The float head, which makes what `inner` takes.
    pub head: Option<&'a Part>,
    pub network: &'a Network,
    /// The network of the ONNX file, with the outputs of `outputs`.
    pub float: &'a FloatModel,
    pub outputs: &'a [LoweredOutput],
    /// The folded network with the tensors of `network` (without the input) as outputs, in order.
    pub inner: &'a FloatModel,
    pub layout: InputLayout,
    pub wanted: Wanted,
    pub kernels: KernelSet,
}

/// Share of images whose label is among the best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Fractions; `None` without labels.
    pub top1: Option<f64>,
    pub top5: Option<f64>,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub images: usize,
    pub float: Accuracy,
    pub int8: Accuracy,
    /// That of the first output: of scores and indices the share of images on which both choose the same class,
    /// of probabilities the share of decisions that are the same; none of vectors and maps, and where there is
    /// one value and no choice.
    pub agreement: Option<f64>,
    /// Of the first output: mean and largest absolute difference of a logit, and the largest absolute float logit.
    pub mean_logit_error: f64,
    pub worst_logit_error: f64,
    pub largest_logit: f64,
    /// Images that the per-layer figures come from.
    pub layer_images: usize,
    pub layers: Vec<LayerComparison>,
    pub outputs: Vec<OutputComparison>,
}

impl Comparison {
    /// Float top-1 minus int8 top-1 in percentage points; `None` without labels.
    #[must_use]
    pub fn drop_points(&self) -> Option<f64> {
        Some((self.float.top1? - self.int8.top1?) * 100.0)
    }
}

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    #[error(transparent)]
    Float(#[from] FloatError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Hybrid(#[from] HybridError),
    #[error("image {name}: the {network} network gives a NaN or infinite logit")]
    NotFinite { name: String, network: &'static str },
    #[error(
        "the float network has {float} classes and the model file {int8}: it was made from another network"
    )]
    Classes { float: usize, int8: usize },
    #[error(
        "the outputs of the model file are {int8}, and those of the network are {float}: it was made from \
         another network, or with other --output"
    )]
    Outputs { float: String, int8: String },
    #[error(
        "the model file has layer {found} where the network has {expected}: it was made from another network"
    )]
    Layers { found: String, expected: String },
    #[error(
        "tensor {index} of the model file has {int8} values and the network's {float}: it was made from another network"
    )]
    Elements { index: usize, float: usize, int8: usize },
}

/// What one image contributes.
struct OneImage {
    scores: Scores,
    outputs: Vec<OutputSums>,
    layers: Option<Vec<LayerSums>>,
}

/// Compares on all `images`; the per-layer figures come from the first `layer_images` of them.
/// `done` is called once an image.
///
/// # Errors
/// [`CompareError`]: the first image that fails, by index.
pub fn compare(
    subjects: &Subjects<'_>,
    images: &Images,
    layer_images: usize,
    done: impl Fn() + Sync,
) -> Result<Comparison, CompareError> {
    check_layers(subjects)?;
    let given = Given::all(subjects)?;
    let layer_images = layer_images.min(images.len());
    let needed = subjects.model.required(subjects.kernels).arena();
    let results: Vec<Result<OneImage, CompareError>> = (0..images.len())
        .into_par_iter()
        .map_init(
            || AlignedBytes::try_zeroed(needed),
            |arena, index| {
                let with_layers = index < layer_images;
                let result = match arena {
                    Ok(arena) => one_image(
                        subjects,
                        &given,
                        images,
                        index,
                        with_layers,
                        arena.as_mut_slice(),
                    ),
                    Err(error) => Err(HybridError::from(*error).into()),
                };
                done();
                result
            },
        )
        .collect();
    let mut total = Scores::default();
    let mut layers = vec![LayerSums::default(); subjects.network.layers.len()];
    let mut outputs = vec![OutputSums::default(); given.len()];
    for result in results {
        let result = result?;
        total.add(&result.scores);
        outputs.iter_mut().zip(&result.outputs).for_each(|(sum, one)| sum.add(one));
        for (sum, one) in layers.iter_mut().zip(result.layers.iter().flatten()) {
            sum.add(one);
        }
    }
    let names = subjects.network.layers.iter().map(|l| l.name.clone());
    let layers = names.zip(&layers).map(|(name, sums)| sums.comparison(name)).collect();
    let outputs = given.iter().zip(&outputs).map(|(given, sums)| sums.comparison(given));
    let outputs: Vec<OutputComparison> = outputs.collect();
    Ok(total.comparison(images.has_labels(), layer_images, layers, outputs))
}

/// The file's layers must be the network's.
fn check_layers(subjects: &Subjects<'_>) -> Result<(), CompareError> {
    let mut found = subjects.model.layers();
    for layer in &subjects.network.layers {
        let name = found.next().map_or("(none)", |l| l.name);
        if name != layer.name {
            let (found, expected) = (name.to_string(), layer.name.clone());
            return Err(CompareError::Layers { found, expected });
        }
    }
    match found.next() {
        Some(extra) => {
            let (found, expected) = (extra.name.to_string(), "(none)".to_string());
            Err(CompareError::Layers { found, expected })
        }
        None => Ok(()),
    }
}

fn one_image(
    subjects: &Subjects<'_>,
    given: &[Given],
    images: &Images,
    index: usize,
    with_layers: bool,
    arena: &mut [u8],
) -> Result<OneImage, CompareError> {
    let sample = images.sample(index, &subjects.wanted)?;
    let mut float = subjects.float.session();
    let values = sample.content.in_layout(&subjects.wanted, subjects.layout);
    fill(float.input_mut(), &values)?;
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let float: Vec<Vec<f64>> = float.run()?.into_iter().map(wide).collect();
    let mut session = subjects.hybrid.session(arena, subjects.kernels, 1)?;
    sample.content.set_hybrid(&mut session)?;
    let int8 = real_values(&mut session)?;
    for (network, outputs) in [("float", &float), ("int8", &int8)] {
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(CompareError::NotFinite { name: sample.name, network });
        }
    }
    let mut outputs = Vec::with_capacity(given.len());
    for (given, (float, int8)) in given.iter().zip(float.iter().zip(&int8)) {
        if float.len() != int8.len() {
            return Err(CompareError::Classes { float: float.len(), int8: int8.len() });
        }
        outputs.push(OutputSums::for_image(given, float, int8));
    }
    let first = given.first().zip(float.first().zip(int8.first()));
    let scores = first.map_or_else(Scores::default, |(given, (float, int8))| {
        let (float, int8) = (given.values(&given.hwc(float)), given.values(int8));
        Scores::for_image(given.kind, &float, &int8, sample.label)
    });
    let layers = if with_layers {
        sample.content.set_hybrid(&mut session)?;
        session.run_head()?;
        let judge = LayerJudge::new(subjects, &sample.content)?;
        Some(judge.judge(session.plan())?)
    } else {
        None
    };
    Ok(OneImage { scores, outputs, layers })
}

/// Runs the session: the real values of the tensors of all outputs, HWC. Distinct logits give distinct values, in
/// their order.
fn real_values(session: &mut HybridSession<'_, '_>) -> Result<Vec<Vec<f64>>, HybridError> {
    let scores = session.run()?;
    let model = *session.plan().model();
    if model.float_part(FloatPartKind::Tail).is_some() {
        return Ok(vec![scores.into_iter().map(f64::from).collect()]);
    }
    let plan = session.plan();
    let values = model.outputs().enumerate().map(|(index, output)| {
        let bytes = plan.output(index).unwrap_or_default();
        output.tensor_values(bytes)
    });
    Ok(values.collect())
}

fn fill(to: &mut [f32], from: &[f32]) -> Result<(), FloatError> {
    if to.len() != from.len() {
        return Err(FloatError::InputLength { needed: to.len(), available: from.len() });
    }
    to.copy_from_slice(from);
    Ok(())
}
