//! One node of the file: typed access to its attributes and inputs.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::error::NodeProblem;

/// Upper bound of sizes, strides and paddings; keeps all shape arithmetic far from overflow.
const MAX_WINDOW: i64 = 1 << 16;

#[derive(Clone, Copy)]
pub(super) struct OnnxNode<'a> {
    pub proto: &'a NodeProto,
    /// Version of the default operator set.
    pub opset: i64,
}

impl<'a> OnnxNode<'a> {
    pub fn op(&self) -> &'a str {
        &self.proto.op_type
    }

    /// The node's name, or its first output's where the file gives none.
    pub fn name(&self) -> &'a str {
        if self.proto.name.is_empty() { self.output().unwrap_or("") } else { &self.proto.name }
    }

    /// The first output, without which a node means nothing.
    pub fn output(&self) -> Result<&'a str, NodeProblem> {
        let first = self.proto.output.first().map(String::as_str);
        first.filter(|name| !name.is_empty()).ok_or(NodeProblem::MissingOutput)
    }

    /// Name of input `index`; `None` where it is absent or left empty.
    pub fn optional_input(&self, index: usize) -> Option<&'a str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub fn input(&self, index: usize) -> Result<&'a str, NodeProblem> {
        self.optional_input(index).ok_or(NodeProblem::MissingInput { index })
    }

    pub fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    pub fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    /// Whether this node, a Softmax or LogSoftmax of a tensor of `shape`, normalizes all its elements
    /// together.
    pub fn softmax_is_over(&self, shape: &[usize]) -> Result<bool, NodeProblem> {
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = resolve_axis(self.int("axis", default), shape.len())?;
        // Before operator set 13 the tensor counts as a matrix that is cut in two at the axis.
        let normalized = if self.opset < 13 { &shape[axis..] } else { &shape[axis..=axis] };
        Ok(normalized.iter().product::<usize>() == shape.iter().product::<usize>())
    }

    /// A string attribute; bytes that are not UTF-8 read as an unknown word.
    pub fn string(&self, name: &str, default: &'a str) -> &'a str {
        self.attribute(name).map_or(default, |a| std::str::from_utf8(&a.s).unwrap_or("?"))
    }

    /// Two sizes (height and width), each at least `min`.
    pub fn pair(&self, name: &'static str, min: i64) -> Result<Option<[usize; 2]>, NodeProblem> {
        self.sizes(name, min)
    }

    /// The `pads` attribute: top, left, bottom, right.
    pub fn pads(&self) -> Result<Option<[usize; 4]>, NodeProblem> {
        self.sizes("pads", 0)
    }

    fn sizes<const N: usize>(
        &self,
        name: &'static str,
        min: i64,
    ) -> Result<Option<[usize; N]>, NodeProblem> {
        let Some(values) = self.ints(name) else {
            return Ok(None);
        };
        let bad = |reason: String| NodeProblem::Attribute { name, reason };
        let values: [i64; N] = values.try_into().map_err(|_| {
            bad(format!("must have {N} values for two spatial axes, has {}", values.len()))
        })?;
        if let Some(value) = values.iter().find(|v| !(min..=MAX_WINDOW).contains(v)) {
            return Err(bad(format!("{value} is not within {min}..={MAX_WINDOW}")));
        }
        Ok(Some(values.map(|v| v as usize)))
    }
}

/// `axis`, which may count from the end, as an index below `rank`.
pub(super) fn resolve_axis(axis: i64, rank: usize) -> Result<usize, NodeProblem> {
    let resolved = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    resolved.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank).ok_or_else(|| {
        NodeProblem::Attribute {
            name: "axis",
            reason: format!("{axis} is outside a tensor of {rank} dimensions"),
        }
    })
}
