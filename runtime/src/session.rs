//! A session: one model, one arena, one inference at a time, one step a layer.
//!
//! What may not be broken: a session never allocates and never panics, touches nothing but its
//! arena, and gives the same bytes with every [`KernelSet`].

mod streaming;

use core::ops::Range;

use crate::arena;
use crate::bands;
use crate::error::SessionError;
use crate::format::{ALIGNMENT, Layer, Model, Operator, Step, align_up};
use crate::kernels::{ConvArgs, KernelSet, LogitsArgs, Residual, SubsampleArgs};
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
            0 => Self::of_plan(model, arena, kernels, threads),
            count => Err(SessionError::FloatParts { count }),
        }
    }

    /// A session of the int8 plan alone, whatever is around it.
    pub(crate) fn of_plan(
        model: &Model<'m>,
        arena: &'a mut [u8],
        kernels: KernelSet,
        threads: usize,
    ) -> Result<Self, SessionError> {
        let (target, family) = (model.target(), kernels.family());
        if !family.runs(target) {
            return Err(SessionError::WrongTarget { target, kernels: family.name() });
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
        self.next = 0;
        let range = self.model.input().range();
        arena::int8_mut(self.arena, range).unwrap_or(&mut [])
    }

    /// Sets the input from 8-bit RGB pixels, HWC, of the network's height and width, by the
    /// preprocessing that the model carries.
    ///
    /// # Errors
    /// [`SessionError::InputLength`], or [`SessionError::NoPreprocessing`].
    pub fn set_rgb(&mut self, rgb: &[u8]) -> Result<(), SessionError> {
        let model = self.model;
        preprocess::rgb_to_input(&model, rgb, self.input_mut())
    }

    /// Runs all steps and returns the logits: `logit * model.output().scale` is the real value.
    pub fn run(&mut self) -> &[i32] {
        self.run_with(&mut ())
    }

    /// [`Session::run`] with a hook around every step.
    pub fn run_with(&mut self, hook: &mut impl Hook) -> &[i32] {
        self.next = 0;
        while self.step(hook) {}
        self.logits()
    }

    /// Runs the next step, or streamed pair of steps; `false` if there was none left, which also starts
    /// over.
    ///
    /// Between two calls the caller may do anything else: a long inference need not block.
    pub fn step(&mut self, hook: &mut impl Hook) -> bool {
        let Some(step) = self.model.step(self.next) else {
            self.next = 0;
            return false;
        };
        if step.output.is_streamed() {
            if let Some(pool) = self.model.step(self.next + 1) {
                streaming::run(self, &step, &pool, hook);
            }
            self.next += 2;
            return true;
        }
        let info = self.info(&step, 0, step.output.height);
        hook.before(&info);
        self.execute(&step);
        hook.after(&info, self.arena.get(step.output.range()).unwrap_or(&[]));
        self.next += 1;
        true
    }

    fn info(&self, step: &Step<'m>, first: usize, end: usize) -> StepInfo<'m> {
        let kernel = self.kernels.kernel_name(&step.operator);
        StepInfo { index: step.index, layer: step.layer, kernel, rows: (first, end) }
    }

    /// The logits of the last run; none if the plan ends in int8, before a float tail.
    #[must_use]
    pub fn logits(&self) -> &[i32] {
        let output = self.model.output();
        let words = || arena::words(self.arena, output.range());
        output.wide.then(words).flatten().unwrap_or(&[])
    }

    /// The bytes of a tensor, for tools that run single steps on inputs of their own.
    ///
    /// Tensors share memory: writing one destroys whatever lies there in the plan.
    pub fn tensor_mut(&mut self, tensor: u16) -> Option<&mut [u8]> {
        let range = self.model.activation(tensor)?.range();
        self.arena.get_mut(range)
    }

    /// Runs step `index` alone on whatever its input tensors hold; `None` if there is no such step, or if
    /// it is one of a streamed pair.
    pub fn run_single(&mut self, index: usize) -> Option<&[u8]> {
        let step = self.model.step(index)?;
        if step.input.is_streamed() || step.output.is_streamed() {
            return None;
        }
        self.execute(&step);
        self.arena.get(step.output.range())
    }

    fn execute(&mut self, step: &Step<'_>) {
        let operand = step.operand.filter(|_| !step.in_place).map(|o| o.range());
        let (input, output) = (step.input.range(), step.output.range());
        let views = arena::views(self.arena, input, operand, output, self.scratch.clone());
        let Some(views) = views else { return };
        let input = views.input;
        if let Operator::Logits { weights, channels, shift } = step.operator {
            let Ok(output) = zerocopy::FromBytes::mut_from_bytes(views.output) else { return };
            let args = LogitsArgs { input, weights, channels, shift, output };
            bands::logits(self.kernels, self.threads, args);
            return;
        }
        let Ok(output) = <[i8] as zerocopy::FromBytes>::mut_from_bytes(views.output) else {
            return;
        };
        match step.operator {
            Operator::Conv { ref shape, weights, channels, ref requantization } => {
                let residual = match (step.operand, views.operand) {
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
                    scratch: views.scratch,
                };
                bands::conv(self.kernels, self.threads, args);
            }
            Operator::MaxPool { ref shape, clamp } => {
                bands::max_pool(self.kernels, self.threads, shape, clamp, input, output);
            }
            Operator::AveragePool { ref shape, channel, ref requantization } => {
                self.kernels.average_pool(shape, channel, requantization, input, output);
            }
            Operator::Add(ref addition) => match views.operand {
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
                });
            }
            Operator::Logits { .. } => {}
        }
    }
}
