//! A session: one model, one arena, one inference at a time, one step a layer.
//!
//! What may not be broken: a session never allocates and never panics, touches nothing but its
//! arena, and gives the same bytes with every [`KernelSet`]. A step that was not computed is a [`RunError`],
//! and there are no logits but those of a run that went to its end.

mod gates;
mod streaming;

use core::ops::Range;

use zerocopy::FromBytes;

use crate::arena::{self, Views};
use crate::error::{Fault, RunError, SessionError};
use crate::format::{ALIGNMENT, Layer, Model, Operator, Step, align_up};
use crate::kernels::{ConvArgs, KernelSet, LogitsArgs, Residual, SubsampleArgs};
use crate::parallel;
use crate::preprocess;

/// What a hook learns about a step.
#[derive(Debug, Clone, Copy)]
pub struct StepInfo<'m> {
    /// Position in the plan.
    pub index: usize,
    pub layer: Layer<'m>,
    /// Name of the kernel that runs it.
    pub kernel: &'static str,
    /// Rows of the layer's output that this call is about: all, or a part of a streamed pair.
    pub rows: (usize, usize),
}

/// Called around every step: profiling, checksums, a trace pin, a watchdog, yielding.
///
/// A convolution whose output never exists whole and the max-pool behind it run in parts that take
/// turns: each is called for its parts, from the first row to the last.
pub trait Hook {
    /// Called before the step, or a part of it.
    fn before(&mut self, _info: &StepInfo<'_>) {}
    /// Called after it with the bytes of its output: int8 in HWC order, or i32 logits.
    fn after(&mut self, _info: &StepInfo<'_>, _output: &[u8]) {}
}

impl Hook for () {}

impl<A: Hook, B: Hook> Hook for (A, B) {
    fn before(&mut self, info: &StepInfo<'_>) {
        self.0.before(info);
        self.1.before(info);
    }
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        self.1.after(info, output);
        self.0.after(info, output);
    }
}

impl<H: Hook + ?Sized> Hook for &mut H {
    fn before(&mut self, info: &StepInfo<'_>) {
        (**self).before(info);
    }
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        (**self).after(info, output);
    }
}

/// An inference over a fixed arena.
#[derive(Debug)]
pub struct Session<'m, 'a> {
    model: Model<'m>,
    arena: &'a mut [u8],
    scratch: Range<usize>,
    kernels: KernelSet,
    threads: usize,
    next: usize,
    /// Whether the arena holds the output of a run that went to its end.
    complete: bool,
}

impl<'m, 'a> Session<'m, 'a> {
    /// A session with the fastest kernels of this machine, [`KernelSet::detect`].
    ///
    /// # Errors
    /// [`SessionError`] if the arena is smaller than [`Model::required`] or misaligned, or if the model
    /// is packed for another machine.
    pub fn new(model: &Model<'m>, arena: &'a mut [u8]) -> Result<Self, SessionError> {
        Self::with_kernels(model, arena, KernelSet::detect())
    }

    /// A session with chosen kernels.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_kernels(
        model: &Model<'m>,
        arena: &'a mut [u8],
        kernels: KernelSet,
    ) -> Result<Self, SessionError> {
        Self::with_threads(model, arena, kernels, 1)
    }

    /// A session whose layers are split over `threads` threads, which changes no byte.
    ///
    /// Without the feature `threads` the parts run one after the other. With it they run on the
    /// current rayon pool: the global one, or that of `ThreadPool::install`, inside of which the calling
    /// thread is one of them and waits for the others without sleeping first.
    ///
    /// # Errors
    /// [`SessionError::FloatParts`], or as [`Session::new`], for an arena of [`Model::required_by_threads`] bytes.
    pub fn with_threads(
        model: &Model<'m>,
        arena: &'a mut [u8],
        kernels: KernelSet,
        threads: usize,
    ) -> Result<Self, SessionError> {
        match model.float_parts().count() {
            0 => Self::for_plan(model, arena, kernels, threads),
            count => Err(SessionError::FloatParts { count }),
        }
    }

    /// A session of the int8 plan alone, whatever is around it.
    pub(crate) fn for_plan(
        model: &Model<'m>,
        arena: &'a mut [u8],
        kernels: KernelSet,
        threads: usize,
    ) -> Result<Self, SessionError> {
        let (target, family) = (model.target(), kernels.family());
        if !family.runs(target) {
            return Err(SessionError::WrongTarget { target, kernels: family });
        }
        let required = model.required_by_threads(kernels, threads);
        let (needed, available) = (required.arena(), arena.len());
        if available < needed {
            return Err(SessionError::ArenaTooSmall { needed, available });
        }
        let address = arena.as_ptr() as usize;
        if !address.is_multiple_of(ALIGNMENT) {
            return Err(SessionError::ArenaMisaligned { needed: ALIGNMENT, address });
        }
        let start = needed - required.scratch;
        debug_assert!(start == required.activations || start == align_up(required.activations));
        Ok(Self {
            model: *model,
            arena,
            scratch: start..needed,
            kernels,
            threads: threads.max(1),
            next: 0,
            complete: false,
        })
    }

    /// The model that this session runs.
    #[must_use]
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The kernels that this session runs.
    #[must_use]
    pub fn kernels(&self) -> KernelSet {
        self.kernels
    }

    /// The int8 input, HWC, at the scale and zero point of [`Model::input`]. Running overwrites it.
    pub fn input_mut(&mut self) -> &mut [i8] {
        (self.next, self.complete) = (0, false);
        let range = self.model.input().range();
        arena::int8_mut(self.arena, range).unwrap_or(&mut [])
    }

    /// Sets the input from 8-bit pixels - grey, RGB, or RGB and alpha, as the network's input has channels -
    /// in HWC order, of the network's height and width, by the preprocessing that the model carries.
    ///
    /// # Errors
    /// [`SessionError::InputLength`], or [`SessionError::NoPreprocessing`].
    pub fn set_pixels(&mut self, pixels: &[u8]) -> Result<(), SessionError> {
        let model = self.model;
        preprocess::pixels_to_input(&model, pixels, self.input_mut())
    }

    /// Sets the input from the bytes of int8 values, HWC, at the scale and zero point of [`Model::input`].
    ///
    /// # Errors
    /// [`SessionError::InputLength`].
    pub fn set_tensor(&mut self, values: &[u8]) -> Result<(), SessionError> {
        let input = self.input_mut();
        let (needed, available) = (input.len(), values.len());
        if needed != available {
            return Err(SessionError::InputLength { needed, available });
        }
        for (to, value) in input.iter_mut().zip(values) {
            *to = value.cast_signed();
        }
        Ok(())
    }

    /// Sets the input from real values, HWC, as the float network takes them.
    ///
    /// # Errors
    /// [`SessionError::InputLength`].
    #[cfg(feature = "std")]
    pub fn set_real(&mut self, values: &[f32]) -> Result<(), SessionError> {
        let grid = self.model.input();
        let input = self.input_mut();
        let (needed, available) = (input.len(), values.len());
        if needed != available {
            return Err(SessionError::InputLength { needed, available });
        }
        for (to, &value) in input.iter_mut().zip(values) {
            *to = grid.quantize(value);
        }
        Ok(())
    }

    /// Runs all steps and returns the logits: `logit * model.output().scale` is the real value. What a network
    /// of several outputs or of other kinds gives is in [`Session::output`].
    ///
    /// # Errors
    /// [`RunError`] for the first step that was not computed; a model that was checked, in an arena that
    /// this session accepted, has none. There are no logits then; with a new input the session may be run
    /// again.
    pub fn run(&mut self) -> Result<&[i32], RunError> {
        self.run_with(&mut ())
    }

    /// [`Session::run`] with a hook around every step.
    ///
    /// # Errors
    /// As [`Session::run`]; the hook is not called after a step that was not computed.
    pub fn run_with(&mut self, hook: &mut impl Hook) -> Result<&[i32], RunError> {
        self.next = 0;
        while self.step(hook)? {}
        Ok(self.logits())
    }

    /// Runs the next step, or streamed pair of steps; `false` if there was none left, which also starts
    /// over.
    ///
    /// Between two calls the caller may do anything else: a long inference need not block.
    ///
    /// # Errors
    /// As [`Session::run`]. The next call begins with the first step.
    pub fn step(&mut self, hook: &mut impl Hook) -> Result<bool, RunError> {
        let step = core::mem::take(&mut self.next);
        if step == self.model.step_count() {
            return Ok(false);
        }
        self.complete = false;
        let next = self.run_step(step, hook).map_err(|fault| RunError { step, fault })?;
        self.next = next;
        self.complete = next == self.model.step_count();
        Ok(true)
    }

    /// Runs step `index`, or the streamed pair that begins with it; returns the index of the next one.
    fn run_step(&mut self, index: usize, hook: &mut impl Hook) -> Result<usize, Fault> {
        let step = self.model.step(index).ok_or(Fault::NoStep)?;
        if step.output.is_streamed() {
            let pool = self.model.step(index + 1).ok_or(Fault::NoStep)?;
            streaming::run(self, &step, &pool, hook)?;
            return Ok(index + 2);
        }
        let info = self.info(&step, 0, step.output.height);
        hook.before(&info);
        self.execute(&step)?;
        hook.after(&info, self.arena.get(step.output.range()).ok_or(Fault::Arena)?);
        Ok(index + 1)
    }

    fn info(&self, step: &Step<'m>, first: usize, end: usize) -> StepInfo<'m> {
        let kernel = self.kernels.kernel_name(&step.operator);
        StepInfo { index: step.index, layer: step.layer, kernel, rows: (first, end) }
    }

    /// The logits of the last run, if it went to its end, until a tensor is written or a step run; none if
    /// the first output is int8, as before a float tail.
    #[must_use]
    pub fn logits(&self) -> &[i32] {
        let output = self.model.output();
        let words = || arena::words(self.arena, output.range());
        (self.complete && output.wide).then(words).flatten().unwrap_or(&[])
    }

    /// The bytes of output `index` of [`Model::outputs`], int8 in HWC order or i32 little-endian, if the last
    /// run went to its end, until a tensor is written or a step run.
    #[must_use]
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let output = self.model.outputs().nth(index).filter(|_| self.complete)?;
        self.arena.get(output.activation.range())
    }

    /// The bytes of a tensor, for tools that run single steps on inputs of their own.
    ///
    /// Tensors share memory: writing one destroys whatever lies there in the plan.
    pub fn tensor_mut(&mut self, tensor: u16) -> Option<&mut [u8]> {
        self.complete = false;
        let range = self.model.activation(tensor)?.range();
        self.arena.get_mut(range)
    }

    /// Runs step `index` alone on whatever its input tensors hold.
    ///
    /// # Errors
    /// [`RunError`] with [`Fault::NoStep`] if there is no such step, or if it is one of a streamed pair;
    /// otherwise as [`Session::run`].
    pub fn run_single(&mut self, index: usize) -> Result<&[u8], RunError> {
        self.complete = false;
        let run = |fault| RunError { step: index, fault };
        let step = self.model.step(index).ok_or(run(Fault::NoStep))?;
        if step.input.is_streamed() || step.output.is_streamed() {
            return Err(run(Fault::NoStep));
        }
        self.execute(&step).map_err(run)?;
        self.arena.get(step.output.range()).ok_or(run(Fault::Arena))
    }

    fn execute(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        match step.operator {
            Operator::Lookup { tables, clamp } => return self.look_up(step, tables, clamp),
            Operator::Concat { .. } => return self.concat(step),
            _ => {}
        }
        let operand = step.operand.filter(|_| !step.in_place).map(|o| o.range());
        let (input, output) = (step.input.range(), step.output.range());
        let views = arena::views(self.arena, input, operand, output, self.scratch.clone());
        let Views { input, operand, output, scratch } = views.ok_or(Fault::Arena)?;
        if let Operator::Logits { weights, channels, shift } = step.operator {
            let output = FromBytes::mut_from_bytes(output).map_err(|_| Fault::Arena)?;
            let args = LogitsArgs { input, weights, channels, shift, output };
            return parallel::logits(self.kernels, self.threads, args);
        }
        let output = <[i8]>::mut_from_bytes(output).map_err(|_| Fault::Arena)?;
        match step.operator {
            Operator::Conv { ref shape, weights, channels, ref requantization } => {
                let residual = match (step.operand, operand) {
                    (Some(_), Some(values)) => Residual::Separate(values),
                    (Some(_), None) => Residual::InPlace,
                    (None, _) => Residual::None,
                };
                let args = ConvArgs {
                    shape,
                    input,
                    weights,
                    channels,
                    requantization,
                    residual,
                    first_row: 0,
                    output,
                    scratch,
                };
                parallel::conv(self.kernels, self.threads, args)
            }
            Operator::MaxPool { ref shape, clamp } => {
                parallel::max_pool(self.kernels, self.threads, shape, clamp, input, output)
            }
            Operator::AveragePool { ref shape, channel, ref requantization } => {
                self.kernels.average_pool(shape, channel, requantization, input, output)
            }
            Operator::AveragePoolExcludingPadding { ref shape, channels, ref requantization } => {
                self.kernels.average_pool_inside(shape, channels, requantization, input, output)
            }
            Operator::Add(ref addition) => match operand {
                Some(operand) => self.kernels.add(addition, input, operand, output),
                None => self.kernels.add_in_place(addition, input, output),
            },
            Operator::Subsample { strides, channels_before } => {
                self.kernels.subsample(SubsampleArgs {
                    strides,
                    channels_before,
                    from: &step.input,
                    to: &step.output,
                    input,
                    output,
                })
            }
            Operator::Multiply(ref constants) => {
                self.kernels.multiply(constants, input, operand, output)
            }
            // Done above.
            Operator::Logits { .. } | Operator::Lookup { .. } | Operator::Concat { .. } => {
                Err(Fault::Plan)
            }
        }
    }
}

#[cfg(all(test, feature = "write"))]
mod tests {
    use super::*;
    use crate::AlignedBytes;
    use crate::error::Buffer;
    use crate::support::model;
    use std::vec::Vec;

    const THREADS: usize = 4;

    /// Runs a check with every kernel set that needs scratch, and what a session should give.
    fn with(check: impl Fn(&mut Session<'_, '_>, &[i8], &[i32])) {
        let file = model::file(&model::large());
        let model = Model::new_checked(&file).unwrap();
        let input = model::input(model.input().elements());
        for kernels in KernelSet::available().filter(|&kernels| kernels != KernelSet::REFERENCE) {
            let required = model.required_by_threads(kernels, THREADS);
            let mut arena = AlignedBytes::zeroed(required.arena());
            let arena = arena.as_mut_slice();
            let mut session = Session::with_threads(&model, arena, kernels, THREADS).unwrap();
            assert!(session.logits().is_empty());
            session.input_mut().copy_from_slice(&input);
            let want = session.run().unwrap().to_vec();
            assert!(!want.is_empty());
            check(&mut session, &input, &want);
        }
    }

    fn run(session: &mut Session<'_, '_>, input: &[i8]) -> Result<Vec<i32>, RunError> {
        session.input_mut().copy_from_slice(input);
        session.run().map(<[i32]>::to_vec)
    }

    /// A part on another thread lacks the last byte of its scratch, or all have none.
    #[test]
    fn a_step_without_its_scratch_is_a_fault_and_leaves_no_logits() {
        with(|session, input, want| {
            let whole = session.scratch.clone();
            for end in [whole.end - 1, whole.start] {
                session.scratch = whole.start..end;
                let error = run(session, input).unwrap_err();
                let short = matches!(
                    error.fault,
                    Fault::Length { buffer: Buffer::Scratch, needed, available } if available < needed
                );
                assert!(short && error.step == 0, "{error}");
                assert!(session.logits().is_empty());
                session.scratch = whole.clone();
                assert_eq!(run(session, input).unwrap(), want);
            }
        });
    }

    #[test]
    fn a_tensor_outside_the_arena_is_a_fault_of_its_step() {
        with(|session, input, _| {
            session.input_mut().copy_from_slice(input);
            assert!(session.step(&mut ()).unwrap());
            let arena = core::mem::take(&mut session.arena);
            let lost = RunError { step: 1, fault: Fault::Arena };
            assert_eq!(session.step(&mut ()), Err(lost));
            assert!(session.logits().is_empty());
            session.arena = arena;
            // The next step is the first one again.
            assert!(session.step(&mut ()).unwrap() && session.next == 1);
        });
    }

    #[test]
    fn there_are_logits_of_whole_runs_alone() {
        with(|session, input, want| {
            assert_eq!(session.logits(), want);
            session.input_mut().copy_from_slice(input);
            assert!(session.logits().is_empty());
            while session.step(&mut ()).unwrap() {
                assert_eq!(session.logits().is_empty(), session.next < session.model.step_count());
            }
            assert_eq!(session.logits(), want);
            session.run_single(0).unwrap();
            assert!(session.logits().is_empty());
            assert_eq!(run(session, input).unwrap(), want);
            session.tensor_mut(0).unwrap();
            assert!(session.logits().is_empty());
        });
    }
}
