//! The network of a file in one spelling, for whoever reads it: the importer, and tract as the judge
//! and as what runs the parts that stay in float.
//!
//! - Nodes stand in an order in which they can run.
//! - Constants are plain tensors inside the model, of integers or of f32: external data is read, sparse
//!   tensors are filled up, other floats are converted.
//! - Operators are spelled in the way that tract computes rightly (see [`spelling`]).
//!
//! What may not be broken: the canonical form computes what the ONNX operator specification says that
//! the file computes. A node that has no such form is refused by name, and whatever is made from a file
//! with such a node is wrong: only `check` looks past it.

mod constants;
mod order;
mod rank;
mod spelling;

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::error::{NodeError, NodeProblem, Problem};
use super::external::ModelFolder;
use super::node::OnnxNode;
use super::operators;

pub(crate) use order::reads;
pub(super) use spelling::{Spelled, Speller, window};

/// A node as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileNode {
    pub name: String,
    pub op: String,
}

/// A model in its canonical form.
#[derive(Debug)]
pub(super) struct Canonical {
    /// Its graph holds all constants, and one input that is none.
    pub proto: ModelProto,
    /// Version of the default operator set.
    pub opset: i64,
    /// The nodes of the file, in its order.
    pub file_nodes: Vec<FileNode>,
    /// For each node of the graph, the node of the file that it comes from.
    pub origins: Vec<usize>,
    /// Nodes of the file that have no canonical form.
    pub refused: HashMap<usize, NodeProblem>,
}

impl Canonical {
    /// Brings `model` into its canonical form.
    pub fn new(mut model: ModelProto, folder: &ModelFolder) -> Result<Self, Problem> {
        let opset = opset(&model)?;
        let mut graph = model.graph.take().unwrap_or_default();
        let file_nodes: Vec<FileNode> = graph.node.iter().map(file_node).collect();
        let mut refused = HashMap::new();
        constants::unify(&mut graph, &mut model.functions, folder, &mut refused);
        let mut origins = order::sort(&mut graph);
        spelling::spell(&mut graph, opset, &mut origins, &mut refused);
        constants::check_finite(&graph, &origins, &mut refused);
        model.graph = Some(graph);
        Ok(Self { proto: model, opset, file_nodes, origins, refused })
    }

    /// A model that was cut from a canonical one.
    pub fn assumed(model: ModelProto) -> Result<Self, Problem> {
        let opset = opset(&model)?;
        let nodes = model.graph.iter().flat_map(|graph| &graph.node);
        let file_nodes: Vec<FileNode> = nodes.map(file_node).collect();
        let origins = (0..file_nodes.len()).collect();
        Ok(Self { proto: model, opset, file_nodes, origins, refused: HashMap::new() })
    }

    pub fn graph(&self) -> &GraphProto {
        static EMPTY: std::sync::LazyLock<GraphProto> =
            std::sync::LazyLock::new(GraphProto::default);
        self.proto.graph.as_ref().unwrap_or(&EMPTY)
    }

    /// The first node of the file without a canonical form.
    pub fn first_refused(&self) -> Option<NodeError> {
        let (&index, problem) = self.refused.iter().min_by_key(|(index, _)| **index)?;
        Some(self.error(index, Vec::new(), problem.clone()))
    }

    /// What is wrong with the node `index` of the file.
    pub fn error(
        &self,
        index: usize,
        input_shapes: Vec<Vec<usize>>,
        problem: NodeProblem,
    ) -> NodeError {
        let FileNode { name, op } = self.file_nodes[index].clone();
        NodeError { index, name, op, input_shapes, problem, spared: Vec::new() }
    }
}

fn file_node(proto: &NodeProto) -> FileNode {
    let name = OnnxNode { proto, opset: 0 }.name().to_string();
    FileNode { name, op: proto.op_type.clone() }
}

fn opset(model: &ModelProto) -> Result<i64, Problem> {
    let damaged = |reason: &str| Problem::NotOnnx { reason: reason.to_string() };
    let mut sets = model.opset_import.iter();
    let opset = sets.find(|set| operators::is_default_domain(&set.domain));
    let opset = opset.ok_or_else(|| damaged("it names no ONNX operator set"))?.version;
    match &model.graph {
        None => Err(damaged("it holds no graph")),
        Some(graph) if graph.node.is_empty() => Err(damaged("its graph has no nodes")),
        Some(_) => Ok(opset),
    }
}
