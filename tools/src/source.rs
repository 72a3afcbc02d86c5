//! A float network ready to be quantized or to judge: imported, folded, lowered, and loaded into
//! tract twice, as given and folded.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fixnet::float::FloatModel;
use fixnet::{KernelSet, Model};
use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::attribution::Attribution;
use crate::compare::Subjects;
use crate::data::{InputSize, Recipe};
use crate::graph::InputLayout;
use crate::import::{self, ImportOptions};
use crate::lower::{self, Network};
use crate::{fold, onnx_writer};

/// The network that the program carries.
pub const BUNDLED_NAME: &str = "resnet20-cifar10";
const BUNDLED: &[u8] = include_bytes!("../../models/resnet20-cifar10.onnx");

/// A float network in all the forms that the tools need.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub network: Network,
    pub layout: InputLayout,
    /// The file as given; its only output is the logits.
    pub float: FloatModel,
    /// The folded network, NCHW, with all tensors of `network` but the input as outputs.
    pub inner: FloatModel,
    /// The layer of each node of the file.
    pub attribution: Attribution,
    /// The Softmax that was taken off, if any.
    pub removed_softmax: Option<String>,
}

impl Source {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// One line that names the file and what to do.
    pub fn load(path: &Path, input_shape: Option<Vec<usize>>) -> anyhow::Result<Self> {
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let imported = import::load(path, &ImportOptions { input_shape })?;
        let bytes =
            std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::new(name, imported, &bytes, &folder).with_context(|| path.display().to_string())
    }

    /// The network that the program carries.
    ///
    /// # Errors
    /// None but those of [`Source::load`].
    pub fn bundled() -> anyhow::Result<Self> {
        let file = PathBuf::from(format!("{BUNDLED_NAME}.onnx"));
        let imported = import::load_bytes(&file, BUNDLED, &ImportOptions::default())?;
        Self::new(BUNDLED_NAME.to_string(), imported, BUNDLED, Path::new("."))
    }

    /// The float network that `model`, of the file `path`, was made from: `onnx`, or the bundled one.
    ///
    /// # Errors
    /// One line that says what to give.
    pub fn of_file(
        path: &Path,
        model: &Model<'_>,
        onnx: Option<&Path>,
        input_shape: Option<Vec<usize>>,
    ) -> anyhow::Result<Self> {
        let source = match onnx {
            Some(onnx) => Self::load(onnx, input_shape)?,
            None if model.name() == BUNDLED_NAME => Self::bundled()?,
            None => anyhow::bail!(
                "{}: the file does not hold the float network of {}; give it with --model MODEL.onnx",
                path.display(),
                model.name()
            ),
        };
        let file = model.layers().map(|layer| layer.name);
        anyhow::ensure!(
            file.eq(source.network.layers.iter().map(|layer| layer.name.as_str())),
            "{} was not made from {}; give its float network with --model MODEL.onnx",
            path.display(),
            source.name
        );
        Ok(source)
    }

    fn new(
        name: String,
        imported: import::Imported,
        bytes: &[u8],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let folder = folder.to_string_lossy();
        let folder = if folder.is_empty() { "." } else { &folder };
        let proto = ModelProto::decode(bytes)?;
        let outputs = [imported.output_name.as_str()];
        let float = FloatModel::load(&proto, Some(folder), &imported.input_shape, &outputs)?;
        let mut folded = fold::fold(&imported.graph)?;
        // Inside, everything is NCHW whatever the file's layout is.
        folded.input_layout = InputLayout::Nchw;
        let network = lower::lower(&folded)?;
        let attribution = Attribution::new(&proto.graph.unwrap_or_default(), &network);
        let layout = imported.graph.input_layout;
        drop(imported.graph);
        let proto = onnx_writer::to_onnx(&folded);
        drop(folded);
        let [height, width, channels] = network.tensors[network.input].shape;
        let ids = (0..network.tensors.len()).filter(|&t| t != network.input);
        let names: Vec<&str> = ids.map(|t| network.tensors[t].name.as_str()).collect();
        let inner = FloatModel::load(&proto, None, &[1, channels, height, width], &names)?;
        let removed_softmax = imported.removed_softmax;
        Ok(Self { name, layout, network, float, inner, attribution, removed_softmax })
    }

    /// This network and an int8 model of it, to be compared.
    #[must_use]
    pub fn subjects<'a>(
        &'a self,
        model: Model<'a>,
        recipe: &'a Recipe,
        kernels: KernelSet,
    ) -> Subjects<'a> {
        Subjects {
            model,
            network: &self.network,
            float: &self.float,
            inner: &self.inner,
            layout: self.layout,
            recipe,
            kernels,
        }
    }

    /// Height and width of the input.
    #[must_use]
    pub fn input_size(&self) -> InputSize {
        let [height, width, _] = self.network.tensors[self.network.input].shape;
        InputSize { height, width }
    }
}
