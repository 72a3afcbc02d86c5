//! ONNX file to [`Graph`].
//!
//! What may not be broken:
//! - The file is an allegation: nothing in it may cause a panic, an allocation larger than its own
//!   bytes justify, or a read outside its folder. Every refusal is one line that says what to do.
//! - The graph is in NCHW terms whatever the file's layout is. Transposes, reshapes and flattens
//!   become views, so a classifier behind a flatten in HWC order gets its columns permuted.
//! - The graph computes what the file computes, node by node: nothing is folded here except
//!   constants (see [`crate::fold`]). Only chains that merely spell one operator (`Mul` then `Add`,
//!   `Slice` then `Pad`) are joined.

mod arrange;
mod broadcast;
mod check;
mod constants;
mod error;
mod external;
mod input;
mod node;
mod part;
mod tensor;
mod translate;
mod view;

use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use crate::graph::{Graph, InputLayout, ValueId};

pub use check::{NodeVerdict, Role, Verdict, check};
pub use error::{ImportError, NodeError, NodeProblem, Problem, TensorProblem};
pub use part::{InputTensor, first_obstacle, inline_external, input_of, load_end, load_part};

use external::ModelFolder;
use node::OnnxNode;
use translate::{Activation, Importer};

/// Elements of one value: larger than any memory that fixnet can plan for.
pub(crate) const MAX_VALUE_ELEMENTS: usize = 1 << 26;
/// Length of a per-channel parameter.
pub(crate) const MAX_CHANNELS: usize = 1 << 20;

/// What a file may leave open.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Shape of the input for files with symbolic dimensions, with or without the batch.
    pub input_shape: Option<Vec<usize>>,
}

/// An imported network and its connection to the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub graph: Graph,
    /// Name of the file's input tensor.
    pub input_name: String,
    /// Shape of the file's input tensor, in the file's layout, with a batch of 1.
    pub input_shape: Vec<usize>,
    /// Tensor of the file that holds the logits: the last one before a removed Softmax.
    pub output_name: String,
    /// Layout of that tensor if it is a feature map, as only a part of a network ends in.
    pub output_layout: Option<InputLayout>,
    /// Name of the final Softmax or LogSoftmax node that was taken off.
    pub removed_softmax: Option<String>,
}

/// Reads and translates the model at `path`.
pub fn load(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
    in_file(path, |file| file.import(options))
}

/// Translates the model whose file at `path` holds `bytes`; errors and external data are relative
/// to `path`.
pub fn load_bytes(
    path: &Path,
    bytes: &[u8],
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let file = ModelFile::parse(path, bytes);
    file.and_then(|file| file.import(options))
        .map_err(|problem| ImportError { path: PathBuf::from(path), problem })
}

/// A decoded model file.
struct ModelFile {
    graph: GraphProto,
    opset: i64,
    folder: ModelFolder,
}

fn in_file<T>(
    path: &Path,
    work: impl FnOnce(&ModelFile) -> Result<T, Problem>,
) -> Result<T, ImportError> {
    let file = ModelFile::read(path);
    file.and_then(|file| work(&file))
        .map_err(|problem| ImportError { path: PathBuf::from(path), problem })
}

impl ModelFile {
    fn read(path: &Path) -> Result<Self, Problem> {
        Self::parse(path, &std::fs::read(path).map_err(Problem::Read)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Problem> {
        let damaged = |reason: String| Problem::NotOnnx { reason };
        let model = ModelProto::decode(bytes)
            .map_err(|e| damaged(e.to_string().escape_debug().to_string()))?;
        Self::of_proto(path, model)
    }

    fn of_proto(path: &Path, model: ModelProto) -> Result<Self, Problem> {
        let damaged = |reason: String| Problem::NotOnnx { reason };
        let default_domain = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        let opset = model.opset_import.iter().find(|set| default_domain(&set.domain));
        let opset = opset.ok_or_else(|| damaged("it names no ONNX operator set".into()))?.version;
        let graph = model.graph.ok_or_else(|| damaged("it holds no graph".into()))?;
        if graph.node.is_empty() {
            return Err(damaged("its graph has no nodes".into()));
        }
        Ok(Self { graph, opset, folder: ModelFolder::of(path) })
    }

    fn import(&self, options: &ImportOptions) -> Result<Imported, Problem> {
        let mut importer = self.importer(options)?;
        for index in 0..self.graph.node.len() {
            self.translate(index, &mut importer).map_err(Problem::Node)?;
        }
        finish(&self.graph, importer)
    }

    fn importer(&self, options: &ImportOptions) -> Result<Importer<'_>, Problem> {
        let input = input::find(&self.graph, options)?;
        let output = single_output(&self.graph)?;
        Ok(Importer::new(&self.graph, &self.folder, input, output))
    }

    fn node(&self, index: usize) -> OnnxNode<'_> {
        OnnxNode { proto: &self.graph.node[index], opset: self.opset }
    }

    fn translate<'a>(
        &'a self,
        index: usize,
        importer: &mut Importer<'a>,
    ) -> Result<translate::Outcome, Box<NodeError>> {
        let node = self.node(index);
        let result = importer.translate(&node);
        let place = |problem| NodeError {
            index,
            name: node.name().to_string(),
            op: node.op().to_string(),
            input_shapes: importer.input_shapes(&node),
            problem,
        };
        result.map_err(|problem| Box::new(place(problem)))
    }
}

/// Names for an error line, a few of them.
fn name_list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 4;
    let mut quoted: Vec<String> = names.take(SHOWN + 1).map(|name| format!("{name:?}")).collect();
    if quoted.len() > SHOWN {
        quoted[SHOWN] = "...".to_string();
    }
    quoted.join(", ")
}

fn single_output(graph: &GraphProto) -> Result<&str, Problem> {
    match graph.output.as_slice() {
        [output] => Ok(&output.name),
        outputs => Err(Problem::OutputCount {
            count: outputs.len(),
            names: name_list(outputs.iter().map(|o| o.name.as_str())),
        }),
    }
}

/// The graph's end: the output as a vector, then only what it depends on.
fn finish(graph: &GraphProto, mut importer: Importer<'_>) -> Result<Imported, Problem> {
    let name = single_output(graph)?;
    let end = importer.output(name)?;
    let output = logits(&mut importer, name, &end)?;
    let output_name = importer.file_tensor(&end, output);
    let (mut graph, input_shape) = importer.into_graph(output);
    graph.retain_live();
    Ok(Imported {
        input_name: graph.values[graph.input].name.clone(),
        output_name,
        output_layout: None,
        removed_softmax: end.softmax.clone(),
        input_shape,
        graph,
    })
}

fn logits(importer: &mut Importer<'_>, name: &str, end: &Activation) -> Result<ValueId, Problem> {
    let not_vector =
        || Problem::OutputNotVector { name: name.to_string(), shape: end.view.shape() };
    let order = end.view.flat_order().ok_or_else(not_vector)?;
    if !view::in_graph_order(order) {
        return Err(not_vector());
    }
    importer.as_vector(end, name).map_err(|_| not_vector())
}
