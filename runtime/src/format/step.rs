//! What a step of the plan is, typed and borrowed from the file, and its geometry.

use core::ops::Range;

use super::{Activation, StepRecord, Weights};
use crate::kernels::{ConvShape, PoolShape};
use crate::numerics::{Addition, Channel, Multiplication, Requantization, TABLE_ENTRIES};

/// A named result of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer<'m> {
    pub name: &'m str,
    /// Height, width, channels of its output.
    pub shape: [usize; 3],
    /// Multiply-accumulates, counted from the step.
    pub macs: u64,
}

/// What a step computes, with its constants borrowed from the file.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Operator<'m> {
    Conv {
        shape: ConvShape,
        weights: Weights<'m>,
        channels: Channels<'m>,
        requantization: Requantization,
    },
    MaxPool {
        shape: PoolShape,
        clamp: (i8, i8),
    },
    AveragePool {
        shape: PoolShape,
        channel: Channel,
        requantization: Requantization,
    },
    /// With one pair of constants for each number of taps inside the map, from one tap on.
    AveragePoolExcludingPadding {
        shape: PoolShape,
        channels: Channels<'m>,
        requantization: Requantization,
    },
    Add(Addition),
    Subsample {
        strides: [usize; 2],
        channels_before: usize,
    },
    Logits {
        weights: &'m [i8],
        channels: Channels<'m>,
        shift: u32,
    },
    /// An activation function by table.
    Lookup {
        /// One for all channels, or one for each.
        tables: &'m [[i8; TABLE_ENTRIES]],
        clamp: (i8, i8),
    },
    Multiply(Multiplication),
    /// Channels of several maps one behind the other, each channel with a weight and constants of its own: a
    /// pointwise depthwise convolution of the inputs side by side.
    Concat {
        weights: &'m [i8],
        channels: Channels<'m>,
        requantization: Requantization,
    },
}

/// Per-channel constants as two parallel arrays of one length.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'m> {
    pub bias: &'m [i32],
    pub multipliers: &'m [i32],
}

impl<'m> Channels<'m> {
    /// The constants of some channels; none if there are not all of them.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Option<Self> {
        let (bias, multipliers) = (self.bias.get(range.clone())?, self.multipliers.get(range)?);
        Some(Self { bias, multipliers })
    }

    /// The constants channel by channel.
    pub fn iter(self) -> impl Iterator<Item = Channel> + 'm {
        let pairs = self.bias.iter().zip(self.multipliers);
        pairs.map(|(&bias, &multiplier)| Channel { bias, multiplier })
    }
}

/// One step of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Step<'m> {
    pub index: usize,
    /// The layer that it computes.
    pub layer: Layer<'m>,
    pub input: Activation,
    /// Residual of a convolution, second operand of an addition.
    pub operand: Option<Activation>,
    /// Tensors that a concatenation reads behind `input`, in order.
    pub others: &'m [u16],
    pub output: Activation,
    /// The output replaces `operand`, or `input` where a step takes one tensor.
    pub in_place: bool,
    pub operator: Operator<'m>,
}

/// The geometry of a convolution between two tensors, of which the first holds values of `range`.
pub(super) fn conv_shape(
    record: &StepRecord,
    (input, range): (&Activation, (i8, i8)),
    output: &Activation,
) -> ConvShape {
    ConvShape {
        input: input.shape(),
        output: output.shape(),
        kernel: record.kernel.map(usize::from),
        strides: record.strides.map(usize::from),
        pads: record.pads.map(usize::from),
        dilations: record.dilations.map(usize::from),
        groups: record.groups as usize,
        input_zero_point: input.zero_point,
        input_range: range,
    }
}

/// The geometry of a pool between two tensors.
pub(super) fn pool_shape(
    record: &StepRecord,
    input: &Activation,
    output: &Activation,
) -> PoolShape {
    PoolShape {
        input: input.shape(),
        output: output.shape(),
        kernel: record.kernel.map(usize::from),
        strides: record.strides.map(usize::from),
        pads: record.pads.map(usize::from),
        input_zero_point: input.zero_point,
    }
}
