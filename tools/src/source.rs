//! A float network ready to be quantized or to judge: imported, folded, lowered, and loaded into
//! tract twice, as given and folded.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fixnet::float::{FloatError, FloatModel};
use fixnet::format::FloatPartKind;
use fixnet::hybrid::{HybridError, HybridModel};
use fixnet::{KernelSet, Model};
use tract_onnx::pb::ModelProto;

use crate::attribution::Attribution;
use crate::compare::Subjects;
use crate::data::{InputSize, Recipe, RgbPixels};
use crate::fold;
use crate::graph::InputLayout;
use crate::import::{ImportOptions, Imported, InputTensor, OnnxFile};
use crate::lower::{self, Network};
use crate::output;
use crate::partition::{self, Part, Partition};
use crate::verify::{self, Computed, Reference, VerifyError};

/// The network that the program carries.
pub const BUNDLED_NAME: &str = "resnet20-cifar10";
/// Its ONNX file.
pub const BUNDLED: &[u8] = include_bytes!("../../models/resnet20-cifar10.onnx");

/// A float network in all the forms that the tools need.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    pub network: Network,
    pub layout: InputLayout,
    /// What stays in float before and behind `network`.
    pub head: Option<Part>,
    pub tail: Option<Part>,
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
        Self::of_onnx(OnnxFile::open(path)?, input_shape)
    }

    /// Loads an ONNX file of which a head or a tail stays in float.
    ///
    /// # Errors
    /// One line that names the file and the nodes that stand in the way.
    pub fn load_partitioned(path: &Path, input_shape: Option<Vec<usize>>) -> anyhow::Result<Self> {
        let partition = partition::partition(path, &ImportOptions { input_shape })?;
        let Partition { head, tail, folded, network, input, output, proto } = partition;
        let file = || path.display().to_string();
        let float = FloatModel::load(&proto, None, &input.shape, &[&output]).with_context(file)?;
        let inner = partition::inner(&folded, &network).with_context(file)?;
        let attribution = Attribution::new(proto.graph.as_ref(), &network);
        let source = Self {
            name: name_of(path),
            path: path.to_path_buf(),
            network,
            layout: input.layout,
            head,
            tail,
            float,
            inner,
            attribution,
            removed_softmax: None,
        };
        source.verify(&proto, &input, &output).with_context(file)?;
        Ok(source)
    }

    /// The network that the program carries.
    ///
    /// # Errors
    /// None but those of [`Source::load`].
    pub fn bundled() -> anyhow::Result<Self> {
        let path = PathBuf::from(format!("{BUNDLED_NAME}.onnx"));
        Self::of_onnx(OnnxFile::parse(&path, BUNDLED)?, None)
    }

    /// Loads an ONNX file, split as the model file is that was made from it.
    ///
    /// # Errors
    /// As [`Source::load`] and [`Source::load_partitioned`]; for a file that runs whole in float.
    pub fn load_as(
        model: &Model<'_>,
        onnx: &Path,
        input_shape: Option<Vec<usize>>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            model.float_part(FloatPartKind::Whole).is_none(),
            "{}: the model file runs it whole in float, by tract; there is no int8 beside it",
            onnx.display()
        );
        match model.float_parts().next() {
            Some(_) => Self::load_partitioned(onnx, input_shape),
            None => Self::load(onnx, input_shape),
        }
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
            Some(onnx) => Self::load_as(model, onnx, input_shape)?,
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
            "{}: was not made from {}; give its float network with --model MODEL.onnx",
            path.display(),
            source.name
        );
        Ok(source)
    }

    /// Errors of the import name the file themselves, all others get its name here.
    fn of_onnx(file: OnnxFile, input_shape: Option<Vec<usize>>) -> anyhow::Result<Self> {
        let imported = file.import(&ImportOptions { input_shape })?;
        let path = file.path().to_path_buf();
        let proto = file.into_proto()?;
        Self::new(&path, imported, proto).with_context(|| path.display().to_string())
    }

    fn new(path: &Path, imported: Imported, proto: ModelProto) -> anyhow::Result<Self> {
        let name = name_of(path);
        let outputs = [imported.output_name.as_str()];
        let float = FloatModel::load(&proto, None, &imported.input_shape, &outputs)?;
        let mut folded = fold::fold(&imported.graph)?;
        // Inside, everything is NCHW whatever the file's layout is.
        folded.input_layout = InputLayout::Nchw;
        let network = lower::lower(&folded)?;
        let attribution = Attribution::new(proto.graph.as_ref(), &network);
        let input = InputTensor {
            name: imported.input_name,
            shape: imported.input_shape,
            layout: imported.graph.input_layout,
        };
        drop(imported.graph);
        let inner = partition::inner(&folded, &network)?;
        drop(folded);
        let source = Self {
            name,
            path: path.to_path_buf(),
            network,
            layout: input.layout,
            head: None,
            tail: None,
            float,
            inner,
            attribution,
            removed_softmax: imported.removed_softmax,
        };
        source.verify(&proto, &input, &imported.output_name)?;
        Ok(source)
    }

    /// Holds what runs, head, trunk and tail in float, against the ONNX file.
    fn verify(
        &self,
        proto: &ModelProto,
        input: &InputTensor,
        output: &str,
    ) -> Result<(), VerifyError> {
        let reference = Reference {
            proto,
            input: &input.name,
            input_shape: &input.shape,
            layout: input.layout,
            output,
            float: &self.float,
        };
        verify::verify(&reference, |image| self.in_float(image))
    }

    /// What head, trunk and tail make of an image in HWC order, and the tensors of the trunk.
    fn in_float(&self, image: &[f32]) -> Result<Computed, FloatError> {
        let Network { tensors, input, output, .. } = &self.network;
        let trunk_input = match &self.head {
            Some(head) => head.run(image)?,
            None => image.to_vec(),
        };
        let mut session = self.inner.session();
        let to = session.input_mut();
        let values = verify::chw(&trunk_input, tensors[*input].shape);
        if to.len() != values.len() {
            return Err(FloatError::InputLength { needed: to.len(), available: values.len() });
        }
        to.copy_from_slice(&values);
        let outputs = session.run()?;
        let ids = (0..tensors.len()).filter(|id| id != input);
        let named = ids.clone().map(|id| tensors[id].name.clone()).zip(outputs);
        let mut named: Vec<(String, Vec<f32>)> = named.collect();
        let at = ids.clone().position(|id| id == *output);
        let trunk_output = at.map_or(&values, |at| &named[at].1);
        let trunk_output = verify::hwc(trunk_output, tensors[*output].shape);
        let scores = match &self.tail {
            Some(tail) => tail.run(&trunk_output)?,
            None => trunk_output,
        };
        if self.head.is_some() {
            named.push((tensors[*input].name.clone(), trunk_input));
        }
        Ok(Computed { scores, tensors: named })
    }

    /// This network and an int8 model of it, to be compared.
    ///
    /// # Errors
    /// [`HybridError`] if a float part of the model cannot be loaded.
    pub fn subjects<'a>(
        &'a self,
        model: Model<'a>,
        recipe: &'a Recipe,
        kernels: KernelSet,
    ) -> Result<Subjects<'a>, HybridError> {
        Ok(Subjects {
            model,
            hybrid: HybridModel::load(&model)?,
            head: self.head.as_ref(),
            network: &self.network,
            float: &self.float,
            inner: &self.inner,
            layout: self.layout,
            recipe,
            kernels,
        })
    }

    /// The ONNX file, as errors about it begin.
    #[must_use]
    pub fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// Height and width of the input.
    #[must_use]
    pub fn input_size(&self) -> InputSize {
        let [height, width, _] = match &self.head {
            Some(head) => head.input,
            None => self.network.tensors[self.network.input].shape,
        };
        InputSize { height, width }
    }

    /// Number of scores.
    #[must_use]
    pub fn classes(&self) -> usize {
        let shape = match &self.tail {
            Some(tail) => tail.output,
            None => self.network.tensors[self.network.output].shape,
        };
        shape.iter().product()
    }

    /// What the folded network takes for an image, NCHW.
    ///
    /// # Errors
    /// [`FloatError`] if the head fails.
    pub fn inner_input(&self, recipe: &Recipe, pixels: &RgbPixels) -> Result<Vec<f32>, FloatError> {
        match &self.head {
            Some(head) => head.trunk_input(recipe, pixels),
            None => Ok(recipe.float_input(pixels, InputLayout::Nchw)),
        }
    }
}

/// The name that a model file gets from the file it is made from.
#[must_use]
pub fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| output::escaped(&stem.to_string_lossy()))
}
