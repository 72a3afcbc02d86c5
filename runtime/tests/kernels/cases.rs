//! Inputs of the suites: shapes, values and constants.

use fixnet::numerics::{Channel, MAX_OPERAND_MULTIPLIER, Requantization};
use proptest::prelude::*;

use crate::support::Random;

/// Which second input a convolution has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shortcut {
    None,
    Separate,
    InPlace,
}

/// Values of inputs and weights.
#[derive(Debug, Clone, Copy)]
pub enum Fill {
    Random,
    Lowest,
    Highest,
    /// -128 and 127 in turns.
    Alternating,
}

impl Fill {
    pub fn values(self, len: usize, random: &mut Random) -> Vec<i8> {
        match self {
            Self::Random => random.int8(len),
            Self::Lowest => vec![-128; len],
            Self::Highest => vec![127; len],
            Self::Alternating => (0..len).map(|i| if i % 2 == 0 { -128 } else { 127 }).collect(),
        }
    }
}

/// Constants within the bounds that the quantizer proves, or any that the checker accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constants {
    Proved,
    Accepted,
}

/// One axis of a window: extent, taps, stride, padding before and after, dilation.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    pub extent: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pads: (usize, usize),
    pub dilation: usize,
}

impl Axis {
    pub fn span(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    pub fn out(&self) -> usize {
        (self.extent + self.pads.0 + self.pads.1 - self.span()) / self.stride + 1
    }
}

pub fn axis(max_dilation: usize) -> impl Strategy<Value = Axis> {
    let kernel = prop_oneof![4 => 1..=3usize, 1 => 4..=7usize];
    (1..=9usize, kernel, 1..=3usize, 0..=6usize, 0..=6usize, 1..=max_dilation).prop_filter_map(
        "no window fits",
        |(extent, kernel, stride, before, after, dilation)| {
            let mut axis = Axis { extent, kernel, stride, pads: (0, 0), dilation };
            let span = axis.span();
            axis.pads = (before.min(span - 1), after.min(span - 1));
            (axis.extent + axis.pads.0 + axis.pads.1 >= span).then_some(axis)
        },
    )
}

/// As [`axis`], with windows that may lie in the padding as a whole: what only a convolution has.
pub fn conv_axis() -> impl Strategy<Value = Axis> {
    (axis(3), 0..=9usize, 0..=9usize, 0..4usize).prop_map(|(axis, before, after, which)| {
        let pads = match which {
            0 => (axis.pads.0 + before, axis.pads.1 + after),
            1 => (axis.pads.0, axis.pads.1 + after),
            2 => (axis.pads.0 + before, axis.pads.1),
            _ => axis.pads,
        };
        Axis { pads, ..axis }
    })
}

pub fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        6 => Just(Fill::Random),
        1 => Just(Fill::Lowest),
        1 => Just(Fill::Highest),
        1 => Just(Fill::Alternating),
    ]
}

pub fn shortcut() -> impl Strategy<Value = Shortcut> {
    prop_oneof![Just(Shortcut::None), Just(Shortcut::Separate), Just(Shortcut::InPlace)]
}

#[derive(Debug, Clone)]
pub struct ConvCase {
    pub axes: [Axis; 2],
    pub groups: usize,
    pub group_in: usize,
    pub group_out: usize,
    pub shortcut: Shortcut,
    pub fills: (Fill, Fill),
    pub seed: u64,
}

pub fn conv_case() -> impl Strategy<Value = ConvCase> {
    let channels = prop_oneof![
        3 => (Just(1usize), 1..=35usize, 1..=21usize),
        // Whole blocks of output channels have kernels of their own.
        2 => (Just(1usize), 1..=35usize, (1..=3usize).prop_map(|blocks| blocks * 16)),
        1 => (2..=4usize, 1..=5usize, 1..=5usize),
        1 => (1..=12usize, Just(1usize), Just(1usize)),
    ];
    (conv_axis(), conv_axis(), channels, shortcut(), fill(), fill(), any::<u64>()).prop_map(
        |(y, x, (groups, group_in, group_out), shortcut, inputs, weights, seed)| ConvCase {
            axes: [y, x],
            groups,
            group_in,
            group_out,
            shortcut,
            fills: (inputs, weights),
            seed,
        },
    )
}

/// Groups of all kinds: channel for channel, as many channels in and out as in ResNeXt, and any.
pub fn grouped_case() -> impl Strategy<Value = ConvCase> {
    let channels = prop_oneof![
        3 => (1..=70usize, Just(1usize), Just(1usize)),
        2 => (2..=9usize, prop_oneof![Just(4usize), Just(8), Just(16), Just(32)])
            .prop_map(|(groups, channels)| (groups, channels, channels)),
        2 => (2..=20usize, 1..=9usize, 1..=9usize),
        1 => (2..=4usize, 1..=40usize, 1..=40usize),
    ];
    let windows = prop_oneof![
        3 => (conv_axis(), conv_axis()),
        // Every value by itself: nothing but a factor and a summand.
        1 => (1..=9usize, 1..=9usize).prop_map(|extents| {
            let axis = |extent| Axis { extent, kernel: 1, stride: 1, pads: (0, 0), dilation: 1 };
            (axis(extents.0), axis(extents.1))
        }),
        1 => (1..=40usize, 1..=3usize).prop_map(|(extent, stride)| {
            let axis = |extent| Axis { extent, kernel: 3, stride, pads: (1, 1), dilation: 1 };
            (axis(extent.min(7)), axis(extent))
        }),
    ];
    (windows, channels, shortcut(), fill(), fill(), any::<u64>()).prop_map(
        |((y, x), (groups, group_in, group_out), shortcut, inputs, weights, seed)| ConvCase {
            axes: [y, x],
            groups,
            group_in,
            group_out,
            shortcut,
            fills: (inputs, weights),
            seed,
        },
    )
}

/// 3x3 at stride 1 with channels in whole vectors, in rectangles with any padding, also more than the
/// window.
pub fn conv_3x3_case() -> impl Strategy<Value = ConvCase> {
    let axis = || {
        let pad = || prop_oneof![6 => 0..=2usize, 1 => 3..=9usize];
        (3..=14usize, (pad(), pad())).prop_map(|(extent, pads)| Axis {
            extent,
            kernel: 3,
            stride: 1,
            pads,
            dilation: 1,
        })
    };
    let channels = (1..=9usize, 1..=3usize).prop_map(|(a, b)| (a * 16, b * 16));
    (axis(), axis(), channels, shortcut(), fill(), fill(), any::<u64>()).prop_map(
        |(y, x, (group_in, group_out), shortcut, inputs, weights, seed)| ConvCase {
            axes: [y, x],
            groups: 1,
            group_in,
            group_out,
            shortcut,
            fills: (inputs, weights),
            seed,
        },
    )
}

/// What layouts of strided windows serve: 3x3 at stride 2 with channels in whole vectors.
pub fn strided_case() -> impl Strategy<Value = ConvCase> {
    (conv_3x3_case(), 1..=3usize).prop_map(|(mut case, channels)| {
        case.axes.iter_mut().for_each(|axis| axis.stride = 2);
        case.group_in = channels * 16;
        case
    })
}

/// A square convolution with fixed data, for the corners that chance would miss.
pub fn square(
    extent: usize,
    kernel: usize,
    in_c: usize,
    out_c: usize,
    fills: (Fill, Fill),
) -> ConvCase {
    let pad = kernel / 2;
    let axis = Axis { extent, kernel, stride: 1, pads: (pad, pad), dilation: 1 };
    let (axes, shortcut) = ([axis; 2], Shortcut::InPlace);
    ConvCase { axes, groups: 1, group_in: in_c, group_out: out_c, shortcut, fills, seed: 1 }
}

pub fn requantization(
    shift: u32,
    with_residual: bool,
    constants: Constants,
    random: &mut Random,
) -> Requantization {
    let fraction_bits = 1 + random.below(16) as u32;
    let (a, b) = (random.i8(), random.i8());
    let most = if constants == Constants::Proved { 1 << 21 } else { MAX_OPERAND_MULTIPLIER + 1 };
    let residual_multiplier =
        if with_residual { random.below(most as u64) as i32 >> random.below(8) } else { 0 };
    let zero_points = (i32::from(random.i8()), i32::from(random.i8()));
    let offset = match constants {
        Constants::Proved => {
            (zero_points.0 << fraction_bits) + (1 << (fraction_bits - 1))
                - zero_points.1 * residual_multiplier
        }
        Constants::Accepted => random.i32(),
    };
    let clamp = if random.below(2) == 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
    Requantization { shift, fraction_bits, offset, residual_multiplier, clamp }
}

/// `floor(((sum + bias) * factor + residual * residual_multiplier + offset) / 2^fraction_bits)` as
/// one exact rational, clamped.
pub fn exact(sum: i64, residual: i8, channel: Channel, rq: &Requantization) -> i8 {
    let scaled =
        ((i128::from(sum) + i128::from(channel.bias)) * i128::from(channel.multiplier)) << rq.shift;
    let shortcut = i128::from(residual) * i128::from(rq.residual_multiplier);
    let fixed = scaled + ((shortcut + i128::from(rq.offset)) << 32);
    clamped(fixed >> (32 + rq.fraction_bits), rq.clamp)
}

pub fn clamped(value: i128, (low, high): (i8, i8)) -> i8 {
    value.clamp(low.into(), high.into()) as i8
}
