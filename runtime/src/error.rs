//! Typed errors: small, `Copy`, with the facts that a remedy needs. No strings, no panics.

use core::fmt;

use crate::KernelFamily;
use crate::format::{Target, WeightLayout};

/// Why a model file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes do not start at a multiple of `needed`; see [`crate::include_model!`].
    Misaligned { needed: usize, address: usize },
    /// Fewer or more bytes than the header says.
    Length { needed: usize, available: usize },
    /// Not a fixnet model.
    BadMagic,
    /// Written by a newer fixnet, or by an incompatible older one.
    UnsupportedVersion { major: u16, minor: u16 },
    /// A reserved byte of the header is not 0.
    ReservedNotZero,
    /// Weights laid out for a machine that this version does not know.
    UnsupportedTarget { target: u16 },
    /// The plan's bytes do not have the checksum in the header.
    PlanChecksum { expected: u32, found: u32 },
    /// A table, name or constant lies outside the file or is misaligned.
    BadSection { offset: u32, bytes: u32 },
    /// A field of the preprocessing is out of range.
    BadPreprocess,
    /// More steps, tensors or layers than [`crate::format::MAX_RECORDS`], or none.
    BadCount { count: u16 },
    /// A tensor is empty, too large, misaligned or outside the arena.
    BadTensor { tensor: u16 },
    /// A step names a tensor, kind or layer that does not exist or is of the wrong type.
    BadReference { step: u16 },
    /// A step's shapes do not follow from its parameters, or differ from those of its layer.
    BadShape { step: u16 },
    /// A fixed-point constant of a step is out of range.
    BadConstant { step: u16 },
    /// A step's weights or channel constants lie outside the file or overlap others, or have the wrong
    /// length or layout.
    BadWeights { step: u16 },
    /// A step would overwrite what it reads.
    Overlap { step: u16 },
    /// A step reads a tensor that no earlier step has left intact.
    NotWritten { step: u16, tensor: u16 },
    /// More multiply-accumulates than [`crate::format::Limits::macs`]; `needed` counts those of all
    /// steps.
    TooMuchWork { needed: u64, limit: u64 },
    /// Steps visit more elements than [`crate::format::Limits::elements`].
    TooManyElements { needed: u64, limit: u64 },
    /// More bytes of activations than [`crate::format::Limits::arena`].
    ArenaTooLarge { needed: usize, limit: usize },
    /// A float part has a kind, place or shape that does not fit the plan.
    BadFloatPart { part: u16 },
    /// An output is not there at the end, or is not what its kind says.
    BadOutput { output: u16 },
    /// A float part does not have the checksum in the plan.
    FloatPartChecksum { part: u16, expected: u32, found: u32 },
    /// A layer's weights do not have the checksum in the plan.
    WeightsChecksum { step: u16, expected: u32, found: u32 },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { needed, address } => {
                write!(f, "the model lies at address {address:#x}, not at a multiple of {needed}")
            }
            Self::Length { needed, available } => {
                write!(f, "the model needs {needed} bytes and {available} are there")
            }
            Self::BadMagic => f.write_str("not a fixnet model"),
            Self::UnsupportedVersion { major, minor } => {
                write!(f, "format version {major}.{minor} is not supported")
            }
            Self::ReservedNotZero => f.write_str("a reserved byte of the header is not 0"),
            Self::BadPreprocess => f.write_str("a field of the preprocessing is out of range"),
            Self::UnsupportedTarget { target } => {
                write!(
                    f,
                    "the weights are packed for target {target}, which this version does not know"
                )
            }
            Self::PlanChecksum { expected, found } => {
                write!(f, "the plan is damaged: checksum {found:08x}, not {expected:08x}")
            }
            Self::BadSection { offset, bytes } => {
                write!(f, "a section of {bytes} bytes at offset {offset} is outside the file")
            }
            Self::BadCount { count } => write!(f, "{count} records in a table"),
            Self::BadTensor { tensor } => write!(f, "tensor {tensor} does not fit the arena"),
            Self::BadReference { step } => {
                write!(f, "step {step} refers to something that does not exist")
            }
            Self::BadShape { step } => write!(f, "step {step} has inconsistent shapes"),
            Self::BadConstant { step } => write!(f, "step {step} has a constant out of range"),
            Self::BadWeights { step } => {
                write!(f, "the weights of step {step} are not in the file")
            }
            Self::Overlap { step } => write!(f, "step {step} overwrites its own input"),
            Self::NotWritten { step, tensor } => {
                write!(f, "step {step} reads tensor {tensor}, which is not intact by then")
            }
            Self::TooMuchWork { needed, limit } => {
                write!(f, "the model needs {needed} multiply-accumulates and the limit is {limit}")
            }
            Self::TooManyElements { needed, limit } => {
                write!(f, "the model's steps visit {needed} elements and the limit is {limit}")
            }
            Self::ArenaTooLarge { needed, limit } => {
                write!(f, "the model needs {needed} bytes of activations and the limit is {limit}")
            }
            Self::BadFloatPart { part } => {
                write!(f, "float part {part} does not fit the plan or the file")
            }
            Self::BadOutput { output } => {
                write!(f, "output {output} is not there at the end, or not what its kind says")
            }
            Self::FloatPartChecksum { part, expected, found } => {
                write!(f, "float part {part} is damaged: checksum {found:08x}, not {expected:08x}")
            }
            Self::WeightsChecksum { step, expected, found } => write!(
                f,
                "the weights of step {step} are damaged: checksum {found:08x}, not {expected:08x}"
            ),
        }
    }
}

impl core::error::Error for ModelError {}

/// Why a session could not be made, memory could not be had, an input was refused, or a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SessionError {
    /// The arena is too small for the activations and the kernels' scratch.
    ArenaTooSmall { needed: usize, available: usize },
    /// This machine does not give `needed` bytes; see `AlignedBytes::try_zeroed`.
    OutOfMemory { needed: usize },
    /// The arena does not start at a multiple of `needed`; see [`crate::Arena`].
    ArenaMisaligned { needed: usize, address: usize },
    /// The input has another length than the model's.
    InputLength { needed: usize, available: usize },
    /// The model takes no images, but tensors of another kind: it carries no preprocessing for pixels.
    NoPreprocessing,
    /// The model has parts in float, which this session cannot run; see the feature `tract`.
    FloatParts { count: usize },
    /// The model's weights are laid out for a machine that these kernels are not for.
    WrongTarget { target: Target, kernels: KernelFamily },
    /// A step was not computed.
    Run(RunError),
}

impl From<RunError> for SessionError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ArenaTooSmall { needed, available } => {
                write!(f, "the arena has {available} bytes and {needed} are needed")
            }
            Self::OutOfMemory { needed } => {
                write!(f, "{needed} bytes of memory are needed and cannot be had")
            }
            Self::ArenaMisaligned { needed, address } => {
                write!(f, "the arena lies at {address:#x}, not at a multiple of {needed}")
            }
            Self::InputLength { needed, available } => {
                write!(f, "the input has {available} bytes and {needed} are needed")
            }
            Self::NoPreprocessing => {
                f.write_str("the model takes no images: it carries no preprocessing for pixels")
            }
            Self::FloatParts { count } => write!(
                f,
                "the model has parts in float ({count}), which need tract on an operating system"
            ),
            Self::WrongTarget { target, kernels } => write!(
                f,
                "the model is packed for {}, which the kernels {kernels} do not run",
                target.name(),
                kernels = kernels.name()
            ),
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SessionError {}

/// Why a run ended before its last step. The session has no logits then, and may be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct RunError {
    /// Position in the plan of the step that was not computed.
    pub step: usize,
    pub fault: Fault,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} was not computed: {}", self.step, self.fault)
    }
}

impl core::error::Error for RunError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.fault)
    }
}

/// Why a step was not computed. Its output then holds arbitrary bytes.
///
/// A session that runs a checked model has none of these: each one is a bug of fixnet, or of a program that
/// calls its kernels directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// A buffer has another length than the step's geometry asks for, in elements; scratch, weights: in
    /// bytes.
    Length { buffer: Buffer, needed: usize, available: usize },
    /// A buffer does not start at a multiple of `needed`.
    Misaligned { buffer: Buffer, needed: usize, address: usize },
    /// An extent is 0 or out of range, a window leaves its padded input, or groups do not divide channels.
    Geometry,
    /// The rows to compute are not all rows of the output.
    Rows { first: usize, count: usize, height: usize },
    /// A fixed-point constant is out of its range.
    Constant,
    /// The kernels do not read weights that are laid out so, or not for this geometry.
    Weights { target: Target, layout: WeightLayout },
    /// The step's tensors overlap or lie outside the arena.
    Arena,
    /// There is no such step, or it cannot be run alone.
    NoStep,
    /// The parts into which a kernel divides its work do not fit the plan that it was given scratch for.
    Plan,
}

/// A kernel's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Buffer {
    Input,
    /// The second input.
    Operand,
    Output,
    Weights,
    /// Constants of the output channels.
    Channels,
    Scratch,
}

impl Buffer {
    /// What messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Operand => "second input",
            Self::Output => "output",
            Self::Weights => "weights",
            Self::Channels => "constants of channels",
            Self::Scratch => "scratch",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { buffer, needed, available } => {
                write!(f, "{}: {needed} are needed and {available} are there", buffer.name())
            }
            Self::Misaligned { buffer, needed, address } => {
                write!(
                    f,
                    "{}: at address {address:#x}, not at a multiple of {needed}",
                    buffer.name()
                )
            }
            Self::Geometry => f.write_str("its geometry is none"),
            Self::Rows { first, count, height } => {
                write!(f, "{count} rows from row {first} on are not in its {height} rows")
            }
            Self::Constant => f.write_str("a fixed-point constant is out of its range"),
            Self::Weights { target, layout } => {
                let (target, layout) = (target.name(), layout.name());
                write!(f, "its kernels do not read weights of layout {layout} for {target}")
            }
            Self::Arena => f.write_str("its tensors overlap or lie outside the arena"),
            Self::NoStep => f.write_str("there is no such step, or it cannot be run alone"),
            Self::Plan => f.write_str("a kernel's work does not fit its own plan"),
        }
    }
}

impl core::error::Error for Fault {}
