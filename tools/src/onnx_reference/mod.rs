//! The operators of ONNX as their specification has them: an independent run of a whole file, which judges what
//! was imported and what runs in float.
//!
//! What may not be broken: nothing here is shared with the import, the canonical form or tract but how the bytes
//! of a file become tensors; code is naive and follows the specification. An operator or a spelling that is not
//! known is said to be so, never guessed: its value is then what the judged side gives, and the node is named.

mod elementwise;
mod shapes;
mod windows;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

use crate::import::{Data, ModelFolder, Tensor, inline};

/// A file, decoded and no more than that.
#[derive(Debug)]
pub(crate) struct WholeFile {
    graph: GraphProto,
    opset: i64,
}

/// What a run of a file gave.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Every tensor that was computed, by its name.
    pub tensors: HashMap<String, Tensor>,
    /// Name and operator of the nodes that are not known here.
    pub unknown: Vec<(String, String)>,
}

/// A node whose operator, or whose spelling, is not known; its inputs may be at fault, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown;

pub(super) type Computed = Result<Tensor, Unknown>;

/// A node with the values that it reads; none for one that is left out.
pub(super) struct Call<'a> {
    node: &'a NodeProto,
    opset: i64,
    inputs: Vec<Option<&'a Tensor>>,
}

impl WholeFile {
    /// The file of these bytes, whose external data lies beside `path`; none if it cannot be read as it is.
    pub fn decode(path: &Path, bytes: &[u8]) -> Option<Self> {
        let model = ModelProto::decode(bytes).ok()?;
        let is_default = |domain: &str| matches!(domain, "" | "ai.onnx");
        let opset = model.opset_import.iter().find(|set| is_default(&set.domain))?.version;
        let mut graph = model.graph?;
        let folder = ModelFolder::containing(path);
        for tensor in &mut graph.initializer {
            inline(tensor, &folder).ok()?;
        }
        Some(Self { graph, opset })
    }

    /// Runs the file on `input`, of `shape` in its layout, up to `output`; `given` has the first output of a node
    /// that is not known.
    pub fn run(
        &self,
        (name, input, shape): (&str, &[f32], &[usize]),
        output: &str,
        given: impl Fn(&str) -> Option<Tensor>,
    ) -> Run {
        let mut run = Run::default();
        let data = Data::Float(input.to_vec());
        run.tensors.insert(name.to_string(), Tensor { shape: shape.to_vec(), data });
        for proto in &self.graph.initializer {
            if let Ok(tensor) = Tensor::read(proto) {
                run.tensors.insert(proto.name.clone(), tensor);
            }
        }
        let needed = self.needed(output);
        let mut waiting: Vec<usize> =
            (0..self.graph.node.len()).filter(|i| needed.contains(i)).collect();
        // Nodes may stand in any order.
        loop {
            let before = waiting.len();
            waiting.retain(|&index| !self.step(&self.graph.node[index], &mut run, &given));
            if waiting.is_empty() || waiting.len() == before {
                run.unknown.extend(waiting.iter().map(|&index| names(&self.graph.node[index])));
                return run;
            }
        }
    }

    /// Runs a node whose inputs are there.
    fn step(
        &self,
        node: &NodeProto,
        run: &mut Run,
        given: &impl Fn(&str) -> Option<Tensor>,
    ) -> bool {
        let ready = |name: &String| name.is_empty() || run.tensors.contains_key(name);
        if !node.input.iter().all(ready) {
            return false;
        }
        let Some(output) = node.output.first() else { return true };
        let inputs = node.input.iter().map(|name| run.tensors.get(name)).collect();
        let call = Call { node, opset: self.opset, inputs };
        let computed = match node.domain.as_str() {
            "" | "ai.onnx" => call.compute(),
            _ => Err(Unknown),
        };
        let tensor = match computed {
            Ok(tensor) => Some(tensor),
            Err(Unknown) => {
                run.unknown.push(names(node));
                given(output)
            }
        };
        run.tensors.extend(tensor.map(|tensor| (output.clone(), tensor)));
        true
    }

    /// The nodes that `output` depends on.
    fn needed(&self, output: &str) -> HashSet<usize> {
        let nodes = &self.graph.node;
        let written = nodes
            .iter()
            .enumerate()
            .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)));
        let writers: HashMap<&str, usize> = written.collect();
        let (mut needed, mut open) = (HashSet::new(), vec![output]);
        while let Some(name) = open.pop() {
            if let Some(&index) = writers.get(name)
                && needed.insert(index)
            {
                open.extend(nodes[index].input.iter().map(String::as_str));
            }
        }
        needed
    }
}

fn names(node: &NodeProto) -> (String, String) {
    let output = || node.output.first().cloned().unwrap_or_default();
    let name = if node.name.is_empty() { output() } else { node.name.clone() };
    (name, node.op_type.clone())
}

impl<'a> Call<'a> {
    fn compute(&self) -> Computed {
        let known = [elementwise::compute, windows::compute, shapes::compute];
        known.iter().find_map(|compute| compute(self)).unwrap_or(Err(Unknown))
    }

    fn op(&self) -> &'a str {
        &self.node.op_type
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    fn float(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attribute(name).map_or(default, |attribute| attribute.f))
    }

    fn text(&self, name: &str) -> &'a [u8] {
        self.attribute(name).map_or(b"", |attribute| attribute.s.as_slice())
    }

    fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.inputs.get(index).copied().flatten()
    }

    fn input(&self, index: usize) -> Result<&'a Tensor, Unknown> {
        self.optional(index).ok_or(Unknown)
    }

    /// A float input and its shape.
    fn floats(&self, index: usize) -> Result<(&'a [f32], &'a [usize]), Unknown> {
        let tensor = self.input(index)?;
        match &tensor.data {
            Data::Float(values) if values.len() == tensor.shape.iter().product::<usize>() => {
                Ok((values, &tensor.shape))
            }
            _ => Err(Unknown),
        }
    }

    /// Integers of an input, or of the attribute that older operator sets had instead.
    fn ints(&self, index: usize, attribute: &str) -> Result<Option<Vec<i64>>, Unknown> {
        match (self.optional(index), self.attribute(attribute)) {
            (Some(tensor), _) => Ok(Some(tensor.as_ints().ok_or(Unknown)?.to_vec())),
            (None, Some(attribute)) => Ok(Some(attribute.ints.clone())),
            (None, None) => Ok(None),
        }
    }
}

/// A float tensor.
fn floats(shape: Vec<usize>, values: Vec<f32>) -> Tensor {
    Tensor { shape, data: Data::Float(values) }
}

/// `axis`, which may count from the end.
fn axis_of(axis: i64, rank: usize) -> Result<usize, Unknown> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank).ok_or(Unknown)
}

/// Steps between neighbours along each axis.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// All indices of a tensor of `shape`, in order.
fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let strides = strides(shape);
    (0..shape.iter().product()).map(move |at: usize| {
        strides.iter().zip(shape).map(|(stride, size)| at / stride % size).collect()
    })
}
