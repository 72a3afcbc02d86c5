//! Per-layer fidelity: accumulated (the int8 network's own inputs) and isolated (the float
//! network's inputs, quantized), as SQNR and cosine.

use fixnet::Session;
use fixnet::format::{Activation, Step};
use fixnet::hybrid::HybridError;
use fixnet::session::{Hook, StepInfo};
use serde::Serialize;
use values::fidelity::Sums;
use values::order;

use super::{CompareError, Subjects, fill};
use crate::data::Content;
use crate::graph::InputLayout;

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
    /// HWC values, as many as the model's tensor of that index has elements.
    tensors: Vec<Vec<f32>>,
}

impl<'s> LayerJudge<'s> {
    pub fn new(subjects: &'s Subjects<'s>, input: &Content) -> Result<Self, CompareError> {
        let input = match subjects.head {
            Some(head) => head.trunk_input(&input.real(&subjects.wanted))?,
            None => input.in_layout(&subjects.wanted, InputLayout::Nchw),
        };
        let mut session = subjects.inner.session();
        fill(session.input_mut(), &input)?;
        let mut tensors = session.run()?;
        tensors.insert(subjects.network.input.min(tensors.len()), input);
        let tensors = tensors.iter().enumerate().map(|(index, values)| {
            let activation = subjects.model.activation(index as u16);
            let elements = activation.map_or(0, |activation| activation.elements());
            let other = CompareError::Elements { index, float: values.len(), int8: elements };
            activation.and_then(|activation| hwc(values, &activation)).ok_or(other)
        });
        Ok(Self { subjects, tensors: tensors.collect::<Result<_, _>>()? })
    }

    /// Runs the session, whose input is set, and judges every layer; its logits are lost.
    pub fn judge(&self, session: &mut Session<'_, '_>) -> Result<Vec<LayerSums>, CompareError> {
        let mut hook = Collect { judge: self, sums: Vec::new() };
        session.run_with(&mut hook).map_err(HybridError::from)?;
        let mut sums = hook.sums.into_iter().collect::<Result<Vec<_>, _>>()?;
        let model = *session.model();
        for (step, sums) in model.steps().zip(&mut sums) {
            self.set_quantized(session, &step.input)?;
            let others = step.others.iter().filter_map(|&tensor| model.activation(tensor));
            for operand in step.operand.into_iter().chain(others) {
                self.set_quantized(session, &operand)?;
            }
            let output = session.run_single(step.index).map_err(HybridError::from)?;
            sums.isolated = self.sums(&step, output)?;
        }
        Ok(sums)
    }

    fn tensor(&self, activation: &Activation) -> Result<&[f32], CompareError> {
        let index = usize::from(activation.tensor);
        let missing = CompareError::Elements { index, float: 0, int8: activation.elements() };
        self.tensors.get(index).map(Vec::as_slice).ok_or(missing)
    }

    /// Writes the float network's tensor, quantized, to its place in the arena.
    fn set_quantized(
        &self,
        session: &mut Session<'_, '_>,
        activation: &Activation,
    ) -> Result<(), CompareError> {
        let values = self.tensor(activation)?;
        let missing = CompareError::Elements {
            index: activation.tensor.into(),
            float: values.len(),
            int8: 0,
        };
        let bytes = session.tensor_mut(activation.tensor).ok_or(missing)?;
        activation.quantize_all(values, bytes);
        Ok(())
    }

    fn sums(&self, step: &Step<'_>, output: &[u8]) -> Result<Sums, CompareError> {
        let activation = &step.output;
        let values = self.tensor(activation)?;
        Ok(if activation.wide {
            Sums::of_i32(values, output, activation.scale)
        } else {
            Sums::of_int8(values, output, activation.scale, activation.zero_point)
        })
    }
}

/// NCHW values in HWC order; none if they are not as many as the tensor's.
fn hwc(values: &[f32], activation: &Activation) -> Option<Vec<f32>> {
    let fits = values.len() == activation.elements() && !values.is_empty();
    fits.then(|| order::hwc(values, activation.shape()))
}

struct Collect<'j, 's> {
    judge: &'j LayerJudge<'s>,
    sums: Vec<Result<LayerSums, CompareError>>,
}

impl Hook for Collect<'_, '_> {
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        let step = self.judge.subjects.model.step(info.index);
        let step = step.ok_or_else(|| CompareError::Layers {
            found: "(none)".to_string(),
            expected: info.layer.name.to_string(),
        });
        let sums = step.and_then(|step| self.judge.sums(&step, output));
        let sums = sums.map(|accumulated| LayerSums { accumulated, ..LayerSums::default() });
        self.sums.push(sums);
    }
}
