//! A float network ready to be quantized and to judge: layers, and the same network in tract twice, as
//! given and folded.

use std::path::PathBuf;
use std::sync::Arc;

use fixnet::float::{FloatError, FloatModel};
use fixnet::format::{Limits, OutputFunction, OutputKind, OutputSpec, Selection};
use fixnet::hybrid::HybridModel;
use fixnet::{Model, ModelError};
use values::order;

use super::{Original, PipelineError, Progress, Stage};
use crate::attribution::Attribution;
use crate::compare::{self, CompareError, CompareOptions, Comparison, Subjects};
use crate::data::{Content, InputShape, Wanted};
use crate::graph::{Graph, GraphOutput, InputLayout};
use crate::images::Images;
use crate::lower::Network;
use crate::onnx_reference::WholeFile;
use crate::output;
use crate::partition::{self, FloatNode, Part};
use crate::plan::Demand;
use crate::quantize;
use crate::verify::{self, Computed, Reference, Unjudged, VerifyError};

/// A float network in all the forms that later stages need.
#[derive(Debug)]
pub struct Lowered {
    /// What a model file that is made from it is called.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    pub network: Network,
    /// Of the file's input.
    pub layout: InputLayout,
    /// What stays in float before and behind `network`.
    pub head: Option<Part>,
    pub tail: Option<Part>,
    /// What it gives, in the order of the network's outputs.
    pub outputs: Vec<LoweredOutput>,
    /// Whether a model file says more of them than that there is one vector of scores.
    pub tells_outputs: bool,
    /// The file as given; it has these outputs, before what was taken off.
    pub float: FloatModel,
    /// The folded network, NCHW, with all tensors of `network` but the input as outputs.
    pub inner: FloatModel,
    /// The layer of each node of the file.
    pub attribution: Attribution,
    /// Name and operator of nodes of float parts that tract alone has computed: what judges it does not know them.
    pub unjudged: Vec<(String, String)>,
}

/// An output of the network, and of the ONNX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredOutput {
    /// As the file calls it.
    pub name: String,
    pub kind: OutputKind,
    pub function: OutputFunction,
    pub selection: Selection,
    /// Values that a selection gives; 0 without one.
    pub count: usize,
    /// Layout of the file's tensor if that is a feature map.
    pub layout: Option<InputLayout>,
    /// Name of the node that was taken off.
    pub removed: Option<String>,
}

impl LoweredOutput {
    pub(super) fn of(original: &Original, outputs: &[GraphOutput]) -> Vec<Self> {
        let both = original.outputs.iter().zip(outputs);
        both.map(|(imported, output)| Self {
            name: imported.name.clone(),
            kind: output.kind,
            function: output.function,
            selection: output.selection,
            count: output.count,
            layout: imported.layout,
            removed: imported.removed.clone(),
        })
        .collect()
    }

    /// Values of the file's tensor, of height, width and channels `shape`, in HWC order.
    #[must_use]
    pub fn hwc(&self, values: Vec<f32>, shape: [usize; 3]) -> Vec<f32> {
        let fits = values.len() == shape.iter().product::<usize>();
        match self.layout {
            Some(InputLayout::Nchw) if fits => order::hwc(&values, shape),
            _ => values,
        }
    }
}

impl Lowered {
    /// Loads the folded `graph` into tract beside the original, and verifies what was made of it; `whole` is the
    /// file as given, where tract is to be judged as well.
    pub(super) fn new(
        original: Original,
        outputs: Vec<LoweredOutput>,
        graph: Graph,
        network: Network,
        (head, tail): (Option<Part>, Option<Part>),
        whole: Option<WholeFile>,
    ) -> Result<Arc<Self>, PipelineError> {
        let Original { name, path, proto, input, outputs: imported, tells_outputs } = original;
        // Before tract takes its time.
        quantize::check_records(&network).map_err(|error| PipelineError::network(&path, error))?;
        let taps: Vec<&str> = imported.iter().map(|output| output.tensor.as_str()).collect();
        let float = FloatModel::load(&proto, None, &input.shape, &taps)
            .map_err(|error| PipelineError::network(&path, error))?;
        let attribution = Attribution::new(proto.graph.as_ref(), &network);
        let inner = partition::inner(&graph, &network)
            .map_err(|error| PipelineError::network(&path, error))?;
        drop(graph);
        let layout = input.layout;
        let mut lowered = Self {
            name,
            path,
            network,
            layout,
            head,
            tail,
            float,
            inner,
            attribution,
            outputs,
            tells_outputs,
            unjudged: Vec::new(),
        };
        let reference = Reference {
            proto: &proto,
            input: &input.name,
            input_shape: &input.shape,
            layout,
            outputs: taps,
            float: &lowered.float,
            whole: whole.as_ref(),
        };
        match lowered.verify(&reference) {
            Ok(unjudged) => {
                // A file that cannot be read as it is judges nothing.
                lowered.unjudged = match whole {
                    Some(_) => unjudged,
                    None => partition::names_of(lowered.float_nodes()),
                };
                Ok(Arc::new(lowered))
            }
            Err(error) => Err(PipelineError::network(&lowered.path, error)),
        }
    }

    /// Holds what runs, head, layers and tail in float, against the ONNX file.
    fn verify(&self, reference: &Reference<'_>) -> Result<Unjudged, VerifyError> {
        let in_order = |expected| self.in_hwc(expected);
        verify::verify(reference, in_order, |image| self.in_float(image))
    }

    /// What the file gives, in HWC order: values of the tensors of [`Lowered::float`].
    #[must_use]
    pub fn in_hwc(&self, values: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        let outputs = self.outputs.iter().zip(&self.network.outputs).zip(values);
        let hwc = outputs.map(|((output, &tensor), values)| {
            output.hwc(values, self.network.tensors[tensor].shape)
        });
        hwc.collect()
    }

    /// What head, layers and tail make of an image in HWC order, and the tensors between the layers.
    fn in_float(&self, image: &[f32]) -> Result<Computed, FloatError> {
        let Network { tensors, input, outputs, .. } = &self.network;
        let inner_input = match &self.head {
            Some(head) => head.run(image)?,
            None => image.to_vec(),
        };
        let mut session = self.inner.session();
        let to = session.input_mut();
        let values = order::chw(&inner_input, tensors[*input].shape);
        if to.len() != values.len() {
            return Err(FloatError::InputLength { needed: to.len(), available: values.len() });
        }
        to.copy_from_slice(&values);
        let inner = session.run()?;
        let ids = (0..tensors.len()).filter(|id| id != input);
        let named = ids.clone().map(|id| tensors[id].name.clone()).zip(inner);
        let mut named: Vec<(String, Vec<f32>)> = named.collect();
        let mut given = Vec::with_capacity(outputs.len());
        for output in outputs {
            let at = ids.clone().position(|id| id == *output);
            let inner_output = at.map_or(&values, |at| &named[at].1);
            let inner_output = order::hwc(inner_output, tensors[*output].shape);
            given.push(match &self.tail {
                Some(tail) => tail.run(&inner_output)?,
                None => inner_output,
            });
        }
        if self.head.is_some() {
            named.push((tensors[*input].name.clone(), inner_input));
        }
        Ok(Computed { outputs: given, tensors: named })
    }

    /// Compares with `model`, which was made from this network and holds every tensor whole.
    ///
    /// # Errors
    /// [`CompareError`]: the first image that fails, by index, or what does not fit together.
    pub fn compare(
        &self,
        model: Model<'_>,
        images: &Images,
        options: &CompareOptions,
        progress: &dyn Progress,
    ) -> Result<Comparison, CompareError> {
        let subjects = Subjects {
            model,
            hybrid: HybridModel::load(&model)?,
            head: self.head.as_ref(),
            network: &self.network,
            float: &self.float,
            outputs: &self.outputs,
            inner: &self.inner,
            layout: self.layout,
            wanted: Wanted::by(&model),
            kernels: options.kernels,
        };
        progress.begin(Stage::Compare, images.len());
        let comparison =
            compare::compare(&subjects, images, options.layer_images, || progress.advance());
        progress.end();
        comparison
    }

    /// What a model file of the network takes, but for parts in float.
    #[must_use]
    pub fn demand(&self) -> Demand {
        Demand::new(&self.network)
    }

    /// Refuses a network whose model file a reader with these limits refuses, before any image is read.
    ///
    /// # Errors
    /// [`PipelineError`] with the figures.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), PipelineError> {
        let parts = self.head.iter().chain(&self.tail).map(Part::macs);
        let too_much = parts.filter(|&needed| needed > limits.macs).map(|needed| {
            let limit = limits.macs;
            Err(ModelError::TooMuchWork { needed, limit })
        });
        let checked = self.demand().check(limits);
        std::iter::once(checked)
            .chain(too_much)
            .collect::<Result<(), _>>()
            .map_err(|error| PipelineError::network(&self.path, error))
    }

    /// The nodes that stay in float.
    pub fn float_nodes(&self) -> impl Iterator<Item = &FloatNode> {
        self.head.iter().chain(&self.tail).flat_map(|part| &part.nodes)
    }

    /// Height, width and channels of the input.
    #[must_use]
    pub fn input_shape(&self) -> InputShape {
        let shape = match &self.head {
            Some(head) => head.input,
            None => self.network.tensors[self.network.input].shape,
        };
        shape.into()
    }

    /// Number of classes that the first output tells apart, as [`Model::classes`] of a file says it.
    #[must_use]
    pub fn classes(&self) -> usize {
        let shape = match &self.tail {
            Some(tail) => tail.output,
            None => self.network.tensors[self.network.first_output()].shape,
        };
        let elements: usize = shape.iter().product();
        match self.outputs.first().map(|output| output.kind) {
            None | Some(OutputKind::Scores | OutputKind::Index) => elements,
            Some(OutputKind::Probability) => elements.max(2),
            Some(_) => 0,
        }
    }

    /// What a model file says of the outputs; nothing of one vector of scores.
    #[must_use]
    pub fn output_specs(&self) -> Vec<OutputSpec> {
        let plain =
            |o: &LoweredOutput| o.kind == OutputKind::Scores && o.selection == Selection::All;
        if !self.tells_outputs && self.outputs.iter().all(plain) {
            return Vec::new();
        }
        let both = self.outputs.iter().zip(&self.network.outputs);
        both.map(|(output, &tensor)| OutputSpec {
            name: output::escaped(&output.name),
            tensor: tensor as u16,
            kind: output.kind,
            function: output.function,
            selection: output.selection,
            count: output.count as u32,
        })
        .collect()
    }

    /// What the folded network takes for an input, NCHW.
    ///
    /// # Errors
    /// [`FloatError`] if the head fails.
    pub fn inner_input(&self, input: &Content, wanted: &Wanted) -> Result<Vec<f32>, FloatError> {
        match &self.head {
            Some(head) => head.trunk_input(&input.real(wanted)),
            None => Ok(input.in_layout(wanted, InputLayout::Nchw)),
        }
    }
}
