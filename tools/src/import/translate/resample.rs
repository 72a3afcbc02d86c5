//! Padding, strided slices and channel padding: the parts of option-A shortcuts and of explicit
//! padding before a convolution.

use super::{Activation, Held, Importer, NodeResult, Outcome};
use crate::graph::Op;
use crate::import::arrange::{SliceRange, normalized_slice};
use crate::import::error::NodeProblem;
use crate::import::node::{OnnxNode, resolve_axis};
use crate::import::view::{Axis, View};

/// Strides and paddings beyond this are no network's.
const MAX_STEP: i64 = 1 << 16;

impl<'a> Importer<'a> {
    /// Input `index` as an image, in either layout.
    fn image(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<(Activation, [Axis; 3])> {
        let activation = self.activation(node, index)?;
        let shape = activation.view.shape();
        let is_image = self.graph.shape(activation.value).len() == 3;
        match activation.view.image_order().filter(|_| is_image) {
            Some(order) => Ok((activation, order)),
            None => Err(NodeProblem::Layout { shape }),
        }
    }

    pub(in crate::import) fn pad(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (activation, order) = self.image(node, 0)?;
        self.check_zero_padding(node)?;
        let [rows, columns, channels] = self.padding(node, order)?;
        let [c, h, w] = activation.view.sizes;
        if [rows, columns, channels] == [[0; 2]; 3] {
            self.alias(node, activation)?;
            return Ok(Outcome::Identity);
        }
        if [rows, columns] == [[0; 2]; 2] {
            return self.emit_subsample(node, 0, &activation, order, [1, 1], channels);
        }
        if channels != [0; 2] {
            return Err(NodeProblem::unsupported("padding of channels and pixels in one Pad"));
        }
        let sizes = [c, h + rows[0] + rows[1], w + columns[0] + columns[1]];
        let pads = [rows[0], columns[0], rows[1], columns[1]];
        let view = View::image(sizes, order);
        self.emit(node, Op::Pad { pads }, vec![activation.value], view, sizes.to_vec())
    }

    fn check_zero_padding(&mut self, node: &OnnxNode<'a>) -> NodeResult<()> {
        let mode = node.string("mode", "constant");
        if mode != "constant" {
            return Err(NodeProblem::unsupported(format!("padding of mode {mode:?}")));
        }
        let value = match self.optional_constant(node, 2)? {
            Some(tensor) => tensor.to_floats().first().copied().unwrap_or(0.0),
            None => node.float("value", 0.0),
        };
        if value != 0.0 {
            return Err(NodeProblem::unsupported(format!("padding with {value} instead of 0")));
        }
        Ok(())
    }

    /// Padding before and after, of rows, columns and channels.
    fn padding(&mut self, node: &OnnxNode<'a>, order: [Axis; 3]) -> NodeResult<[[usize; 2]; 3]> {
        let pads = self.int_list(node, 1, "pads")?.ok_or(NodeProblem::MissingInput { index: 1 })?;
        let axes = self.int_list(node, 3, "")?.unwrap_or_else(|| (0..4).collect());
        if pads.len() != 2 * axes.len() {
            let (expected, found) = (2 * axes.len(), pads.len());
            return Err(NodeProblem::Mismatch { what: "number of pads", expected, found });
        }
        let mut padding = [[0; 2]; 3];
        for (i, &axis) in axes.iter().enumerate() {
            let ends = [pads[i], pads[i + axes.len()]];
            if ends.iter().any(|end| !(0..=MAX_STEP).contains(end)) {
                return Err(NodeProblem::unsupported(format!("padding by {ends:?}")));
            }
            let ends = ends.map(|end| end as usize);
            match (resolve_axis(axis, 4)?, ends) {
                (0, [0, 0]) => {}
                (0, _) => return Err(NodeProblem::unsupported("padding of the batch")),
                (dim, ends) => padding[padding_index(order[dim - 1])] = ends,
            }
        }
        Ok(padding)
    }

    pub(in crate::import) fn slice(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let (activation, order) = self.image(node, 0)?;
        let starts = self.int_list(node, 1, "starts")?;
        let ends = self.int_list(node, 2, "ends")?;
        let axes = self.int_list(node, 3, "axes")?;
        let steps = self.int_list(node, 4, "")?;
        let shape = activation.view.shape();
        let ranges = normalized_slice(&shape, starts, ends, axes, steps)?;
        let mut strides = [1, 1];
        for (dim, range) in ranges.iter().enumerate() {
            let axis = dim.checked_sub(1).map(|i| order[i]);
            let stride = whole_range(range, shape[dim], axis)?;
            match axis {
                Some(Axis::H) => strides[0] = stride,
                Some(Axis::W) => strides[1] = stride,
                _ => {}
            }
        }
        if strides == [1, 1] {
            self.alias(node, activation)?;
            return Ok(Outcome::Identity);
        }
        self.emit_subsample(node, 0, &activation, order, strides, [0, 0])
    }

    /// A concatenation of the network's data and zero channels before and after it.
    /// Or channels of several values of the network.
    pub(in crate::import) fn concat(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        if self.joins_values(node)? {
            return self.join_channels(node);
        }
        let mut data = None;
        let mut zeros = [0, 0];
        for index in 0..node.proto.input.len() {
            match self.zero_channels(node, index)? {
                Some(channels) => zeros[usize::from(data.is_some())] += channels,
                None if data.is_none() => data = Some(index),
                None => return Err(NodeProblem::unsupported("Concat of two feature maps")),
            }
        }
        let data = data.ok_or(NodeProblem::MissingInput { index: 0 })?;
        let (activation, order) = self.image(node, data)?;
        let axis = resolve_axis(node.int("axis", 1), 4)?;
        if axis == 0 || order[axis - 1] != Axis::C {
            return Err(NodeProblem::unsupported("Concat along another axis than the channels"));
        }
        if zeros == [0, 0] {
            self.alias(node, activation)?;
            return Ok(Outcome::Identity);
        }
        self.emit_subsample(node, data, &activation, order, [1, 1], zeros)
    }

    /// Channels of a Concat's input that is all zeros: a constant, or a feature map times zero.
    pub(super) fn zero_channels(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
    ) -> NodeResult<Option<usize>> {
        match self.held(node, index)? {
            Held::Constant(tensor) => {
                let axis = resolve_axis(node.int("axis", 1), 4)?;
                if tensor.shape.len() != 4 || tensor.to_floats().iter().any(|&v| v != 0.0) {
                    return Err(NodeProblem::unsupported(
                        "Concat with a constant that is not zero",
                    ));
                }
                Ok(Some(tensor.shape[axis]))
            }
            Held::Activation(activation) => {
                let producer = self.graph.producer(activation.value);
                let op = producer.map(|producer| &self.graph.nodes[producer].op);
                let all_zero = |values: &[f32]| values.iter().all(|&v| v == 0.0);
                let is_zero = matches!(op, Some(Op::Affine { scale, shift })
                    if all_zero(scale) && all_zero(shift));
                Ok(is_zero.then_some(activation.view.size(Axis::C)))
            }
            Held::Norm(_) => Err(NodeProblem::AfterEnd),
            Held::Unknown => Err(NodeProblem::UnknownTensor {
                tensor: node.input(index).unwrap_or_default().to_string(),
            }),
        }
    }

    /// Adds an option-A step, or joins it to one of which this node is the only reader.
    fn emit_subsample(
        &mut self,
        node: &OnnxNode<'a>,
        data: usize,
        activation: &Activation,
        order: [Axis; 3],
        strides: [usize; 2],
        [before, after]: [usize; 2],
    ) -> NodeResult<Outcome> {
        let [c, h, w] = activation.view.sizes;
        let sizes = [c + before + after, h.div_ceil(strides[0]), w.div_ceil(strides[1])];
        let view = View::image(sizes, order);
        if let Some(joined) = self.joinable(node, data, activation)
            && let Op::Subsample { strides: first, channels_before, channels_after } =
                self.graph.nodes[joined].op
        {
            let op = Op::Subsample {
                strides: [first[0] * strides[0], first[1] * strides[1]],
                channels_before: channels_before + before,
                channels_after: channels_after + after,
            };
            return self.join(node, joined, op, view, sizes.to_vec());
        }
        let op = Op::Subsample { strides, channels_before: before, channels_after: after };
        self.emit(node, op, vec![activation.value], view, sizes.to_vec())
    }
}

/// Index of an axis in the padding of rows, columns and channels.
fn padding_index(axis: Axis) -> usize {
    match axis {
        Axis::H => 0,
        Axis::W => 1,
        Axis::C => 2,
    }
}

/// The stride of a range that keeps every `stride`-th of all rows or columns, or everything.
fn whole_range(range: &SliceRange, size: usize, axis: Option<Axis>) -> NodeResult<usize> {
    let strided = matches!(axis, Some(Axis::H | Axis::W));
    let stride = range.step;
    let whole = range.start == 0
        && (1..=MAX_STEP).contains(&stride)
        && range.len == size.div_ceil(stride as usize)
        && (stride == 1 || strided);
    if whole {
        return Ok(stride as usize);
    }
    Err(NodeProblem::unsupported(
        "a crop, or a Slice other than every n-th row and column of an image,",
    ))
}
