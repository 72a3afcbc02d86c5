//! Importing a part of a file: what stands between two tensors of a network.

use std::path::Path;

use tract_onnx::pb::{GraphProto, ModelProto};

use super::translate::Activation;
use super::view::{NCHW, NHWC, View};
use super::{
    ImportError, ImportOptions, ImportedGraph, ImportedOutput, Importer, NodeError, OnnxFile,
    Problem, input, name_list, outputs, single_output,
};
use crate::graph::{GraphOutput, InputLayout, ValueId};

/// The file's input tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTensor {
    pub name: String,
    /// In the file's layout, with a batch of 1.
    pub shape: Vec<usize>,
    pub layout: InputLayout,
}

impl OnnxFile {
    /// For a part, whose ends are what they are.
    fn part_importer(&self) -> Result<Importer<'_>, Problem> {
        let graph = self.model.graph();
        single_output(graph)?;
        Ok(Importer::new(graph, input::find(graph, &ImportOptions::default())?, None))
    }

    /// The model's input.
    ///
    /// # Errors
    /// [`ImportError`] if there is not exactly one, of a fixed shape.
    pub fn input(&self, options: &ImportOptions) -> Result<InputTensor, ImportError> {
        let graph = self.model.graph();
        let found = input::find(graph, options).and_then(|input| {
            if let requests @ ([] | [_, _, ..]) = outputs::requested(graph, options)?.as_slice() {
                let names = name_list(requests.iter().map(|request| request.name.as_str()));
                return Err(Problem::SeveralOutputs { count: requests.len(), names });
            }
            Ok(InputTensor { name: input.name, shape: input.shape, layout: input.layout })
        });
        found.map_err(|problem| self.error(problem))
    }
}

/// The first node of `proto`, cut from the canonical model of the file `path`, that cannot be imported;
/// none if all can.
///
/// # Errors
/// [`ImportError`] if the part's input is nothing that a network can start from.
pub fn first_unsupported(
    path: &Path,
    proto: &ModelProto,
) -> Result<Option<Box<NodeError>>, ImportError> {
    let file = OnnxFile::part(path, proto.clone())?;
    let mut importer = file.part_importer().map_err(|problem| file.error(problem))?;
    let nodes = 0..file.model.graph().node.len();
    Ok(nodes.into_iter().find_map(|index| file.translate(index, &mut importer).err()))
}

/// Imports the part `proto`, cut from the canonical model of the file `path`, which may end in a feature
/// map.
///
/// # Errors
/// [`ImportError`] as for a whole file, and if the part ends in a Softmax, or in a tensor whose
/// elements lie in another order than the graph's.
pub fn load_part(path: &Path, proto: &ModelProto) -> Result<ImportedGraph, ImportError> {
    let file = OnnxFile::part(path, proto.clone())?;
    let work = || {
        let mut importer = file.part_importer()?;
        for index in 0..file.model.graph().node.len() {
            file.translate(index, &mut importer).map_err(Problem::Node)?;
        }
        open_end(file.model.graph(), importer)
    };
    work().map_err(|problem| file.error(problem))
}

/// The part up to its output, whatever shape that has.
fn open_end(graph: &GraphProto, mut importer: Importer<'_>) -> Result<ImportedGraph, Problem> {
    let name = single_output(graph)?;
    let end = importer.output(name)?;
    let shape = end.view.shape();
    let not_whole = || Problem::OutputOrder { name: name.to_string(), shape: shape.clone() };
    let (output, layout) = part_output(&mut importer, name, &end).ok_or_else(not_whole)?;
    let (mut graph, input_shape) = importer.into_graph();
    graph.outputs = vec![GraphOutput::scores(output)];
    graph.remove_dead_nodes();
    Ok(ImportedGraph {
        input_name: graph.values[graph.input].name.clone(),
        outputs: vec![ImportedOutput { layout, ..ImportedOutput::vector(name.to_string()) }],
        tells_outputs: false,
        input_shape,
        graph,
    })
}

fn part_output(
    importer: &mut Importer<'_>,
    name: &str,
    end: &Activation,
) -> Option<(ValueId, Option<InputLayout>)> {
    if end.end.is_some() {
        return None;
    }
    let View { sizes, .. } = end.view;
    if sizes[1..] == [1, 1] {
        // One element a channel: every order is the same.
        return Some((importer.as_vector(end, name).ok()?, None));
    }
    let layout = match end.view.image_order()? {
        NCHW => InputLayout::Nchw,
        NHWC => InputLayout::Nhwc,
        _ => return None,
    };
    Some((end.value, Some(layout)))
}
