//! What a network gives: which outputs of the file are taken, and what each of them means.
//!
//! What may not be broken: what a file does at its ends - a Softmax, a Sigmoid, the largest values, a
//! normalization - is taken off the plan and told of the output, or refused by name; and whether a vector is
//! one of scores follows from the network, or from whoever asks for it.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use fixnet::Model;
use fixnet::format::{MAX_OUTPUTS, Output, OutputFunction, OutputKind, Selection};
use tract_onnx::pb::GraphProto;

use super::canonical::reads;
use super::error::Problem;
use super::translate::{Activation, Importer};
use super::view::{self, NCHW, NHWC, View};
use super::{ImportOptions, ImportedGraph, name_list, operators};
use crate::graph::{Graph, GraphOutput, InputLayout, Op, ValueId};

/// An output that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRequest {
    /// As the file calls it.
    pub name: String,
    /// Scores or a vector, where the network does not say it right.
    pub kind: Option<OutputKind>,
}

impl FromStr for OutputRequest {
    type Err = String;

    /// `NAME`, `NAME=scores` or `NAME=vector`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, kind) = match text.rsplit_once('=') {
            Some((name, "scores")) => (name, Some(OutputKind::Scores)),
            Some((name, "vector")) => (name, Some(OutputKind::Vector)),
            _ => (text, None),
        };
        match name {
            "" => Err("expected NAME, NAME=scores or NAME=vector".to_string()),
            name => Ok(Self { name: name.to_string(), kind }),
        }
    }
}

/// An output of a file, beside what the graph says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedOutput {
    /// As the file calls it.
    pub name: String,
    /// Tensor of the file that holds the values: the last one before what was taken off.
    pub tensor: String,
    /// Layout of that tensor if it is a feature map.
    pub layout: Option<InputLayout>,
    /// Name of the node that was taken off.
    pub removed: Option<String>,
}

impl ImportedOutput {
    /// A vector that is a tensor of the file as it is.
    pub(crate) fn vector(name: String) -> Self {
        Self { tensor: name.clone(), name, layout: None, removed: None }
    }
}

impl ImportOptions {
    /// Asks for the outputs that a model file tells of, as it tells of them.
    #[must_use]
    pub fn for_outputs_of(mut self, model: &Model<'_>) -> Self {
        if model.tells_outputs() {
            let kind = |output: &Output<'_>| {
                let free = output.selection == Selection::All
                    && output.function == OutputFunction::None
                    && matches!(output.kind, OutputKind::Scores | OutputKind::Vector);
                free.then_some(output.kind)
            };
            let request =
                |o: Output<'_>| OutputRequest { name: o.name.to_string(), kind: kind(&o) };
            self.outputs = model.outputs().map(request).collect();
        }
        self
    }
}

/// What stood at an end of the network, behind the tensor that the plan computes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    /// Name of the node that was taken off.
    pub node: String,
    /// The tensor that it takes, and how that looks at its value.
    pub tensor: String,
    pub view: View,
    pub kind: OutputKind,
    pub function: OutputFunction,
    pub selection: Selection,
    pub count: usize,
}

/// The outputs that are taken, in order: all of the file, or those that are asked for.
pub(super) fn requested(
    graph: &GraphProto,
    options: &ImportOptions,
) -> Result<Vec<OutputRequest>, Problem> {
    let names = || name_list(graph.output.iter().map(|output| output.name.as_str()));
    let requests = match options.outputs.as_slice() {
        [] => {
            let all = graph.output.iter();
            all.map(|o| OutputRequest { name: o.name.clone(), kind: None }).collect()
        }
        asked => asked.to_vec(),
    };
    let mut seen = HashSet::new();
    for OutputRequest { name, .. } in &requests {
        if !graph.output.iter().any(|output| output.name == *name) {
            return Err(Problem::NoSuchOutput { name: name.clone(), names: names() });
        }
        if !seen.insert(name) {
            return Err(Problem::OutputTwice { name: name.clone() });
        }
    }
    if (1..=MAX_OUTPUTS).contains(&requests.len()) {
        return Ok(requests);
    }
    Err(Problem::OutputCount { count: requests.len(), names: names() })
}

/// Tensors that nothing but outputs depend on, through nodes that only change the shape: what a node writes
/// there ends the network.
pub(super) fn at_the_ends<'g>(
    graph: &'g GraphProto,
    requests: &[OutputRequest],
) -> HashSet<&'g str> {
    let mut readers: HashMap<&str, usize> = HashMap::new();
    for name in graph.node.iter().flat_map(reads) {
        *readers.entry(name).or_default() += 1;
    }
    let outputs = graph.output.iter().map(|output| output.name.as_str());
    let asked = |name: &&str| requests.iter().any(|request| request.name == **name);
    let mut ends: HashSet<&str> =
        outputs.filter(asked).filter(|name| !readers.contains_key(name)).collect();
    for node in graph.node.iter().rev() {
        let written = node.output.first().is_some_and(|output| ends.contains(output.as_str()));
        let passes = operators::of(node).is_some_and(|op| op.end == operators::End::PassesOn);
        if let (true, true, Some(input)) = (written, passes, node.input.first())
            && readers.get(input.as_str()) == Some(&1)
        {
            ends.insert(input);
        }
    }
    ends
}

/// Nodes, by position, that the outputs depend on.
pub(super) fn needed_nodes(graph: &GraphProto, requests: &[OutputRequest]) -> Vec<bool> {
    let mut needed: HashSet<&str> = requests.iter().map(|request| request.name.as_str()).collect();
    let mut nodes = vec![false; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| needed.contains(name.as_str())) {
            nodes[index] = true;
            needed.extend(reads(node));
        }
    }
    nodes
}

/// Names of the outputs that do not depend on the node `index`, where others do.
pub(super) fn spared(graph: &GraphProto, requests: &[OutputRequest], index: usize) -> Vec<String> {
    let spares = |request: &&OutputRequest| {
        !needed_nodes(graph, std::slice::from_ref(*request)).get(index).is_some_and(|&needs| needs)
    };
    requests.iter().filter(spares).map(|request| request.name.clone()).collect()
}

/// The graph's ends, then only what they depend on.
pub(super) fn finish(
    mut importer: Importer<'_>,
    requests: &[OutputRequest],
    told: bool,
) -> Result<ImportedGraph, Problem> {
    let mut outputs = Vec::with_capacity(requests.len());
    for request in requests {
        let end = importer.output(&request.name)?;
        let (value, tensor, layout) = value_of(&mut importer, request, &end)?;
        let removed = end.end.as_ref().map(|end| end.node.clone());
        let imported = ImportedOutput { name: request.name.clone(), tensor, layout, removed };
        outputs.push((imported, value, end.end));
    }
    let (mut graph, input_shape) = importer.into_graph();
    let mut imported = Vec::with_capacity(outputs.len());
    for ((output, value, end), request) in outputs.into_iter().zip(requests) {
        graph.outputs.push(meaning(&graph, value, end.as_ref(), request)?);
        imported.push(output);
    }
    graph.remove_dead_nodes();
    Ok(ImportedGraph {
        input_name: graph.values[graph.input].name.clone(),
        input_shape,
        tells_outputs: told || imported.len() > 1,
        outputs: imported,
        graph,
    })
}

/// The value that an output is, as a vector or as a map, and the tensor of the file that holds it, with its layout
/// if that is a map.
fn value_of(
    importer: &mut Importer<'_>,
    request: &OutputRequest,
    activation: &Activation,
) -> Result<(ValueId, String, Option<InputLayout>), Problem> {
    let name = &request.name;
    let (tensor, view) = match &activation.end {
        Some(end) => (&end.tensor, &end.view),
        None => (name, &activation.view),
    };
    let refused = || Problem::OutputOrder { name: name.clone(), shape: view.shape() };
    if view.sizes[1..] == [1, 1] {
        let vector = importer.as_vector(activation, name).map_err(|_| refused())?;
        return Ok((vector, importer.file_tensor(activation, vector), None));
    }
    let layout = match (view.flat_order(), view.image_order()) {
        // A flattened map, channel by channel.
        (Some(order), _) if view::in_graph_order(order) => InputLayout::Nchw,
        (_, Some(NCHW)) => InputLayout::Nchw,
        (_, Some(NHWC)) => InputLayout::Nhwc,
        _ => return Err(refused()),
    };
    Ok((activation.value, tensor.clone(), Some(layout)))
}

/// What an output means: by what stood at its end, or by what computes it.
fn meaning(
    graph: &Graph,
    value: ValueId,
    end: Option<&End>,
    request: &OutputRequest,
) -> Result<GraphOutput, Problem> {
    let values: usize = graph.shape(value).iter().product();
    let is_vector = graph.shape(value)[1..].iter().all(|&extent| extent == 1);
    let plain = GraphOutput::scores(value);
    let output = match end {
        Some(End { kind, function, selection, count, .. }) => {
            let (kind, selection, count) = (*kind, *selection, *count);
            // Of scores the plan gives the logits.
            let function = match kind {
                OutputKind::Scores => OutputFunction::None,
                _ => *function,
            };
            GraphOutput { value, kind, function, selection, count }
        }
        None if !is_vector => GraphOutput { kind: OutputKind::Map, ..plain },
        // One value is no choice.
        None if values > 1 && is_linear(graph, value) => plain,
        None => GraphOutput { kind: OutputKind::Vector, ..plain },
    };
    let wrong = |is: OutputKind| Problem::OutputKind { name: request.name.clone(), is: is.name() };
    match (request.kind, output.kind) {
        (None, OutputKind::Scores) if !is_vector => Err(wrong(OutputKind::Map)),
        (None, _) => Ok(output),
        (Some(kind), is) if kind == is => Ok(output),
        (Some(OutputKind::Scores), OutputKind::Vector) if values > 1 => {
            Ok(GraphOutput { kind: OutputKind::Scores, ..output })
        }
        (Some(OutputKind::Vector), OutputKind::Scores) => {
            Ok(GraphOutput { kind: OutputKind::Vector, ..output })
        }
        (Some(_), is) => Err(wrong(is)),
    }
}

/// Whether the last thing that computes a value is a layer with weights and without an activation function, or
/// a sum or mean of such: what scores come from.
fn is_linear(graph: &Graph, value: ValueId) -> bool {
    let mut left = vec![value];
    let mut seen = HashSet::new();
    while let Some(value) = left.pop() {
        let Some(node) = graph.producer(value).map(|node| &graph.nodes[node]) else { continue };
        match node.op {
            Op::Conv(_) | Op::Gemm { .. } => return true,
            Op::BatchNorm(_)
            | Op::Affine { .. }
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
            | Op::Flatten
            | Op::Add => left.extend(node.inputs.iter().filter(|&&input| seen.insert(input))),
            _ => {}
        }
    }
    false
}
