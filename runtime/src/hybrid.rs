//! A model whose ends stay in float: tract runs a head and a tail, fixnet the int8 plan between
//! them, in one call and with one list of times.
//!
//! A [`HybridModel`] takes any checked [`Model`], also one without float parts, or one that is float
//! as a whole. What may not be broken: the int8 plan gives the bytes that it gives alone, for the
//! same int8 input; where float becomes int8 and back is defined here and nowhere else.

use std::string::{String, ToString};
use std::vec::Vec;

use crate::error::{Fault, RunError, SessionError};
use crate::float::{FloatError, FloatModel, FloatNode, FloatSession};
use crate::format::{Activation, FloatPart, FloatPartKind, Model};
use crate::kernels::KernelSet;
use crate::preprocess;
use crate::profile::Clock;
use crate::session::{Hook, Session};

/// Why a model with float parts could not be loaded or run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HybridError {
    /// tract does not accept or run a part.
    Part { part: &'static str, error: FloatError },
    /// A part takes or gives another number of values than the plan says.
    PartLength { part: &'static str, needed: usize, available: usize },
    /// The int8 plan's session.
    Session(SessionError),
}

impl core::fmt::Display for HybridError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Part { part, error } => write!(f, "the {part} in float: {error}"),
            Self::PartLength { part, needed, available } => {
                write!(f, "the {part} in float has {available} values where {needed} are needed")
            }
            Self::Session(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for HybridError {}

impl From<SessionError> for HybridError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<RunError> for HybridError {
    fn from(error: RunError) -> Self {
        Self::Session(error.into())
    }
}

/// A float part, loaded.
#[derive(Debug, Clone)]
struct Loaded {
    name: &'static str,
    float: FloatModel,
    outputs: usize,
}

impl Loaded {
    fn new(part: &FloatPart<'_>) -> Result<Self, HybridError> {
        let name = part.kind.name();
        let float = FloatModel::from_bytes(part.onnx)
            .map_err(|error| HybridError::Part { part: name, error })?;
        let (needed, available) = (part.input.iter().product(), float.input_len());
        if needed != available {
            return Err(HybridError::PartLength { part: name, needed, available });
        }
        Ok(Self { name, float, outputs: part.output.iter().product() })
    }

    fn session(&self) -> PartSession {
        PartSession { name: self.name, session: self.float.session(), outputs: self.outputs }
    }
}

/// A model with its float parts loaded into tract. Cheap to clone and shared between threads.
#[derive(Debug, Clone)]
pub struct HybridModel<'m> {
    model: Model<'m>,
    /// The head, or the whole network.
    first: Option<Loaded>,
    tail: Option<Loaded>,
}

/// A line of the latency table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HybridStep {
    pub name: String,
    /// The kernel, or tract's operator.
    pub kernel: String,
    /// Height, width, channels of the output; of what runs in float, tract's own shape, in whatever
    /// order it has chosen.
    pub shape: Vec<usize>,
    pub macs: u64,
    /// The step of the int8 plan; none for what runs in float.
    pub step: Option<usize>,
}

impl<'m> HybridModel<'m> {
    /// Loads the float parts of a checked model.
    ///
    /// # Errors
    /// [`HybridError`] if tract refuses one, or it does not fit the plan.
    pub fn load(model: &Model<'m>) -> Result<Self, HybridError> {
        let load = |kind| model.float_part(kind).as_ref().map(Loaded::new).transpose();
        let first = match load(FloatPartKind::Head)? {
            Some(head) => Some(head),
            None => load(FloatPartKind::Whole)?,
        };
        Ok(Self { model: *model, first, tail: load(FloatPartKind::Tail)? })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// Everything that one run computes, in order: the nodes of the head, the quantization of what
    /// it gives, the steps of the plan, and the same behind it.
    #[must_use]
    pub fn steps(&self, kernels: KernelSet) -> Vec<HybridStep> {
        let mut steps = Vec::new();
        let nodes = |part: &Loaded| part.float.nodes().into_iter().map(float_step);
        if let Some(first) = &self.first {
            steps.extend(nodes(first));
        }
        if self.has_plan() {
            if self.first.is_some() {
                steps.push(conversion("quantize", &self.model.input()));
            }
            steps.extend(self.model.steps().map(|step| HybridStep {
                name: step.layer.name.to_string(),
                kernel: kernels.kernel_name(&step.operator).to_string(),
                shape: step.layer.shape.to_vec(),
                macs: step.layer.macs,
                step: Some(step.index),
            }));
        }
        if let Some(tail) = &self.tail {
            steps.push(conversion("dequantize", &self.model.output()));
            steps.extend(nodes(tail));
        }
        steps
    }

    fn has_plan(&self) -> bool {
        self.model.step_count() > 0
    }

    /// A session with its plan in `arena`, of [`Model::required_by_threads`] bytes.
    ///
    /// # Errors
    /// As [`Session::with_threads`].
    pub fn session<'a>(
        &self,
        arena: &'a mut [u8],
        kernels: KernelSet,
        threads: usize,
    ) -> Result<HybridSession<'m, 'a>, HybridError> {
        let plan = Session::for_plan(&self.model, arena, kernels, threads)?;
        Ok(HybridSession {
            model: self.model,
            first: self.first.as_ref().map(Loaded::session),
            plan,
            tail: self.tail.as_ref().map(Loaded::session),
        })
    }
}

fn float_step(node: FloatNode) -> HybridStep {
    let FloatNode { name, op, shape, macs } = node;
    HybridStep { name, kernel: op, shape, macs, step: None }
}

fn conversion(name: &str, tensor: &Activation) -> HybridStep {
    HybridStep {
        name: name.to_string(),
        kernel: "scalar".to_string(),
        shape: tensor.shape().to_vec(),
        macs: 0,
        step: None,
    }
}

/// A part at work.
#[derive(Debug, Clone)]
struct PartSession {
    name: &'static str,
    session: FloatSession,
    outputs: usize,
}

impl PartSession {
    /// The part's values, HWC; the ticks of its nodes go behind `ticks`.
    fn run(&self, clock: &mut impl Clock, ticks: &mut Vec<u64>) -> Result<Vec<f32>, HybridError> {
        let result = self.session.run_timed(clock);
        let (outputs, times) =
            result.map_err(|error| HybridError::Part { part: self.name, error })?;
        ticks.extend(times);
        let output = outputs.into_iter().next().unwrap_or_default();
        let (needed, available) = (self.outputs, output.len());
        if needed != available {
            return Err(HybridError::PartLength { part: self.name, needed, available });
        }
        Ok(output)
    }
}

/// What one run gives.
#[derive(Debug, Clone, PartialEq)]
pub struct HybridRun {
    /// One real value a class; of a network that gives no scores, the values of its first output's tensor, HWC.
    pub scores: Vec<f32>,
    /// One time for each of [`HybridModel::steps`].
    pub ticks: Vec<u64>,
}

/// An inference through the float parts and the int8 plan.
#[derive(Debug)]
pub struct HybridSession<'m, 'a> {
    model: Model<'m>,
    first: Option<PartSession>,
    plan: Session<'m, 'a>,
    tail: Option<PartSession>,
}

impl<'m, 'a> HybridSession<'m, 'a> {
    /// Sets the input from 8-bit pixels, HWC, of the shape [`Model::image_shape`], by the preprocessing
    /// that the model carries.
    ///
    /// # Errors
    /// [`SessionError::InputLength`], or [`SessionError::NoPreprocessing`].
    pub fn set_pixels(&mut self, pixels: &[u8]) -> Result<(), HybridError> {
        match &mut self.first {
            Some(first) => {
                preprocess::pixels_to_real(&self.model, pixels, first.session.input_mut())?;
            }
            None => self.plan.set_pixels(pixels)?,
        }
        Ok(())
    }

    /// Sets the input from real values, HWC, as the float network takes them.
    ///
    /// # Errors
    /// [`SessionError::InputLength`].
    pub fn set_real(&mut self, values: &[f32]) -> Result<(), HybridError> {
        let Some(first) = &mut self.first else { return Ok(self.plan.set_real(values)?) };
        let input = first.session.input_mut();
        let (needed, available) = (input.len(), values.len());
        if needed != available {
            return Err(SessionError::InputLength { needed, available }.into());
        }
        input.copy_from_slice(values);
        Ok(())
    }

    /// The int8 plan alone: to set its input, run it, or look at its logits.
    pub fn plan(&mut self) -> &mut Session<'m, 'a> {
        &mut self.plan
    }

    /// Runs the head, if there is one, and quantizes what it gives into the plan's input.
    ///
    /// # Errors
    /// [`HybridError::Part`] if tract fails.
    pub fn run_head(&mut self) -> Result<(), HybridError> {
        self.head(&mut (), &mut Vec::new())
    }

    /// Runs everything. Running it again needs the input again.
    ///
    /// # Errors
    /// [`HybridError::Part`] if tract fails, [`SessionError::Run`] if a step of the plan was not computed.
    pub fn run(&mut self) -> Result<Vec<f32>, HybridError> {
        Ok(self.run_with(&mut (), &mut ())?.scores)
    }

    /// [`HybridSession::run`] with the time of everything, and a hook around the plan's steps.
    ///
    /// # Errors
    /// As [`HybridSession::run`].
    pub fn run_with(
        &mut self,
        clock: &mut impl Clock,
        hook: &mut impl Hook,
    ) -> Result<HybridRun, HybridError> {
        let mut ticks = Vec::new();
        if let Some(whole) = self.first.as_ref().filter(|_| self.model.step_count() == 0) {
            let scores = whole.run(clock, &mut ticks)?;
            return Ok(HybridRun { scores, ticks });
        }
        self.head(clock, &mut ticks)?;
        loop {
            let start = clock.ticks();
            if !self.plan.step(hook)? {
                break;
            }
            ticks.push(clock.ticks().saturating_sub(start));
        }
        let scores = match &mut self.tail {
            Some(tail) => {
                let start = clock.ticks();
                dequantize(&mut self.plan, tail)?;
                ticks.push(clock.ticks().saturating_sub(start));
                tail.run(clock, &mut ticks)?
            }
            None => {
                let first = self.model.outputs().next().zip(self.plan.output(0));
                let (output, bytes) = first.ok_or(SessionError::Run(NO_OUTPUT))?;
                output.tensor_values(bytes).into_iter().map(|value| value as f32).collect()
            }
        };
        Ok(HybridRun { scores, ticks })
    }

    fn head(&mut self, clock: &mut impl Clock, ticks: &mut Vec<u64>) -> Result<(), HybridError> {
        let Some(head) = self.first.as_ref().filter(|_| self.model.step_count() > 0) else {
            return Ok(());
        };
        let values = head.run(clock, ticks)?;
        let start = clock.ticks();
        let input = self.model.input();
        for (to, value) in self.plan.input_mut().iter_mut().zip(values) {
            *to = input.quantize(value);
        }
        ticks.push(clock.ticks().saturating_sub(start));
        Ok(())
    }
}

/// A plan that has run gives its first output.
const NO_OUTPUT: RunError = RunError { step: 0, fault: Fault::NoStep };

/// The real values of the plan's output become the tail's input.
fn dequantize(plan: &mut Session<'_, '_>, tail: &mut PartSession) -> Result<(), HybridError> {
    let output = plan.model().output();
    let (part, to) = (tail.name, tail.session.input_mut());
    let fits = |available| match to.len() == available {
        true => Ok(()),
        false => Err(HybridError::PartLength { part, needed: to.len(), available }),
    };
    if output.wide {
        let logits = plan.logits();
        fits(logits.len())?;
        for (to, &logit) in to.iter_mut().zip(logits) {
            *to = logit as f32 * output.scale;
        }
        return Ok(());
    }
    let zero = f32::from(output.zero_point);
    let bytes = plan.tensor_mut(output.tensor).unwrap_or_default();
    fits(bytes.len())?;
    for (to, &byte) in to.iter_mut().zip(bytes.iter()) {
        *to = (f32::from(byte.cast_signed()) - zero) * output.scale;
    }
    Ok(())
}

/// Stands still: for runs that nobody measures.
impl Clock for () {
    fn ticks(&mut self) -> u64 {
        0
    }
    fn ticks_per_second(&self) -> u64 {
        0
    }
}
