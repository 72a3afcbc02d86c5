//! The one place where a kernel is chosen, and the one where it is called.

use core::fmt;

use super::declare::{InstructionSet, Operators};
use super::{
    ConcatArgs, ConvArgs, ConvKernel, ConvShape, KernelFamily, LogitsArgs, PoolShape,
    SubsampleArgs, check, portable,
};
use crate::error::Fault;
use crate::format::{Channels, Operator, Target, WeightForm, WeightLayout};
use crate::numerics::{Addition, Channel, Multiplication, Requantization, TABLE_ENTRIES};

/// Which kernels compute, on this machine or another.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    set: &'static InstructionSet,
    /// The kernel of all convolutions that it computes.
    conv: Option<ConvKernel>,
}

impl Choice {
    /// The kernel that computes a convolution.
    pub fn conv_kernel(self, shape: &ConvShape, form: WeightForm) -> ConvKernel {
        let packed = form.layout != WeightLayout::Ohwi;
        let able = |kernel: &ConvKernel| kernel.computes(shape, form);
        let serves = |kernel: &ConvKernel| able(kernel) && (packed || kernel.is_profitable(shape));
        let best = || self.set.conv_kernels().find(serves);
        self.conv.filter(able).or_else(best).unwrap_or(ConvKernel::GENERIC)
    }

    /// Name of the code that runs an operator.
    fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        let Operators {
            max_pool,
            average_pool,
            average_pool_inside,
            add,
            subsample,
            logits,
            lookup,
            multiply,
            concat,
            ..
        } = &self.set.operators;
        match operator {
            Operator::Conv { shape, weights, .. } => self.conv_kernel(shape, weights.form).name(),
            Operator::MaxPool { .. } => max_pool.name,
            Operator::AveragePool { .. } => average_pool.name,
            Operator::AveragePoolExcludingPadding { .. } => average_pool_inside.name,
            Operator::Add(_) => add.name,
            Operator::Subsample { .. } => subsample.name,
            Operator::Logits { .. } => logits.name,
            Operator::Lookup { .. } => lookup.name,
            Operator::Multiply(_) => multiply.name,
            Operator::Concat { .. } => concat.name,
        }
    }

    /// Scratch for an operator that is computed as a whole, in bytes.
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        match operator {
            Operator::Conv { shape, weights, .. } => {
                self.conv_kernel(shape, weights.form).scratch_bytes(shape, weights.form)
            }
            _ => 0,
        }
    }
}

/// The kernels of one machine. Holding a value proves that the machine can run it.
#[derive(Clone, Copy)]
pub struct KernelSet(Choice);

impl KernelFamily {
    /// The family of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The record. What this build has no use for counts as portable.
    fn record(self) -> &'static InstructionSet {
        self.set().unwrap_or(&portable::GENERIC)
    }

    /// Its kernels, without proof that this machine runs them.
    pub(crate) fn choice(self) -> Choice {
        Choice { set: self.record(), conv: None }
    }

    /// This family and those that it is based on, whose kernels and packed files it runs, too.
    pub fn line(self) -> impl Iterator<Item = Self> {
        self.record().line().map(|set| set.family)
    }

    /// Whether it runs files whose weights are laid out for `target`.
    #[must_use]
    pub fn runs(self, target: Target) -> bool {
        Self::for_target(target).is_none_or(|family| self.record().has(family))
    }

    /// Convolution kernels of this family, best first; the last one computes whatever others do not.
    pub fn conv_kernels(self) -> impl Iterator<Item = ConvKernel> {
        self.record().conv_kernels()
    }

    /// The kernel that this family computes a convolution with.
    #[must_use]
    pub fn conv_kernel(self, shape: &ConvShape, form: WeightForm) -> ConvKernel {
        self.choice().conv_kernel(shape, form)
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        self.choice().kernel_name(operator)
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        self.choice().scratch_bytes(operator)
    }
}

impl PartialEq for KernelSet {
    fn eq(&self, other: &Self) -> bool {
        self.family() == other.family() && self.0.conv == other.0.conv
    }
}

impl Eq for KernelSet {}

impl fmt::Debug for KernelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.0.conv.map_or(Ok(()), |kernel| write!(f, " with {}", kernel.name()))
    }
}

impl KernelSet {
    /// The specification: slow, for tests.
    pub const REFERENCE: Self = Self::new(&portable::REFERENCE);
    /// Portable Rust.
    pub const GENERIC: Self = Self::new(&portable::GENERIC);

    /// Only of sets that are there.
    const fn new(set: &'static InstructionSet) -> Self {
        Self(Choice { set, conv: None })
    }

    /// Its kernels, for plans.
    pub(crate) const fn choice(self) -> Choice {
        self.0
    }

    /// The fastest kernels that this machine runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::GENERIC)
    }

    /// The kernel sets that this machine runs: the specification first, the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        let sets = KernelFamily::ALL.into_iter().filter_map(KernelFamily::set);
        let there = sets.filter(|set| set.is_there.is_some_and(|is_there| is_there()));
        there.map(Self::new)
    }

    /// This set with `kernel` for all convolutions that it computes, whether it pays there or not;
    /// `None` if the set has no such kernel.
    #[must_use]
    pub fn with_conv_kernel(self, kernel: ConvKernel) -> Option<Self> {
        let known = self.0.set.conv_kernels().any(|known| known == kernel);
        known.then_some(Self(Choice { conv: Some(kernel), ..self.0 }))
    }

    /// The set's name.
    #[must_use]
    pub const fn family(self) -> KernelFamily {
        self.0.set.family
    }

    /// Name of the set, as `--kernels` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.family().name()
    }

    /// Whether the machine has the instructions of `family`.
    #[cfg_attr(
        not(any(native_x86_64, native_aarch64, native_cortex_m3, native_cortex_m4)),
        expect(dead_code, reason = "portable kernels need no proof")
    )]
    pub(super) fn has(self, family: KernelFamily) -> bool {
        self.0.set.has(family)
    }

    /// The kernel that computes a convolution.
    #[must_use]
    pub fn conv_kernel(self, shape: &ConvShape, form: WeightForm) -> ConvKernel {
        self.0.conv_kernel(shape, form)
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        self.0.kernel_name(operator)
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        self.0.scratch_bytes(operator)
    }

    /// Runs a convolution.
    ///
    /// # Errors
    /// [`Fault`] if an argument does not fit the shape, if these kernels do not read the weights, or if one
    /// finds fault with its own work. The output then holds anything.
    pub fn conv(self, mut args: ConvArgs<'_>) -> Result<(), Fault> {
        let kernel = self.conv_kernel(args.shape, args.weights.form);
        check::conv(&args)?;
        args.input = check::input(&args)?;
        check::readable(&args, kernel)?;
        check::scratch(&args, kernel)?;
        kernel.run(self, args)
    }

    /// Runs the classifier.
    ///
    /// # Errors
    /// [`Fault`] if a slice is shorter than inputs and classes ask for.
    pub fn logits(self, args: LogitsArgs<'_>) -> Result<(), Fault> {
        check::logits(&args)?;
        self.0.set.operators.logits.code()?(self, args)
    }

    /// Runs a maximum pool, HWC to HWC; padding is ignored.
    ///
    /// # Errors
    /// [`Fault`] if a slice does not fit the shape, or a window is none.
    pub fn max_pool(
        self,
        shape: &PoolShape,
        clamp: (i8, i8),
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool(shape, input, output)?;
        check::clamp(clamp)?;
        self.0.set.operators.max_pool.code()?(self, shape, clamp, input, output)
    }

    /// Runs an average pool, HWC to HWC; padding counts as real 0.
    ///
    /// # Errors
    /// As [`KernelSet::max_pool`].
    pub fn average_pool(
        self,
        shape: &PoolShape,
        channel: Channel,
        requantization: &Requantization,
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool(shape, input, output)?;
        check::requantization(requantization)?;
        let code = self.0.set.operators.average_pool.code()?;
        code(self, shape, channel, requantization, input, output)
    }

    /// Runs an average pool whose padding does not count, HWC to HWC; there are constants for every number of
    /// taps that a window can have inside the map.
    ///
    /// # Errors
    /// As [`KernelSet::max_pool`], and [`Fault`] if constants are missing or a window could lie in the padding
    /// as a whole.
    pub fn average_pool_inside(
        self,
        shape: &PoolShape,
        channels: Channels<'_>,
        requantization: &Requantization,
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool_inside(shape, channels, input, output)?;
        check::requantization(requantization)?;
        let code = self.0.set.operators.average_pool_inside.code()?;
        code(self, shape, channels, requantization, input, output)
    }

    /// Adds two tensors of one shape, or one value a channel to each pixel of a tensor.
    ///
    /// # Errors
    /// [`Fault`] if the first is not of the output's length, or that is no multiple of the second's.
    pub fn add(
        self,
        addition: &Addition,
        a: &[i8],
        b: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::elementwise([a, b], output)?;
        check::clamp(addition.clamp)?;
        let code = self.0.set.operators.add.code()?;
        for (a, output) in
            a.chunks_exact(b.len().max(1)).zip(output.chunks_exact_mut(b.len().max(1)))
        {
            code(self, addition, a, b, output)?;
        }
        Ok(())
    }

    /// Adds two tensors of one shape; `output` holds the second and is overwritten.
    ///
    /// # Errors
    /// As [`KernelSet::add`].
    pub fn add_in_place(
        self,
        addition: &Addition,
        a: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::elementwise([a, output], output)?;
        check::clamp(addition.clamp)?;
        self.0.set.operators.add_in_place.code()?(self, addition, a, output)
    }

    /// Multiplies two tensors of one shape, or each pixel of a tensor by one value a channel; without `b` the
    /// output holds the second and is overwritten.
    ///
    /// # Errors
    /// As [`KernelSet::add`].
    pub fn multiply(
        self,
        constants: &Multiplication,
        a: &[i8],
        b: Option<&[i8]>,
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::requantization(&constants.requantization)?;
        check::elementwise([a, b.unwrap_or(output)], output)?;
        let Some(b) = b else {
            return self.0.set.operators.multiply_in_place.code()?(self, constants, a, output);
        };
        let code = self.0.set.operators.multiply.code()?;
        for (a, output) in
            a.chunks_exact(b.len().max(1)).zip(output.chunks_exact_mut(b.len().max(1)))
        {
            code(self, constants, a, b, output)?;
        }
        Ok(())
    }

    /// Replaces each value by its entry in the one table, or in that of its channel.
    ///
    /// # Errors
    /// [`Fault`] if the number of values is no multiple of that of tables.
    pub fn lookup(
        self,
        tables: &[[i8; TABLE_ENTRIES]],
        clamp: (i8, i8),
        values: &mut [i8],
    ) -> Result<(), Fault> {
        check::clamp(clamp)?;
        check::lookup(tables, values)?;
        self.0.set.operators.lookup.code()?(self, tables, clamp, values)
    }

    /// Computes the channels of a concatenation that come from one input.
    ///
    /// # Errors
    /// [`Fault`] if the channels are not within those of the output, or a slice does not fit them.
    pub fn concat(self, args: ConcatArgs<'_>) -> Result<(), Fault> {
        check::concat(&args)?;
        self.0.set.operators.concat.code()?(self, args)
    }

    /// Runs a strided copy with zero channels around.
    ///
    /// # Errors
    /// [`Fault`] if a slice does not fit its tensor, or one tensor the other.
    pub fn subsample(self, args: SubsampleArgs<'_>) -> Result<(), Fault> {
        check::subsample(&args)?;
        self.0.set.operators.subsample.code()?(self, args)
    }
}
