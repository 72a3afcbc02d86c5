//! Per-layer fidelity: accumulated (the int8 network's own inputs) and isolated (the float
//! network's inputs, quantized), as SQNR and cosine.

use fixnet::format::{Activation, Step};
use fixnet::session::{Hook, StepInfo};
use fixnet::{RunError, Session};
use serde::Serialize;

use super::{CompareError, Subjects, fill};
use crate::data::RgbPixels;
use crate::graph::InputLayout;
use crate::lower::TensorId;

/// Where an error of zero would make it infinite.
const MAX_SQNR_DB: f64 = 200.0;

/// How well a layer's output follows the float network's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerComparison {
    pub name: String,
    /// `10 log10(sum f^2 / sum (f - q)^2)`, with all layers before it in int8 as well.
    pub sqnr_db: f64,
    pub cosine: f64,
    /// The same with this layer alone in int8.
    pub sqnr_isolated_db: f64,
}

/// Sums of squares and products.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    float: f64,
    int8: f64,
    product: f64,
    error: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.float += other.float;
        self.int8 += other.int8;
        self.product += other.product;
        self.error += other.error;
    }

    fn sqnr_db(&self) -> f64 {
        if self.error == 0.0 {
            return MAX_SQNR_DB;
        }
        (10.0 * (self.float / self.error).log10()).clamp(-MAX_SQNR_DB, MAX_SQNR_DB)
    }

    fn cosine(&self) -> f64 {
        let norm = (self.float * self.int8).sqrt();
        if norm == 0.0 { 1.0 } else { self.product / norm }
    }
}

/// Sums of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LayerSums {
    accumulated: Sums,
    isolated: Sums,
}

impl LayerSums {
    pub fn add(&mut self, other: &Self) {
        self.accumulated.add(&other.accumulated);
        self.isolated.add(&other.isolated);
    }

    pub fn comparison(&self, name: String) -> LayerComparison {
        LayerComparison {
            name,
            sqnr_db: self.accumulated.sqnr_db(),
            cosine: self.accumulated.cosine(),
            sqnr_isolated_db: self.isolated.sqnr_db(),
        }
    }
}

/// The float network's tensors for one image.
pub(super) struct LayerJudge<'s> {
    subjects: &'s Subjects<'s>,
    /// NCHW values per tensor.
    tensors: Vec<Vec<f32>>,
}

impl<'s> LayerJudge<'s> {
    pub fn new(subjects: &'s Subjects<'s>, pixels: &RgbPixels) -> Result<Self, CompareError> {
        let input = match subjects.head {
            Some(head) => head.trunk_input(subjects.recipe, pixels)?,
            None => subjects.recipe.float_input(pixels, InputLayout::Nchw),
        };
        let mut session = subjects.inner.session();
        fill(session.input_mut(), &input)?;
        let mut tensors = session.run()?;
        tensors.insert(subjects.network.input.min(tensors.len()), input);
        Ok(Self { subjects, tensors })
    }

    /// Runs the session, whose input is set, and judges every layer; its logits are lost.
    pub fn judge(&self, session: &mut Session<'_, '_>) -> Result<Vec<LayerSums>, RunError> {
        let mut hook = Collect { judge: self, sums: Vec::new() };
        session.run_with(&mut hook)?;
        let mut sums = hook.sums;
        let model = *session.model();
        for (step, sums) in model.steps().zip(&mut sums) {
            self.set_quantized(session, &step.input);
            if let Some(operand) = &step.operand {
                self.set_quantized(session, operand);
            }
            sums.isolated = self.sums(&step, session.run_single(step.index)?);
        }
        Ok(sums)
    }

    fn tensor(&self, id: TensorId) -> &[f32] {
        self.tensors.get(id).map_or(&[], Vec::as_slice)
    }

    /// Writes the float network's tensor, quantized, to its place in the arena.
    fn set_quantized(&self, session: &mut Session<'_, '_>, activation: &Activation) {
        let values = self.tensor(usize::from(activation.tensor));
        let zero = f32::from(activation.zero_point);
        let Some(bytes) = session.tensor_mut(activation.tensor) else { return };
        for (byte, value) in bytes.iter_mut().zip(hwc(values, activation)) {
            let real = (value / activation.scale + zero).round_ties_even();
            *byte = real.clamp(-128.0, 127.0) as i8 as u8;
        }
    }

    fn sums(&self, step: &Step<'_>, output: &[u8]) -> Sums {
        let activation = &step.output;
        let values = self.tensor(usize::from(activation.tensor));
        let scale = f64::from(activation.scale);
        let mut sums = Sums::default();
        let mut add = |float: f32, int8: f64| {
            let (float, int8) = (f64::from(float), int8 * scale);
            sums.float += float * float;
            sums.int8 += int8 * int8;
            sums.product += float * int8;
            sums.error += (float - int8) * (float - int8);
        };
        if activation.wide {
            for (word, &float) in output.chunks_exact(4).zip(values) {
                let word = word.first_chunk().map_or(0, |w| i32::from_le_bytes(*w));
                add(float, f64::from(word));
            }
        } else {
            let zero = f64::from(activation.zero_point);
            for (&byte, float) in output.iter().zip(hwc(values, activation)) {
                add(float, f64::from(byte as i8) - zero);
            }
        }
        sums
    }
}

/// NCHW values in HWC order.
fn hwc<'v>(values: &'v [f32], activation: &Activation) -> impl Iterator<Item = f32> + use<'v> {
    let [height, width, channels] = activation.shape();
    let plane = height * width;
    (0..plane).flat_map(move |at| {
        (0..channels).map(move |c| values.get(c * plane + at).copied().unwrap_or(0.0))
    })
}

struct Collect<'j, 's> {
    judge: &'j LayerJudge<'s>,
    sums: Vec<LayerSums>,
}

impl Hook for Collect<'_, '_> {
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        let mut sums = LayerSums::default();
        if let Some(step) = self.judge.subjects.model.step(info.index) {
            sums.accumulated = self.judge.sums(&step, output);
        }
        self.sums.push(sums);
    }
}
