//! Kernels: the code that computes a step, one room per instruction set.
//!
//! A room has the tables of its sets (`mod.rs`), and how its kernels divide their work and lay out their
//! weights, which is known on every machine; its module `native` is the code, for machines that have the
//! instructions. `declare` says what a table holds, and `instruction_sets` lists the sets.
//!
//! [`KernelSet::REFERENCE`] is the specification, naive on purpose and never optimised; every
//! other kernel gives the same bytes for every input, every weight in [-128, 127] and every
//! geometry that the checker accepts. A kernel reads its arguments, writes its output and its
//! scratch, and nothing else.
//!
//! [`KernelSet`] is the one place where a kernel is chosen, and the only way to one. It takes any
//! arguments: those that do not fit each other - a slice that is too short for the geometry, extents whose
//! product overflows, a stride of 0, weights of another machine - are a [`Fault`](crate::error::Fault)
//! before anything is read or written. Nothing that a kernel finds while it runs is passed over either: it
//! is a fault, and the output then holds anything. What is not looked at, and only makes other bytes: that
//! values lie in [`ConvShape::input_range`], and that multipliers are even and not negative.
//!
//! The name of a kernel's function is the name in the latency table.

#[cfg(has_aarch64)]
mod aarch64;
pub(crate) mod check;
#[cfg(any(has_cortex_m3, has_cortex_m4))]
mod cortex_m;
mod declare;
#[cfg(any(has_aarch64, has_cortex_m3, has_cortex_m4))]
mod depthwise;
mod divide;
#[cfg(any(has_aarch64, has_x86_64, has_cortex_m3, has_cortex_m4))]
#[allow(dead_code, reason = "a build may know few rooms")]
mod grouped;
mod instruction_sets;
pub mod layouts;
#[cfg(any(has_aarch64, has_x86_64, has_cortex_m3, has_cortex_m4))]
mod packing;
mod patch;
mod portable;
mod set;
#[cfg(feature = "write")]
mod winograd;
#[cfg(any(has_aarch64, has_x86_64))]
mod winograd4;
#[cfg(has_x86_64)]
mod x86_64;

pub use declare::ConvKernel;
pub use instruction_sets::{KernelFamily, Target};
pub(crate) use set::Choice;
pub use set::KernelSet;

use crate::format::{ALIGNMENT, Activation, Channels, Weights, align_up};
use crate::numerics::Requantization;

/// Geometry of a convolution; extents are height, width, channels (HWC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    pub input: [usize; 3],
    pub output: [usize; 3],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    pub dilations: [usize; 2],
    pub groups: usize,
    /// The int8 value of real 0 in the input: what padding is made of.
    pub input_zero_point: i8,
    /// Least and greatest int8 value of the input, padding included.
    pub input_range: (i8, i8),
}

impl ConvShape {
    /// Input channels that one output channel sees.
    #[must_use]
    pub const fn group_channels(&self) -> usize {
        match self.input[2].checked_div(self.groups) {
            Some(channels) => channels,
            None => 0,
        }
    }

    /// Elements of one window: the length of the sum behind one output.
    #[must_use]
    pub const fn patch_len(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1]).saturating_mul(self.group_channels())
    }
}

/// Geometry of a pooling window; extents are height, width, channels (HWC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShape {
    pub input: [usize; 3],
    pub output: [usize; 3],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    /// The int8 value of real 0 in the input: what the padding of an average is made of.
    pub input_zero_point: i8,
}

impl PoolShape {
    /// The same pool to `count` rows of the output from row `first` on, over `rows` rows of the input, which
    /// begin with the first that they see.
    pub(crate) const fn for_rows(&self, first: usize, count: usize, rows: usize) -> Self {
        let ([_, width, channels], [_, out_w, _]) = (self.input, self.output);
        let [top, left, bottom, right] = self.pads;
        // The first window begins in the padding above, or in a row of the input.
        let above = top.saturating_sub(first.saturating_mul(self.strides[0]));
        Self {
            input: [rows, width, channels],
            output: [count, out_w, channels],
            pads: [above, left, bottom, right],
            ..*self
        }
    }
}

/// The second input of a convolution's residual addition.
#[derive(Debug, Clone, Copy)]
pub enum Residual<'a> {
    None,
    /// The output buffer holds the residual and is overwritten element by element.
    InPlace,
    /// A tensor of the output's shape.
    Separate(&'a [i8]),
}

impl Residual<'_> {
    /// The residual at `index`, given what the output holds there; 0 without a residual, which
    /// then has the multiplier 0. None where a separate one ends before.
    #[inline(always)]
    fn at(&self, index: usize, current: i8) -> Option<i8> {
        match self {
            Self::None => Some(0),
            Self::InPlace => Some(current),
            Self::Separate(values) => values.get(index).copied(),
        }
    }
}

/// Arguments of a convolution kernel.
#[derive(Debug)]
pub struct ConvArgs<'a> {
    pub shape: &'a ConvShape,
    /// HWC.
    pub input: &'a [i8],
    pub weights: Weights<'a>,
    pub channels: Channels<'a>,
    pub requantization: &'a Requantization,
    /// A separate residual holds the same rows as `output`.
    pub residual: Residual<'a>,
    /// The output row that `output` begins with.
    pub first_row: usize,
    /// HWC: some whole rows, which are computed.
    pub output: &'a mut [i8],
    /// At least [`KernelSet::scratch_bytes`] bytes, aligned to [`ALIGNMENT`]; contents arbitrary.
    pub scratch: &'a mut [u8],
}

/// Arguments of the classifier: `logits = W x + b`, weights `[out][in]`.
#[derive(Debug)]
pub struct LogitsArgs<'a> {
    pub input: &'a [i8],
    pub weights: &'a [i8],
    pub channels: Channels<'a>,
    pub shift: u32,
    pub output: &'a mut [i32],
}

/// Arguments of the option-A shortcut: every `strides`-th pixel, with zero channels around.
#[derive(Debug)]
pub struct SubsampleArgs<'a> {
    pub strides: [usize; 2],
    /// Zero channels in front of the copied ones; what is left follows behind.
    pub channels_before: usize,
    pub from: &'a Activation,
    pub to: &'a Activation,
    pub input: &'a [i8],
    pub output: &'a mut [i8],
}

/// Arguments of one input of a concatenation: its channels become those of the output from `first` on, each
/// with a weight and constants of its own.
#[derive(Debug)]
pub struct ConcatArgs<'a> {
    /// As many channels as there are weights.
    pub input: &'a [i8],
    /// The output's channel that the first one becomes.
    pub first: usize,
    /// Channels of the output.
    pub total: usize,
    pub weights: &'a [i8],
    pub channels: Channels<'a>,
    pub requantization: &'a Requantization,
    /// The whole output; other channels stay as they are.
    pub output: &'a mut [i8],
}

/// Memory that a session needs: the arena is `activations + scratch` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// Bytes of activations, from the file and the same on every target.
    pub activations: usize,
    /// Bytes of scratch of the kernel set.
    pub scratch: usize,
}

impl Required {
    /// Alignment of the arena's first byte.
    pub const ALIGNMENT: usize = ALIGNMENT;

    /// Bytes of the whole arena.
    #[must_use]
    pub const fn arena(&self) -> usize {
        // Without scratch the last tensor may end anywhere.
        if self.scratch == 0 {
            return self.activations;
        }
        align_up(self.activations).saturating_add(self.scratch)
    }
}
