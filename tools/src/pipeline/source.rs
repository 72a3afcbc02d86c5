//! Where everything starts: an ONNX file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fixnet::Model;
use fixnet::format::FloatPartKind;

use super::{FloatOnly, Imported, Lowered, LoweredOutput, Original, PipelineError, Problem};
use crate::graph::GraphOutput;
use crate::import::{ImportOptions, ImportedOutput, InputTensor, OnnxFile};
use crate::onnx_reference::WholeFile;
use crate::output;
use crate::partition::{self, Partition};

/// The network that the program carries.
pub const BUNDLED_NAME: &str = "resnet20-cifar10";
/// Its ONNX file.
pub const BUNDLED: &[u8] = include_bytes!("../../../models/resnet20-cifar10.onnx");

/// An ONNX file, decoded.
#[derive(Debug)]
pub struct Source {
    /// What a model file that is made from it is called.
    pub name: String,
    pub file: OnnxFile,
}

impl Source {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// [`PipelineError::Import`] if it is none.
    pub fn open(path: &Path) -> Result<Self, PipelineError> {
        Ok(Self { name: name_of(path), file: OnnxFile::open(path)? })
    }

    /// The network whose file at `path` holds `bytes`; external data is looked for beside it.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, PipelineError> {
        Ok(Self { name: name_of(path), file: OnnxFile::parse(path, bytes)? })
    }

    /// The network that the program carries.
    ///
    /// # Errors
    /// None but those of [`Source::parse`].
    pub fn bundled() -> Result<Self, PipelineError> {
        Self::parse(&PathBuf::from(format!("{BUNDLED_NAME}.onnx")), BUNDLED)
    }

    /// The same network once more: stages consume what they are made from.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn again(&self) -> Result<Self, PipelineError> {
        Ok(Self { name: self.name.clone(), file: self.file.again()? })
    }

    /// Translates the network to a float graph.
    ///
    /// # Errors
    /// [`PipelineError`] naming the first node that has no such form.
    pub fn import(self, options: &ImportOptions) -> Result<Imported, PipelineError> {
        let Self { name, file } = self;
        let imported = file.import(options)?;
        let path = file.path().to_path_buf();
        let proto = file.into_proto()?;
        let input = InputTensor {
            name: imported.input_name,
            shape: imported.input_shape,
            layout: imported.graph.input_layout,
        };
        let (outputs, tells_outputs) = (imported.outputs, imported.tells_outputs);
        let original = Original { name, path, proto, input, outputs, tells_outputs };
        Ok(Imported { original, graph: imported.graph })
    }

    /// Imports, folds and lowers.
    ///
    /// # Errors
    /// Those of the three stages.
    pub fn lower(self, options: &ImportOptions) -> Result<Arc<Lowered>, PipelineError> {
        self.import(options)?.fold()?.lower()
    }

    /// Imports, folds and lowers the part that has an int8 form; what is before and behind it stays in
    /// float.
    ///
    /// # Errors
    /// [`PipelineError`] with the nodes that stand in the way.
    pub fn partition(self, options: &ImportOptions) -> Result<Arc<Lowered>, PipelineError> {
        let Self { name, file } = self;
        let path = file.path().to_path_buf();
        let whole = WholeFile::decode(&path, file.bytes());
        let partition = partition::partition(file, options)
            .map_err(|error| PipelineError::partition(&path, error))?;
        let Partition { head, tail, folded, network, input, output, proto } = partition;
        let outputs = vec![ImportedOutput::vector(output)];
        let original = Original { name, path, proto, input, outputs, tells_outputs: false };
        let outputs = LoweredOutput::of(&original, &[GraphOutput::scores(0)]);
        Lowered::new(original, outputs, folded, network, (head, tail), whole)
    }

    /// Imports, folds and lowers as it was done for `model`: whole, or the part between two ends that it
    /// has in float.
    ///
    /// # Errors
    /// As [`Source::lower`] and [`Source::partition`], and for a model file that runs it whole in float.
    pub fn lower_as(
        self,
        model: &Model<'_>,
        options: &ImportOptions,
    ) -> Result<Arc<Lowered>, PipelineError> {
        if model.float_part(FloatPartKind::Whole).is_some() {
            return Err(PipelineError::network(self.file.path(), Problem::WholeInFloat));
        }
        let options = &options.clone().for_outputs_of(model);
        match model.float_parts().next() {
            Some(_) => self.partition(options),
            None => self.lower(options),
        }
    }

    /// Takes the whole network as it is, to be run by tract.
    ///
    /// # Errors
    /// [`PipelineError`] if it does not lead from an image to scores, or tract refuses it.
    pub fn keep_float(self, options: &ImportOptions) -> Result<FloatOnly, PipelineError> {
        let Self { name, file } = self;
        let path = file.path().to_path_buf();
        match partition::whole(file, options) {
            Ok((part, unjudged)) => Ok(FloatOnly { name, path, part, unjudged }),
            Err(error) => Err(PipelineError::partition(&path, error)),
        }
    }
}

/// The name that a model file gets from the file it is made from.
#[must_use]
pub fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| output::escaped(&stem.to_string_lossy()))
}
