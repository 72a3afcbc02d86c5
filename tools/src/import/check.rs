//! What becomes of each node of a file at import, without stopping at the first that is not supported.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::canonical::FileNode;
use super::translate::{Importer, Outcome};
use super::{ImportError, ImportOptions, NodeProblem, OnnxFile, OutputRequest, operators, outputs};
use crate::graph::Graph;

/// The verdict on one node of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeVerdict {
    /// Position in the file's node list, from 0.
    pub index: usize,
    pub name: String,
    pub op: String,
    /// Shape of the output in the file's layout, where it is known.
    pub shape: Option<Vec<usize>>,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    Supported {
        #[serde(rename = "as")]
        role: Role,
    },
    Unsupported {
        reason: String,
        /// What to do, where the reason does not say it.
        advice: Option<&'static str>,
    },
    /// Behind an unsupported node, so that its input is not known.
    Unchecked { reason: String },
}

impl Verdict {
    /// Of a node of the operator `op`, with what to do about such.
    #[must_use]
    pub fn unsupported(reason: String, op: &str) -> Self {
        Self::Unsupported { reason, advice: Some(operators::advice(op)) }
    }

    pub fn is_supported(&self) -> bool {
        matches!(self, Self::Supported { .. })
    }
}

/// What a supported node becomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Step,
    FoldedInto(String),
    Layout,
    ShapeArithmetic,
    Identity,
    RemovedSoftmax,
    RemovedEnd,
    Unused,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => f.write_str("int8 step"),
            Self::FoldedInto(name) => write!(f, "folded into {name}"),
            Self::Layout => f.write_str("layout only, removed at import"),
            Self::ShapeArithmetic => f.write_str("constant, computed at import"),
            Self::Identity => f.write_str("does nothing in inference, removed at import"),
            Self::RemovedSoftmax => f.write_str("final softmax, taken off the plan"),
            Self::RemovedEnd => f.write_str("at the end, taken off the plan"),
            Self::Unused => f.write_str("not needed for the output, removed at import"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Supported { role } => write!(f, "{role}"),
            Self::Unsupported { reason, .. } => write!(f, "unsupported: {reason}"),
            Self::Unchecked { reason } => write!(f, "not checked: {reason}"),
        }
    }
}

/// The verdicts on all nodes of a file.
#[derive(Debug)]
pub struct Checked {
    /// In the file's order.
    pub nodes: Vec<NodeVerdict>,
    /// What they become, if all are supported.
    pub graph: Option<Graph>,
    /// What is wrong with the network's end, where all are supported.
    pub problem: Option<ImportError>,
    /// Nodes that were joined to a later one, and that one.
    pub joined: Vec<(String, String)>,
}

impl OnnxFile {
    /// Judges every node.
    ///
    /// # Errors
    /// [`ImportError`] for a file without the input and outputs of a network.
    pub fn check(&self, options: &ImportOptions) -> Result<Checked, ImportError> {
        let begin = || {
            let requests = outputs::requested(self.model.graph(), options)?;
            let importer = self.importer(options, &requests)?;
            Ok((requests, importer))
        };
        let (requests, mut importer) = begin().map_err(|problem| self.error(problem))?;
        let nodes = self.verdicts(&mut importer, options, &requests);
        let joined = std::mem::take(&mut importer.joined);
        let (mut graph, mut problem) = (None, None);
        if nodes.iter().all(|node| node.verdict.is_supported()) {
            match outputs::finish(importer, &requests, false) {
                Ok(imported) => graph = Some(imported.graph),
                Err(error) => problem = Some(self.error(error)),
            }
        }
        Ok(Checked { nodes, graph, problem, joined })
    }

    /// One verdict for each node of the file. What is spelled as several nodes has the verdict of the last
    /// one, or of the first that is not supported.
    fn verdicts<'a>(
        &'a self,
        importer: &mut Importer<'a>,
        options: &ImportOptions,
        requests: &[OutputRequest],
    ) -> Vec<NodeVerdict> {
        let needed = outputs::needed_nodes(self.model.graph(), requests);
        let told = !options.outputs.is_empty();
        let mut verdicts: BTreeMap<usize, NodeVerdict> = BTreeMap::new();
        for (index, &origin) in self.model.origins.iter().enumerate() {
            let verdict = match needed[index] || !told {
                true => self.judge(index, importer),
                false => self.unused(index),
            };
            if verdicts.get(&origin).is_none_or(|before| before.verdict.is_supported()) {
                verdicts.insert(origin, verdict);
            }
        }
        verdicts.into_values().collect()
    }

    /// A node that none of the outputs asked for depends on.
    fn unused(&self, index: usize) -> NodeVerdict {
        let index = self.model.origins[index];
        let FileNode { name, op } = self.model.file_nodes[index].clone();
        let verdict = Verdict::Supported { role: Role::Unused };
        NodeVerdict { index, name, op, shape: None, verdict }
    }

    /// The verdict on node `index` of the canonical graph.
    fn judge<'a>(&'a self, index: usize, importer: &mut Importer<'a>) -> NodeVerdict {
        let node = self.node(index);
        let verdict = match self.translate(index, importer) {
            Ok(outcome) => Verdict::Supported { role: outcome.into() },
            Err(error) => {
                importer.skip(&node);
                let (reason, advice) = (error.problem.to_string(), error.advice());
                match error.problem {
                    NodeProblem::UnknownTensor { .. } => Verdict::Unchecked { reason },
                    _ => Verdict::Unsupported { reason, advice },
                }
            }
        };
        let shape = node.output().ok().and_then(|output| importer.tensor_shape(output));
        let index = self.model.origins[index];
        let FileNode { name, op } = self.model.file_nodes[index].clone();
        NodeVerdict { index, name, op, shape, verdict }
    }
}

impl From<Outcome> for Role {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Step => Self::Step,
            Outcome::Layout => Self::Layout,
            Outcome::Constant => Self::ShapeArithmetic,
            Outcome::Identity => Self::Identity,
            Outcome::Softmax => Self::RemovedSoftmax,
            Outcome::End => Self::RemovedEnd,
        }
    }
}
