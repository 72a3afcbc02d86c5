//! Operators, spelled in the way that tract computes rightly.
//!
//! | what the file says | what it becomes |
//! |---|---|
//! | `Pad` with negative pads: crops (ONNX, Pad) | `Slice`, then `Pad` with what is left |
//! | `Add` and the like with `axis` before operator set 7: the second operand's dimensions begin there | `Unsqueeze` of that operand |
//! | `auto_pad` of `VALID`, also beside `ceil_mode` | explicit pads of 0: ONNX's shape formula for `VALID` has the ceiling of its own, and ONNX Runtime lets `ceil_mode` add the window that reaches over the edge, as with explicit pads |
//! | `auto_pad` of `SAME_*` beside `ceil_mode` or `pads` | without these, which change nothing |
//! | `BatchNormalization` with `spatial = 0` and one parameter a channel | without the attribute |
//! | `Sub` of what depends on the input: tract, which joins it to a convolution before it, may subtract the other way round | `Neg` of it, then `Add` |
//! | `Celu`: tract does not multiply by alpha below 0 | `Elu` of what was divided by alpha, then multiplied by it |
//! | `ConstantOfShape` without a value (ONNX: 0 of f32; tract: of f64) | with that value |
//! | outputs and inputs at the end of a list that nothing reads or gives | left out |
//!
//! `BatchNormalization` that normalises by the batch is refused: by `training_mode`, by `is_test` before
//! operator set 7, and before operator set 14 by its five outputs (ONNX, BatchNormalization 9: "Output
//! case #1", training mode). A `Squeeze` that does not say what it takes away is refused: tract does not
//! know it.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::super::budget::Budget;
use super::super::constants;
use super::super::error::NodeProblem;
use super::super::node::{OnnxNode, resolve_axis};
use super::super::operators;
use super::super::tensor::Tensor;
use super::rank::{self, Ranks};

pub(in crate::import) type Spelled = Result<Vec<NodeProto>, NodeProblem>;

/// Constants that may go into one list of integers, and operators on the way to it.
const MAX_LIST_WORK: usize = 1 << 16;
const MAX_LIST_DEPTH: usize = 64;

/// Spells all nodes of `graph`, which are in order; `origins` goes along.
pub(super) fn spell(
    graph: &mut GraphProto,
    opset: i64,
    origins: &mut Vec<usize>,
    refused: &mut HashMap<usize, NodeProblem>,
) {
    let nodes = std::mem::take(&mut graph.node);
    let mut speller = Speller::new(graph, &nodes, opset);
    let mut spelled_origins = Vec::with_capacity(nodes.len());
    for (node, &origin) in nodes.iter().zip(&*origins) {
        let spelled = speller.spell(node).unwrap_or_else(|problem| {
            refused.entry(origin).or_insert(problem);
            vec![node.clone()]
        });
        for node in spelled {
            rank::note(&mut speller.ranks, &node, opset);
            speller.note_moving(&node);
            spelled_origins.push(origin);
            speller.nodes.push(node);
        }
    }
    let Speller { nodes: spelled, made, .. } = speller;
    graph.node = spelled;
    graph.initializer.extend(made);
    *origins = spelled_origins;
}

pub(in crate::import) struct Speller<'g> {
    opset: i64,
    ranks: Ranks,
    /// Constants of the file.
    constants: HashMap<&'g str, &'g TensorProto>,
    /// The node that writes a tensor.
    writers: HashMap<&'g str, &'g NodeProto>,
    read: HashSet<&'g str>,
    taken: HashSet<String>,
    /// The input, and what depends on it.
    moving: HashSet<String>,
    nodes: Vec<NodeProto>,
    made: Vec<TensorProto>,
}

impl<'g> Speller<'g> {
    fn new(graph: &'g GraphProto, nodes: &'g [NodeProto], opset: i64) -> Self {
        let written =
            || nodes.iter().flat_map(|n| n.output.iter().map(move |name| (name.as_str(), n)));
        let outputs = graph.output.iter().map(|output| output.name.as_str());
        let names = graph.initializer.iter().map(|t| t.name.clone());
        Self {
            opset,
            ranks: rank::of_ends(graph),
            constants: graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            writers: written().collect(),
            read: nodes.iter().flat_map(super::reads).chain(outputs).collect(),
            taken: names.chain(written().map(|(name, _)| name.to_string())).collect(),
            moving: graph.input.iter().map(|input| input.name.clone()).collect(),
            nodes: Vec::new(),
            made: Vec::new(),
        }
    }

    fn spell(&mut self, node: &NodeProto) -> Spelled {
        let mut node = node.clone();
        if !operators::is_default_domain(&node.domain) {
            return Ok(vec![node]);
        }
        while node.input.last().is_some_and(String::is_empty) {
            node.input.pop();
        }
        match operators::of(&node).and_then(|operator| operator.spelling) {
            Some(spelling) => spelling(self, node),
            None => Ok(vec![node]),
        }
    }

    /// Operators on two tensors.
    pub fn binary(&mut self, node: NodeProto) -> Spelled {
        if self.opset < 7 { self.broadcast(node) } else { Ok(vec![node]) }
    }

    /// `Sub`, whose second operand may depend on the input.
    pub fn subtraction(&mut self, node: NodeProto) -> Spelled {
        let moves = node.input.get(1).is_some_and(|name| self.moving.contains(name));
        let mut nodes = self.binary(node)?;
        if moves && let Some(node) = nodes.pop() {
            nodes.extend(self.negated(node));
        }
        Ok(nodes)
    }

    /// A `ConstantOfShape` that says no value.
    pub fn constant_of_shape(&mut self, mut node: NodeProto) -> Spelled {
        if node.attribute.is_empty() {
            node.attribute.push(zero());
        }
        Ok(vec![node])
    }

    /// A `Squeeze` says which dimensions it takes away.
    pub fn squeeze(&mut self, node: NodeProto) -> Spelled {
        if node.input.len() < 2 && !node.attribute.iter().any(|a| a.name == "axes") {
            return Err(NodeProblem::unsupported("taking away all dimensions of 1"));
        }
        Ok(vec![node])
    }

    /// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`.
    pub fn celu(&mut self, mut node: NodeProto) -> Spelled {
        let alpha = OnnxNode { proto: &node, opset: self.opset }.float("alpha", 1.0);
        if !(alpha > 0.0 && alpha.is_finite()) {
            let reason = format!("is {alpha}, not a number above 0");
            return Err(NodeProblem::Attribute { name: "alpha", reason });
        }
        let name = node_name(&node);
        let [width, narrow, bent] =
            ["alpha", "narrow", "bent"].map(|part| self.fresh(format!("{name}.{part}")));
        self.made.push(TensorProto {
            name: width.clone(),
            data_type: DataType::Float as i32,
            float_data: vec![alpha],
            ..Default::default()
        });
        let divided = NodeProto {
            op_type: "Div".to_string(),
            name: narrow.clone(),
            input: vec![node.input.first().cloned().unwrap_or_default(), width.clone()],
            output: vec![narrow.clone()],
            ..Default::default()
        };
        let elu = NodeProto {
            op_type: "Elu".to_string(),
            name: bent.clone(),
            input: vec![narrow],
            output: vec![bent.clone()],
            ..Default::default()
        };
        remove(&mut node, "alpha");
        node.op_type = "Mul".to_string();
        node.input = vec![bent, width];
        Ok(vec![divided, elu, node])
    }

    fn note_moving(&mut self, node: &NodeProto) {
        if super::reads(node).any(|name| self.moving.contains(name)) {
            self.moving.extend(node.output.iter().cloned());
        }
    }

    /// `a - b` as `a + -b`.
    fn negated(&mut self, mut node: NodeProto) -> Vec<NodeProto> {
        let name = node_name(&node);
        let operand = self.fresh(format!("{name}.negative"));
        let negation = NodeProto {
            op_type: "Neg".to_string(),
            name: format!("{name}.neg"),
            input: vec![node.input[1].clone()],
            output: vec![operand.clone()],
            ..Default::default()
        };
        node.op_type = "Add".to_string();
        node.input[1] = operand;
        vec![negation, node]
    }

    pub fn batch_norm(&mut self, mut node: NodeProto) -> Spelled {
        let view = OnnxNode { proto: &node, opset: self.opset };
        let outputs = node.output.iter().filter(|name| !name.is_empty()).count();
        let by_batch = match self.opset {
            ..7 => view.int("is_test", 0) == 0,
            7..14 => false,
            _ => view.int("training_mode", 0) != 0,
        };
        if by_batch {
            return Err(NodeProblem::TrainingMode);
        }
        if self.opset < 14 && outputs > 1 {
            return Err(NodeProblem::TrainingOutputs { outputs });
        }
        if view.int("spatial", 1) == 0 {
            let per_channel = |index: usize| {
                let name = view.optional_input(index).unwrap_or_default();
                self.ranks.get(name) == Some(&1)
            };
            if !(1..5).all(per_channel) {
                return Err(NodeProblem::unsupported("statistics for each pixel (spatial = 0)"));
            }
            remove(&mut node, "spatial");
        }
        if node.output.iter().skip(1).any(|name| self.read.contains(name.as_str())) {
            return Err(NodeProblem::TrainingMode);
        }
        node.output.truncate(1);
        Ok(vec![node])
    }

    /// A binary operator of before operator set 7, where the second operand's dimensions are the first
    /// one's from `axis` on; without `axis` its last ones, as later.
    fn broadcast(&mut self, mut node: NodeProto) -> Spelled {
        let view = OnnxNode { proto: &node, opset: self.opset };
        let axis = view.attribute("axis").filter(|_| view.int("broadcast", 0) != 0).map(|a| a.i);
        let ranks = [0, 1].map(|index| self.ranks.get(view.optional_input(index)?).copied());
        remove(&mut node, "broadcast");
        remove(&mut node, "axis");
        let Some(axis) = axis else { return Ok(vec![node]) };
        let [Some(left), Some(right)] = ranks else {
            let what = "broadcasts along an axis of a tensor whose dimensions are not known";
            return Err(NodeProblem::OldSpelling { what, since: 7 });
        };
        let axis = resolve_axis(axis, left)?;
        let Some(behind) = left.checked_sub(axis + right) else {
            let reason = format!("{right} dimensions do not fit into {left} from {axis} on");
            return Err(NodeProblem::Attribute { name: "axis", reason });
        };
        if behind == 0 {
            return Ok(vec![node]);
        }
        let name = node_name(&node);
        let operand = self.fresh(format!("{name}.operand"));
        let axes: Vec<i64> = (right..right + behind).map(|axis| axis as i64).collect();
        let unsqueeze = NodeProto {
            op_type: "Unsqueeze".to_string(),
            name: format!("{name}.unsqueeze"),
            input: vec![node.input[1].clone()],
            output: vec![operand.clone()],
            attribute: vec![ints("axes", axes)],
            ..Default::default()
        };
        node.input[1] = operand;
        Ok(vec![unsqueeze, node])
    }

    /// Negative pads crop: first that, then what is left of the padding.
    pub fn pad(&mut self, mut node: NodeProto) -> Spelled {
        let view = OnnxNode { proto: &node, opset: self.opset };
        let by_input = self.opset >= 11;
        let pads = match (by_input, view.optional_input(1)) {
            (true, Some(name)) => self.list(name, 0),
            _ => view.ints("pads").or(view.ints("paddings")).map(<[i64]>::to_vec),
        };
        // What depends on the network's shapes is seen to when it is known.
        let Some(pads) = pads else { return Ok(vec![node]) };
        if pads.iter().all(|&pad| pad >= 0) {
            return Ok(vec![node]);
        }
        let mode = view.string("mode", "constant");
        if mode != "constant" {
            let what = format!("negative padding of mode {mode:?}");
            return Err(NodeProblem::unsupported(what));
        }
        let half = pads.len() / 2;
        let axes = match view.optional_input(3) {
            Some(name) => self.list(name, 0),
            None => Some((0..half as i64).collect()),
        };
        let axes = axes.filter(|axes| axes.len() == half && pads.len() % 2 == 0);
        let axes =
            axes.ok_or_else(|| NodeProblem::unsupported("negative padding of unknown axes"))?;
        let (starts, ends) = pads.split_at(half);
        let starts = starts.iter().map(|&pad| pad.min(0).saturating_neg()).collect();
        let ends = ends.iter().map(|&pad| if pad < 0 { pad } else { i64::MAX }).collect();
        let kept: Vec<i64> = pads.iter().map(|&pad| pad.max(0)).collect();
        let pads_more = kept.iter().any(|&pad| pad > 0);
        let name = node_name(&node);
        let output = node.output.first().cloned().unwrap_or_default();
        let (slice_name, cropped) = match pads_more {
            true => (format!("{name}.crop"), self.fresh(format!("{output}.cropped"))),
            false => (name.clone(), output),
        };
        let input = node.input.first().cloned().unwrap_or_default();
        let slice = self.slice(slice_name, input, cropped.clone(), [starts, ends, axes]);
        if !pads_more {
            return Ok(vec![slice]);
        }
        node.input[0] = cropped;
        if by_input {
            node.input[1] = self.constant(format!("{name}.pads"), kept);
        } else {
            remove(&mut node, "pads");
            remove(&mut node, "paddings");
            node.attribute.push(ints("pads", kept));
        }
        Ok(vec![slice, node])
    }

    /// `input` from `starts` to `ends` along `axes`.
    fn slice(
        &mut self,
        name: String,
        input: String,
        output: String,
        lists: [Vec<i64>; 3],
    ) -> NodeProto {
        let names = ["starts", "ends", "axes"].into_iter().zip(lists);
        let mut slice = NodeProto {
            op_type: "Slice".to_string(),
            name: name.clone(),
            input: vec![input],
            output: vec![output],
            ..Default::default()
        };
        for (list, values) in names {
            if self.opset < 10 {
                slice.attribute.push(ints(list, values));
            } else {
                slice.input.push(self.constant(format!("{name}.{list}"), values));
            }
        }
        slice
    }

    /// A new constant list.
    fn constant(&mut self, name: String, values: Vec<i64>) -> String {
        let name = self.fresh(name);
        self.made.push(TensorProto {
            name: name.clone(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values,
            ..Default::default()
        });
        name
    }

    /// `name`, or one close to it that no tensor has.
    fn fresh(&mut self, mut name: String) -> String {
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// The integers of `tensor`, if they are constant whatever the shapes are.
    fn list(&self, tensor: &str, depth: usize) -> Option<Vec<i64>> {
        let mut budget = Budget::new(MAX_LIST_WORK);
        self.known(tensor, depth, &mut budget)?.as_ints().map(<[i64]>::to_vec)
    }

    fn known(&self, tensor: &str, depth: usize, budget: &mut Budget) -> Option<Tensor> {
        if let Some(proto) = self.constants.get(tensor) {
            return Tensor::read(proto).ok();
        }
        let proto = *self.writers.get(tensor).filter(|_| depth < MAX_LIST_DEPTH)?;
        let node = OnnxNode { proto, opset: self.opset };
        operators::of(proto)?.on_constants?;
        let input = |name: &String| match name.as_str() {
            "" => Some(None),
            name => self.known(name, depth + 1, budget).map(Some),
        };
        let inputs: Vec<Option<Tensor>> = proto.input.iter().map(input).collect::<Option<_>>()?;
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
        constants::evaluate(&node, &inputs, budget).ok()
    }
}

/// Says the padding of a window in one way.
pub(in crate::import) fn window(mut node: NodeProto) -> Spelled {
    let view = OnnxNode { proto: &node, opset: 0 };
    match view.string("auto_pad", "NOTSET") {
        "VALID" => {
            let dims = view.ints("kernel_shape").map_or(2, <[i64]>::len);
            remove(&mut node, "auto_pad");
            remove(&mut node, "pads");
            node.attribute.push(ints("pads", vec![0; 2 * dims]));
        }
        "SAME_UPPER" | "SAME_LOWER" => {
            remove(&mut node, "pads");
            remove(&mut node, "ceil_mode");
        }
        "NOTSET" | "" => remove(&mut node, "auto_pad"),
        // The importer says what it may be.
        _ => {}
    }
    Ok(vec![node])
}

fn node_name(node: &NodeProto) -> String {
    OnnxNode { proto: node, opset: 0 }.name().to_string()
}

fn remove(node: &mut NodeProto, attribute: &str) {
    node.attribute.retain(|a| a.name != attribute);
}

/// The value of a `ConstantOfShape` that says none.
fn zero() -> AttributeProto {
    let value = TensorProto {
        dims: vec![1],
        data_type: DataType::Float as i32,
        float_data: vec![0.0],
        ..Default::default()
    };
    AttributeProto {
        name: "value".to_string(),
        r#type: AttributeType::Tensor as i32,
        t: Some(value),
        ..Default::default()
    }
}

fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_string(),
        r#type: AttributeType::Ints as i32,
        ints: values,
        ..Default::default()
    }
}
