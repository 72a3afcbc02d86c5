//! Node by node from the file to the graph.
//!
//! Each tensor of the file is held as a constant, or as a view of a value of the graph. A node
//! either becomes a node of the graph, or only changes the view, or is computed here and now.

mod dense;
mod elementwise;
mod ends;
mod layout;
mod pointwise;
mod resample;
mod spatial;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tract_onnx::pb::{GraphProto, TensorProto};

use super::budget::Budget;
use super::constants;
use super::error::{NodeProblem, Problem};
use super::input::Input;
use super::node::OnnxNode;
use super::operators::{self, Import};
use super::outputs::End;
use super::tensor::{Data, Tensor, element_count};
use super::view::View;
use super::{MAX_CHANNELS, MAX_VALUE_ELEMENTS};
use crate::graph::{Graph, Node, Op, Value, ValueId};

pub(super) type NodeResult<T> = Result<T, NodeProblem>;

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A node of the graph, or part of one.
    Step,
    /// A change of view.
    Layout,
    /// Computed at import.
    Constant,
    /// Does nothing in inference.
    Identity,
    /// A final Softmax, taken off.
    Softmax,
    /// What else stands at an end, taken off.
    End,
}

/// A tensor that depends on the network's input.
#[derive(Debug, Clone)]
pub(super) struct Activation {
    pub value: ValueId,
    pub view: View,
    /// The layout node that made the present view, and its output tensor.
    shaped_by: Option<(String, String)>,
    /// What was skipped on the way here.
    pub end: Option<End>,
}

#[derive(Debug, Clone)]
enum Held {
    Constant(Rc<Tensor>),
    Activation(Activation),
    /// The L2 norm of all values of an activation.
    Norm(Activation),
    /// Written by a node that could not be translated.
    Unknown,
}

pub(super) struct Importer<'a> {
    graph: Graph,
    input_shape: Vec<usize>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    held: HashMap<&'a str, Held>,
    /// Tensors that outputs alone depend on; none where a part is imported, which nothing is taken off from.
    ends: HashSet<&'a str>,
    is_part: bool,
    /// Nodes and outputs that read a tensor's data.
    readers: HashMap<&'a str, usize>,
    /// The vector that a feature map was flattened to.
    flattened: HashMap<ValueId, ValueId>,
    value_names: HashSet<String>,
    node_names: HashSet<String>,
    budget: Budget,
    /// Nodes that were joined to a later one, and that one.
    pub joined: Vec<(String, String)>,
}

impl<'a> Importer<'a> {
    pub fn new(proto: &'a GraphProto, input: Input, ends: Option<HashSet<&'a str>>) -> Self {
        let outputs = proto.output.iter().map(|output| (output.name.as_str(), 1));
        let mut readers: HashMap<&str, usize> = outputs.collect();
        let is_part = ends.is_none();
        let computing = proto.node.iter().filter(|node| !operators::reads_only_shapes(node));
        for name in computing.flat_map(|node| &node.input) {
            *readers.entry(name.as_str()).or_insert(0) += 1;
        }
        let mut importer = Self {
            graph: Graph {
                values: Vec::new(),
                nodes: Vec::new(),
                input: 0,
                input_layout: input.layout,
                outputs: Vec::new(),
            },
            input_shape: input.shape,
            initializers: proto.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            held: HashMap::new(),
            ends: ends.unwrap_or_default(),
            is_part,
            readers,
            flattened: HashMap::new(),
            value_names: HashSet::new(),
            node_names: HashSet::new(),
            budget: Budget::default(),
            joined: Vec::new(),
        };
        importer.add_input(proto, &input.name, input.view);
        importer
    }

    fn add_input(&mut self, proto: &'a GraphProto, name: &str, view: View) {
        let shape = match view.rank() {
            2 => vec![view.elements()],
            _ => view.sizes.to_vec(),
        };
        self.graph.values.push(Value { name: name.to_string(), shape });
        self.value_names.insert(name.to_string());
        let activation = Activation { value: 0, view, shaped_by: None, end: None };
        if let Some(info) = proto.input.iter().find(|info| info.name == name) {
            self.held.insert(&info.name, Held::Activation(activation));
        }
    }

    /// Translates one node; the nodes must come in an order in which they can run.
    pub fn translate(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let output = node.output()?;
        if self.held.contains_key(output) || self.initializers.contains_key(output) {
            return Err(NodeProblem::Redefined { tensor: output.to_string() });
        }
        if let Some(tensor) = self.constant_result(node)? {
            self.held.insert(output, Held::Constant(Rc::new(tensor)));
            return Ok(Outcome::Constant);
        }
        if let Some(outcome) = self.end(node)? {
            return Ok(outcome);
        }
        let operator = operators::of(node.proto).ok_or_else(|| unknown_operator(node))?;
        match operator.import {
            Import::Translate(translate) => translate(self, node),
            Import::Function(function) => self.pointwise(node, function(node)?),
            Import::Constants => Err(self.not_constant(node)),
            Import::Refuse => Err(unknown_operator(node)),
        }
    }

    /// Why an operator on constants cannot be computed.
    fn not_constant(&mut self, node: &OnnxNode<'a>) -> NodeProblem {
        for index in 0..node.proto.input.len() {
            if let Ok(Held::Unknown) = self.held(node, index) {
                let tensor = node.proto.input[index].clone();
                return NodeProblem::UnknownTensor { tensor };
            }
        }
        NodeProblem::unsupported(format!("{} of the network's own data", node.op()))
    }

    /// The node's output if it can be computed now.
    fn constant_result(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Tensor>> {
        let operator = operators::of(node.proto);
        if operator.is_none_or(|operator| operator.on_constants.is_none()) {
            return Ok(None);
        }
        let mut inputs = Vec::with_capacity(node.proto.input.len());
        for (index, name) in node.proto.input.iter().enumerate() {
            if name.is_empty() {
                inputs.push(None);
                continue;
            }
            match self.held(node, index)? {
                Held::Constant(tensor) => inputs.push(Some(tensor)),
                Held::Activation(a) if node.op() == "Shape" => {
                    return Ok(Some(constants::shape_of(node, &a.view.shape())));
                }
                Held::Activation(a) if node.op() == "Size" => {
                    return Ok(Some(Tensor::int(a.view.elements() as i64)));
                }
                // Only the element type of the second input matters: the network's data is float.
                Held::Activation(_) if node.op() == "CastLike" && index == 1 => {
                    inputs.push(Some(Rc::new(Tensor::float(0.0))));
                }
                Held::Activation(_) | Held::Norm(_) | Held::Unknown => return Ok(None),
            }
        }
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_deref).collect();
        constants::evaluate(node, &inputs, &mut self.budget).map(Some)
    }

    fn held(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Held> {
        let name = node.input(index)?;
        if let Some(held) = self.held.get(name) {
            return Ok(held.clone());
        }
        let undefined = || NodeProblem::UndefinedTensor { tensor: name.to_string() };
        let proto = self.initializers.get(name).ok_or_else(undefined)?;
        let held = Held::Constant(Rc::new(Tensor::read(proto)?));
        self.held.insert(name, held.clone());
        Ok(held)
    }

    /// An input that depends on the image, also behind a Softmax.
    fn any_activation(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Activation> {
        let tensor = || node.input(index).unwrap_or_default().to_string();
        match self.held(node, index)? {
            Held::Activation(activation) => Ok(activation),
            Held::Constant(_) => Err(NodeProblem::UnexpectedConstant { index, tensor: tensor() }),
            Held::Norm(_) => Err(NodeProblem::AfterEnd),
            Held::Unknown => Err(NodeProblem::UnknownTensor { tensor: tensor() }),
        }
    }

    /// An input that depends on the image.
    fn activation(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Activation> {
        let activation = self.any_activation(node, index)?;
        if activation.end.is_some() {
            return Err(NodeProblem::AfterEnd);
        }
        Ok(activation)
    }

    /// A constant input.
    fn constant(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Rc<Tensor>> {
        let tensor = || node.input(index).unwrap_or_default().to_string();
        match self.held(node, index)? {
            Held::Constant(constant) => Ok(constant),
            Held::Activation(_) | Held::Norm(_) => {
                Err(NodeProblem::NotConstant { index, tensor: tensor() })
            }
            Held::Unknown => Err(NodeProblem::UnknownTensor { tensor: tensor() }),
        }
    }

    fn optional_constant(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
    ) -> NodeResult<Option<Rc<Tensor>>> {
        node.optional_input(index).map(|_| self.constant(node, index)).transpose()
    }

    /// The integers of a constant input, or of the attribute that older operator sets had instead.
    fn int_list(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
        attribute: &str,
    ) -> NodeResult<Option<Vec<i64>>> {
        match self.optional_constant(node, index)? {
            Some(tensor) => Ok(Some(tensor.integers()?.to_vec())),
            None => Ok(node.ints(attribute).map(<[i64]>::to_vec)),
        }
    }

    /// A constant input as finite floats.
    fn weights(&mut self, node: &OnnxNode<'a>, index: usize) -> NodeResult<Vec<f32>> {
        let tensor = self.constant(node, index)?;
        self.budget.charge(Some(tensor.len()))?;
        finite(node.input(index)?, &tensor)
    }

    /// Weights of which there is one for each channel.
    fn channel_weights(
        &mut self,
        node: &OnnxNode<'a>,
        index: usize,
        channels: usize,
        what: &'static str,
    ) -> NodeResult<Vec<f32>> {
        let values = self.weights(node, index)?;
        if values.len() != channels {
            return Err(NodeProblem::Mismatch { what, expected: channels, found: values.len() });
        }
        Ok(values)
    }

    /// The value as a vector in C, H, W order. `tensor` names the vector where no layout node does.
    pub fn as_vector(&mut self, activation: &Activation, tensor: &str) -> NodeResult<ValueId> {
        let value = activation.value;
        if self.graph.shape(value).len() == 1 {
            return Ok(value);
        }
        if let Some(&vector) = self.flattened.get(&value) {
            return Ok(vector);
        }
        let (node, tensor) = match &activation.shaped_by {
            Some((node, tensor)) => (node.clone(), tensor.clone()),
            None => (format!("{tensor}.flatten"), format!("{tensor}.flat")),
        };
        let shape = vec![activation.view.elements()];
        let vector = self.add_node(&node, &tensor, Op::Flatten, vec![value], shape)?;
        self.flattened.insert(value, vector);
        Ok(vector)
    }

    /// Adds a node for `node` and holds its output as `view`.
    fn emit(
        &mut self,
        node: &OnnxNode<'a>,
        op: Op,
        inputs: Vec<ValueId>,
        view: View,
        shape: Vec<usize>,
    ) -> NodeResult<Outcome> {
        let output = node.output()?;
        let value = self.add_node(node.name(), output, op, inputs, shape)?;
        let activation = Activation { value, view, shaped_by: None, end: None };
        self.held.insert(output, Held::Activation(activation));
        Ok(Outcome::Step)
    }

    /// Adds a node whose output is an image in C, H, W order.
    fn emit_image(
        &mut self,
        node: &OnnxNode<'a>,
        op: Op,
        input: ValueId,
        sizes: [usize; 3],
    ) -> NodeResult<Outcome> {
        let view = View::image(sizes, super::view::NCHW);
        self.emit(node, op, vec![input], view, sizes.to_vec())
    }

    fn add_node(
        &mut self,
        name: &str,
        tensor: &str,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
    ) -> NodeResult<ValueId> {
        if shape[0] > MAX_CHANNELS && shape.len() > 1 {
            return Err(NodeProblem::TooLarge { shape, limit: "2^20 channels" });
        }
        if element_count(&shape).is_none_or(|n| n > MAX_VALUE_ELEMENTS) {
            return Err(NodeProblem::TooLarge { shape, limit: "2^26 elements" });
        }
        let name = unique(&mut self.node_names, name);
        let output = self.graph.values.len();
        let tensor = unique(&mut self.value_names, tensor);
        self.graph.values.push(Value { name: tensor, shape });
        self.graph.nodes.push(Node { name, op, inputs, output });
        Ok(output)
    }

    /// The node that wrote `activation`, if `node`, through its input `index`, is its only reader
    /// and may therefore be joined to it.
    fn joinable(
        &self,
        node: &OnnxNode<'a>,
        index: usize,
        activation: &Activation,
    ) -> Option<usize> {
        let tensor = node.optional_input(index)?;
        let own_name = self.graph.values[activation.value].name == tensor;
        let single = self.readers.get(tensor) == Some(&1);
        if own_name && single { self.graph.producer(activation.value) } else { None }
    }

    /// Replaces the node `joined` by `op`, which computes that node and `node` after it.
    fn join(
        &mut self,
        node: &OnnxNode<'a>,
        joined: usize,
        op: Op,
        view: View,
        shape: Vec<usize>,
    ) -> NodeResult<Outcome> {
        let last = self.graph.nodes.remove(joined);
        self.joined.push((last.name, node.name().to_string()));
        self.emit(node, op, last.inputs, view, shape)
    }

    /// Holds the node's output as another view of the same value.
    fn alias(&mut self, node: &OnnxNode<'a>, activation: Activation) -> NodeResult<()> {
        self.held.insert(node.output()?, Held::Activation(activation));
        Ok(())
    }

    /// Marks what a node writes as unknown, so that the nodes behind it can be told apart.
    pub fn skip(&mut self, node: &OnnxNode<'a>) {
        for output in node.proto.output.iter().filter(|name| !name.is_empty()) {
            self.held.entry(output).or_insert(Held::Unknown);
        }
    }

    /// Shapes of the node's inputs that come from the image.
    pub fn input_shapes(&self, node: &OnnxNode<'a>) -> Vec<Vec<usize>> {
        let held = node.proto.input.iter().filter_map(|name| self.held.get(name.as_str()));
        held.filter_map(|held| match held {
            Held::Activation(activation) => Some(activation.view.shape()),
            _ => None,
        })
        .collect()
    }

    /// The shape of a tensor of the file, once it is known.
    pub fn tensor_shape(&self, name: &str) -> Option<Vec<usize>> {
        match self.held.get(name)? {
            Held::Constant(tensor) => Some(tensor.shape.clone()),
            Held::Activation(activation) => Some(activation.view.shape()),
            Held::Norm(_) | Held::Unknown => None,
        }
    }

    pub fn output(&self, name: &str) -> Result<Activation, Problem> {
        match self.held.get(name) {
            Some(Held::Activation(activation)) => Ok(activation.clone()),
            Some(Held::Constant(_)) => Err(Problem::ConstantOutput { name: name.to_string() }),
            Some(Held::Norm(_)) => Err(Problem::NormOutput { name: name.to_string() }),
            _ => Err(Problem::NoOutput { name: name.to_string() }),
        }
    }

    /// Name of the file's tensor that holds the elements of `vector`, made from `activation`.
    pub fn file_tensor(&self, activation: &Activation, vector: ValueId) -> String {
        let named_here = vector != activation.value && activation.shaped_by.is_none();
        let value = if named_here { activation.value } else { vector };
        self.graph.values[value].name.clone()
    }

    /// The graph, whose outputs are yet to be told, and the shape of the file's input.
    pub fn into_graph(self) -> (Graph, Vec<usize>) {
        (self.graph, self.input_shape)
    }
}

fn unknown_operator(node: &OnnxNode<'_>) -> NodeProblem {
    let domain = if node.proto.domain.is_empty() { "ai.onnx" } else { &node.proto.domain };
    NodeProblem::UnknownOperator { op: node.op().to_string(), domain: domain.to_string() }
}

fn finite(name: &str, tensor: &Tensor) -> NodeResult<Vec<f32>> {
    if let Data::Float(values) = &tensor.data
        && let Some(index) = values.iter().position(|v| !v.is_finite())
    {
        let value = values[index];
        return Err(NodeProblem::NonFinite { tensor: name.to_string(), index, value });
    }
    Ok(tensor.to_floats())
}

/// `name`, with a number behind it if it is taken.
fn unique(taken: &mut HashSet<String>, name: &str) -> String {
    let mut candidate = name.to_string();
    let mut count = 1;
    while !taken.insert(candidate.clone()) {
        count += 1;
        candidate = format!("{name}_{count}");
    }
    candidate
}
