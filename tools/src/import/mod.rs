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
mod budget;
mod canonical;
mod check;
mod constants;
mod error;
mod external;
mod input;
mod node;
pub(crate) mod operators;
mod outputs;
mod part;
mod tensor;
mod translate;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use crate::files;
use crate::graph::Graph;

pub(crate) use canonical::reads;
pub use check::{Checked, NodeVerdict, Role, Verdict};
pub use error::{ImportError, NodeError, NodeProblem, Problem, TensorProblem};
pub(crate) use external::ModelFolder;
pub use external::external_files;
pub use operators::page as operators_page;
pub use outputs::{ImportedOutput, OutputRequest};
pub use part::{InputTensor, first_unsupported, load_part};
pub(crate) use tensor::{Data, Tensor, inline};

use canonical::Canonical;
use node::OnnxNode;
use translate::Importer;

/// Elements of one value: larger than any memory that fixnet can plan for.
pub(crate) const MAX_VALUE_ELEMENTS: usize = 1 << 26;
/// Length of a per-channel parameter.
pub(crate) const MAX_CHANNELS: usize = 1 << 20;

/// Whether `node`, a Softmax or LogSoftmax of operator set `opset`, normalizes all elements of a tensor
/// of `shape` together.
pub(crate) fn softmax_is_over(
    node: &NodeProto,
    opset: i64,
    shape: &[usize],
) -> Result<bool, NodeProblem> {
    OnnxNode { proto: node, opset }.softmax_is_over(shape)
}

/// What a file may leave open.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Shape of the input for files with symbolic dimensions, with or without the batch.
    pub input_shape: Option<Vec<usize>>,
    /// The outputs that are wanted; empty: all.
    pub outputs: Vec<OutputRequest>,
}

/// An imported network and its connection to the file.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedGraph {
    pub graph: Graph,
    /// Name of the file's input tensor.
    pub input_name: String,
    /// Shape of the file's input tensor, in the file's layout, with a batch of 1.
    pub input_shape: Vec<usize>,
    /// In the order of the graph's.
    pub outputs: Vec<ImportedOutput>,
    /// Whether there is more to be said of the outputs than that one is a vector of scores.
    pub tells_outputs: bool,
}

/// Reads and translates the model at `path`.
pub fn load(path: &Path, options: &ImportOptions) -> Result<ImportedGraph, ImportError> {
    OnnxFile::open(path)?.import(options)
}

/// A model file, decoded and in the canonical form that the importer and tract read alike.
#[derive(Debug)]
pub struct OnnxFile {
    path: PathBuf,
    /// The file as it is.
    bytes: Arc<Vec<u8>>,
    model: Canonical,
}

impl OnnxFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ImportError`] if it is no ONNX model; what is wrong with its nodes is said when they are used.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let bytes = files::read(path, files::ONNX).map_err(Problem::Read);
        let bytes = bytes.map_err(|problem| ImportError { path: path.to_path_buf(), problem })?;
        Self::decode(path, Arc::new(bytes))
    }

    /// The model whose file at `path` holds `bytes`; errors and external data are relative to `path`.
    ///
    /// # Errors
    /// As [`OnnxFile::open`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ImportError> {
        Self::decode(path, Arc::new(bytes.to_vec()))
    }

    /// The same file once more, for whoever gives one away.
    ///
    /// # Errors
    /// As [`OnnxFile::open`].
    pub fn again(&self) -> Result<Self, ImportError> {
        Self::decode(&self.path, Arc::clone(&self.bytes))
    }

    fn decode(path: &Path, bytes: Arc<Vec<u8>>) -> Result<Self, ImportError> {
        let damaged = |reason: String| Problem::NotOnnx { reason };
        let model = ModelProto::decode(bytes.as_slice())
            .map_err(|e| damaged(e.to_string().escape_debug().to_string()))
            .and_then(|model| Canonical::new(model, &ModelFolder::containing(path)));
        Self::for_file(path, bytes, model)
    }

    /// A model that was cut out of a canonical one.
    fn part(path: &Path, model: ModelProto) -> Result<Self, ImportError> {
        Self::for_file(path, Arc::default(), Canonical::assumed(model))
    }

    fn for_file(
        path: &Path,
        bytes: Arc<Vec<u8>>,
        model: Result<Canonical, Problem>,
    ) -> Result<Self, ImportError> {
        let path = path.to_path_buf();
        match model {
            Ok(model) => Ok(Self { path, bytes, model }),
            Err(problem) => Err(ImportError { path, problem }),
        }
    }

    /// The file as it is.
    #[must_use]
    pub fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, problem: Problem) -> ImportError {
        ImportError { path: self.path.clone(), problem }
    }

    /// The model in its canonical form, which holds all of its weights.
    ///
    /// # Errors
    /// [`ImportError`] naming the first node that has no such form.
    pub fn proto(&self) -> Result<&ModelProto, ImportError> {
        match self.model.first_refused() {
            None => Ok(&self.model.proto),
            Some(node) => Err(self.error(Problem::Node(Box::new(node)))),
        }
    }

    /// The same, for whoever needs nothing else of the file.
    ///
    /// # Errors
    /// As [`OnnxFile::proto`].
    pub fn into_proto(self) -> Result<ModelProto, ImportError> {
        self.proto()?;
        Ok(self.model.proto)
    }

    /// Translates the whole network.
    ///
    /// # Errors
    /// [`ImportError`] naming the first node that cannot be translated.
    pub fn import(&self, options: &ImportOptions) -> Result<ImportedGraph, ImportError> {
        let work = || {
            let requests = outputs::requested(self.model.graph(), options)?;
            let mut importer = self.importer(options, &requests)?;
            let told = !options.outputs.is_empty();
            let needed = outputs::needed_nodes(self.model.graph(), &requests);
            for (index, needed) in needed.into_iter().enumerate() {
                // Where some outputs are asked for, what the others need is nobody's.
                if needed || !told {
                    let spared = || outputs::spared(self.model.graph(), &requests, index);
                    self.translate(index, &mut importer).map_err(|mut error| {
                        error.spared = spared();
                        Problem::Node(error)
                    })?;
                }
            }
            outputs::finish(importer, &requests, told)
        };
        work().map_err(|problem| self.error(problem))
    }

    fn importer(
        &self,
        options: &ImportOptions,
        requests: &[OutputRequest],
    ) -> Result<Importer<'_>, Problem> {
        let graph = self.model.graph();
        let input = input::find(graph, options)?;
        let ends = outputs::at_the_ends(graph, requests);
        Ok(Importer::new(graph, input, Some(ends)))
    }

    fn node(&self, index: usize) -> OnnxNode<'_> {
        OnnxNode { proto: &self.model.graph().node[index], opset: self.model.opset }
    }

    /// Translates the node `index` of the canonical graph; errors name the node of the file.
    fn translate<'a>(
        &'a self,
        index: usize,
        importer: &mut Importer<'a>,
    ) -> Result<translate::Outcome, Box<NodeError>> {
        let origin = self.model.origins[index];
        let node = self.node(index);
        let result = match self.model.refused.get(&origin) {
            Some(problem) => Err(problem.clone()),
            None => importer.translate(&node),
        };
        let place = |problem| self.model.error(origin, importer.input_shapes(&node), problem);
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
        outputs => Err(Problem::SeveralOutputs {
            count: outputs.len(),
            names: name_list(outputs.iter().map(|o| o.name.as_str())),
        }),
    }
}
