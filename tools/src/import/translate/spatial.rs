//! Convolutions and pools.

use super::{Importer, NodeResult, Outcome};
use crate::graph::{Conv, Op, ValueId, Window};
use crate::import::error::NodeProblem;
use crate::import::node::{OnnxNode, resolve_axis};
use crate::import::view::{Axis, View};

/// Height and width of a window and how it moves.
struct Sweep {
    /// Rows and columns that the window spans, dilation included.
    extent: [usize; 2],
    strides: [usize; 2],
    pads: [usize; 4],
}

impl Sweep {
    fn read(node: &OnnxNode<'_>, extent: [usize; 2], input: [usize; 2]) -> NodeResult<Self> {
        let strides = node.pair("strides", 1)?.unwrap_or([1, 1]);
        let pads = match node.string("auto_pad", "NOTSET") {
            "NOTSET" | "" => node.pads()?.unwrap_or([0; 4]),
            "VALID" => [0; 4],
            "SAME_UPPER" => same_pads(extent, strides, input, false),
            "SAME_LOWER" => same_pads(extent, strides, input, true),
            other => {
                let reason = format!("{other:?} is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER");
                return Err(NodeProblem::Attribute { name: "auto_pad", reason });
            }
        };
        Ok(Self { extent, strides, pads })
    }

    /// Rows and columns of the output.
    fn output(&self, input: [usize; 2]) -> NodeResult<[usize; 2]> {
        let along = |axis: usize| {
            let padded = input[axis] + self.pads[axis] + self.pads[axis + 2];
            Some(padded.checked_sub(self.extent[axis])? / self.strides[axis] + 1)
        };
        match (along(0), along(1)) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(NodeProblem::EmptyOutput { kernel: self.extent, input }),
        }
    }

    /// Turns `ceil_mode` into padding at the bottom and right. The last window must still start
    /// inside the input or its leading padding.
    fn round_up(&mut self, input: [usize; 2]) {
        for (axis, &size) in input.iter().enumerate() {
            let leading = size + self.pads[axis];
            let padded = leading + self.pads[axis + 2];
            let Some(span) = padded.checked_sub(self.extent[axis]) else {
                continue;
            };
            let mut last = span.div_ceil(self.strides[axis]) * self.strides[axis];
            if last >= leading {
                last -= self.strides[axis];
            }
            self.pads[axis + 2] += (last + self.extent[axis]).saturating_sub(padded);
        }
    }
}

/// Padding such that the output has `ceil(input / stride)` rows and columns.
fn same_pads(
    extent: [usize; 2],
    strides: [usize; 2],
    input: [usize; 2],
    more_first: bool,
) -> [usize; 4] {
    let mut pads = [0; 4];
    for axis in 0..2 {
        let outputs = input[axis].div_ceil(strides[axis]);
        let covered = (outputs - 1) * strides[axis] + extent[axis];
        let total = covered.saturating_sub(input[axis]);
        let (small, large) = (total / 2, total - total / 2);
        (pads[axis], pads[axis + 2]) = if more_first { (large, small) } else { (small, large) };
    }
    pads
}

impl<'a> Importer<'a> {
    /// Input `index` as an image in C, H, W order.
    pub(super) fn feature_map(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
    ) -> NodeResult<(ValueId, [usize; 3])> {
        let activation = self.activation(node, index)?;
        let shape = activation.view.shape();
        if shape.len() != 4 {
            let expected = "4 ([1, C, H, W])";
            return Err(NodeProblem::Rank { what: "the input", expected, found: shape });
        }
        if !activation.view.is_nchw() {
            return Err(NodeProblem::Layout { shape });
        }
        if self.graph.shape(activation.value).len() != 3 {
            return Err(NodeProblem::unsupported("a vector reshaped to an image"));
        }
        Ok((activation.value, activation.view.sizes))
    }

    pub(in crate::import) fn conv(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (input, [channels, height, width]) = self.feature_map(node, 0)?;
        let shape = self.constant(node, 1)?.shape.clone();
        let [out_channels, group_channels, rows, columns] = conv_weight_shape(node, &shape)?;
        let groups = conv_groups(node, out_channels, group_channels, channels)?;
        let kernel = [rows, columns];
        let dilations = node.pair("dilations", 1)?.unwrap_or([1, 1]);
        let extent = [0, 1].map(|axis| (kernel[axis] - 1) * dilations[axis] + 1);
        let sweep = Sweep::read(node, extent, [height, width])?;
        let [out_height, out_width] = sweep.output([height, width])?;
        let bias = node.optional_input(2);
        let bias = bias.map(|_| self.channel_weights(node, 2, out_channels, "length of the bias"));
        let conv = Conv {
            weight: self.weights(node, 1)?,
            bias: bias.transpose()?,
            out_channels,
            group_channels,
            kernel,
            strides: sweep.strides,
            pads: sweep.pads,
            dilations,
            groups,
        };
        self.emit_image(node, Op::Conv(conv), input, [out_channels, out_height, out_width])
    }

    pub(in crate::import) fn pool(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (input, [channels, height, width]) = self.feature_map(node, 0)?;
        let missing =
            || NodeProblem::Attribute { name: "kernel_shape", reason: "is missing".into() };
        let kernel = node.pair("kernel_shape", 1)?.ok_or_else(missing)?;
        if node.pair("dilations", 1)?.is_some_and(|d| d != [1, 1]) {
            return Err(NodeProblem::unsupported("a dilated pool"));
        }
        let mut sweep = Sweep::read(node, kernel, [height, width])?;
        let explicit_pads = sweep.pads;
        if node.int("ceil_mode", 0) != 0 {
            sweep.round_up([height, width]);
        }
        if (0..4).any(|side| sweep.pads[side] >= kernel[side % 2]) {
            return Err(NodeProblem::unsupported("a pool padded by its whole window"));
        }
        let [out_height, out_width] = sweep.output([height, width])?;
        let window = Window { kernel, strides: sweep.strides, pads: sweep.pads };
        let op = if node.op() == "MaxPool" {
            Op::MaxPool(window)
        } else {
            let count_include_pad = node.int("count_include_pad", 0) != 0;
            if count_include_pad && window.pads != explicit_pads {
                return Err(NodeProblem::unsupported("ceil_mode together with count_include_pad"));
            }
            Op::AveragePool { window, count_include_pad }
        };
        self.emit_image(node, op, input, [channels, out_height, out_width])
    }

    pub(in crate::import) fn global_average_pool(
        &mut self,
        node: &OnnxNode<'a>,
    ) -> NodeResult<Outcome> {
        let (input, [channels, ..]) = self.feature_map(node, 0)?;
        self.emit_image(node, Op::GlobalAveragePool, input, [channels, 1, 1])
    }

    /// A mean over exactly the rows and columns, in any layout.
    pub(in crate::import) fn reduce_mean(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.activation(node, 0)?;
        let view = &activation.view;
        let axes = self.int_list(node, 1, "axes")?.unwrap_or_default();
        let axes: NodeResult<Vec<usize>> =
            axes.iter().map(|&axis| resolve_axis(axis, view.rank())).collect();
        let axes = axes?;
        let averaged = |axis: Axis| {
            view.size(axis) == 1 || axes.iter().any(|&dim| view.axes(dim).contains(&axis))
        };
        let channels_stay = !axes.iter().any(|&dim| view.axes(dim).contains(&Axis::C));
        let is_image = self.graph.shape(activation.value).len() == 3;
        if !(channels_stay && averaged(Axis::H) && averaged(Axis::W) && is_image) {
            return Err(NodeProblem::unsupported("ReduceMean over other axes than H and W"));
        }
        let channels = view.size(Axis::C);
        let keep = node.int("keepdims", 1) != 0;
        let mut shape = view.shape();
        axes.iter().for_each(|&dim| shape[dim] = 1);
        if !keep {
            let kept = shape.iter().enumerate().filter(|(dim, _)| !axes.contains(dim));
            shape = kept.map(|(_, &size)| size).collect();
        }
        let pooled = View::vector(channels, 1).reshaped(&shape);
        let pooled = pooled.ok_or_else(|| NodeProblem::Layout { shape: view.shape() })?;
        let op = Op::GlobalAveragePool;
        self.emit(node, op, vec![activation.value], pooled, vec![channels, 1, 1])
    }
}

fn conv_weight_shape(node: &OnnxNode<'_>, shape: &[usize]) -> NodeResult<[usize; 4]> {
    let rank = || NodeProblem::Rank { what: "the weights", expected: "4", found: shape.to_vec() };
    let shape: [usize; 4] = shape.try_into().map_err(|_| rank())?;
    if shape.contains(&0) {
        return Err(NodeProblem::Constant("empty weights"));
    }
    let [_, _, rows, columns] = shape;
    match node.pair("kernel_shape", 1)? {
        Some(kernel) if kernel != [rows, columns] => {
            Err(NodeProblem::Shapes { left: kernel.to_vec(), right: vec![rows, columns] })
        }
        _ => Ok(shape),
    }
}

fn conv_groups(
    node: &OnnxNode<'_>,
    out_channels: usize,
    group_channels: usize,
    channels: usize,
) -> NodeResult<usize> {
    let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
    if groups == 0 || !out_channels.is_multiple_of(groups) {
        let reason = format!("{groups} groups do not divide {out_channels} output channels");
        return Err(NodeProblem::Attribute { name: "group", reason });
    }
    let expected = group_channels.saturating_mul(groups);
    if expected != channels {
        let what = "input channels";
        return Err(NodeProblem::Mismatch { what, expected, found: channels });
    }
    Ok(groups)
}
