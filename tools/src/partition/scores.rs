//! What of a network's end are its scores: one for each class, before a final Softmax.
//!
//! What may not be broken: only a Softmax over all scores is taken off, since it leaves their order as
//! it is; and what gives no score for each class is refused by name.

use tract_onnx::pb::{ModelProto, NodeProto};

use super::PartitionError;
use crate::import::operators::{self, End};
use crate::import::softmax_is_over;

/// The tensor of the scores.
pub(super) struct Scores<'p> {
    pub tensor: String,
    /// The Softmax that is taken off, with the version of its operator set.
    softmax: Option<(&'p NodeProto, i64)>,
}

impl<'p> Scores<'p> {
    /// The output, or what a Softmax makes it from behind which nothing computes.
    pub fn find(proto: &'p ModelProto) -> Result<Self, PartitionError> {
        let Some(graph) = &proto.graph else {
            return Ok(Self { tensor: String::new(), softmax: None });
        };
        let output = graph.output.first().map_or("", |output| output.name.as_str());
        let writer = |name: &str| graph.node.iter().find(|n| n.output.iter().any(|o| o == name));
        let opset = proto.opset_import.iter().find(|set| operators::is_default_domain(&set.domain));
        let opset = opset.map_or(1, |set| set.version);
        let mut scores = Self { tensor: output.to_string(), softmax: None };
        let mut last = writer(output);
        while let Some(node) = last {
            let end = operators::of(node).map_or(End::Scores, |operator| operator.end);
            if end == End::NoScores {
                let (node, op) = (named(node), node.op_type.escape_debug().to_string());
                return Err(PartitionError::NotScores { node, op });
            }
            let softmax = end == End::Softmax;
            let passes = softmax || end == End::PassesOn;
            let input = node.input.first().filter(|_| passes);
            if let (true, None, Some(input)) = (softmax, scores.softmax, input) {
                scores = Self { tensor: input.clone(), softmax: Some((node, opset)) };
            }
            last = input.and_then(|input| writer(input));
        }
        Ok(scores)
    }

    /// The scores, of `shape`, are one vector: at most one dimension is not 1, and what was taken off
    /// is over that one.
    pub fn check(&self, shape: Option<&[usize]>) -> Result<(), PartitionError> {
        let shape = shape.ok_or(PartitionError::NoFlow)?;
        if shape.iter().filter(|&&size| size != 1).count() > 1 {
            let output = self.tensor.clone();
            return Err(PartitionError::NotVector { output, shape: shape.to_vec() });
        }
        let Some((node, opset)) = self.softmax else { return Ok(()) };
        if softmax_is_over(node, opset, shape).is_ok_and(|all| all) {
            return Ok(());
        }
        let (node, op) = (named(node), node.op_type.clone());
        Err(PartitionError::NotOverScores { node, op, shape: shape.to_vec() })
    }
}

/// The node's name, or its output's where it has none.
pub(super) fn named(node: &NodeProto) -> String {
    let output = || node.output.first().cloned().unwrap_or_default();
    if node.name.is_empty() { output() } else { node.name.clone() }
}
