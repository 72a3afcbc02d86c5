//! Operators that move or rename dimensions, and operators that do nothing in inference.

use fixnet::format::OutputKind;

use super::{Activation, Importer, NodeResult, Outcome};
use crate::import::arrange;
use crate::import::error::NodeProblem;
use crate::import::node::OnnxNode;

impl<'a> Importer<'a> {
    pub(in crate::import) fn layout(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.any_activation(node, 0)?;
        let shape = activation.view.shape();
        let target = match node.op() {
            "Reshape" | "Squeeze" | "Unsqueeze" => self.int_list(node, 1, "")?,
            _ => None,
        };
        let view = match node.op() {
            "Transpose" => activation.view.transposed(&arrange::permutation(node, shape.len())?),
            "Squeeze" => {
                let axes = arrange::squeezed_axes(node, &shape, target.as_deref())?;
                activation.view.squeezed(&axes)
            }
            _ => {
                let new_shape = arrange::new_shape(node, &shape, target.as_deref())?;
                activation.view.reshaped(&new_shape)
            }
        };
        let view = view.ok_or_else(|| NodeProblem::Reshape {
            from: shape,
            to: target.or(node.ints("perm").map(<[i64]>::to_vec)).unwrap_or_default(),
        })?;
        let shaped_by = Some((node.name().to_string(), node.output()?.to_string()));
        self.alias(node, Activation { view, shaped_by, ..activation })?;
        Ok(Outcome::Layout)
    }

    pub(in crate::import) fn identity(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.any_activation(node, 0)?;
        if node.op() == "Dropout" {
            let training = self.optional_constant(node, 2)?;
            if training.is_some_and(|t| t.as_ints().is_some_and(|v| v.iter().any(|&v| v != 0))) {
                return Err(NodeProblem::TrainingMode);
            }
        }
        // Positions are integers.
        let integers = activation.end.as_ref().is_some_and(|end| end.kind == OutputKind::Index);
        if node.op() == "Cast" && !integers && !casts_to_float(node) {
            return Err(NodeProblem::unsupported("a Cast of a feature map to integers"));
        }
        self.alias(node, activation)?;
        Ok(Outcome::Identity)
    }
}

fn casts_to_float(node: &OnnxNode<'_>) -> bool {
    use tract_onnx::pb::tensor_proto::DataType::{Bfloat16, Double, Float, Float16};
    [Float, Float16, Bfloat16, Double].iter().any(|&t| node.int("to", 0) == i64::from(t as i32))
}
