//! Splitting a network into a float head, an int8 trunk and a float tail.
//!
//! A network can be cut where one tensor alone connects what is before with what is behind it. The
//! trunk is the run of pieces between cuts that have an int8 form together, hold all residual blocks, and
//! have most of the work; all before it is the head, all behind it the tail. What may not be broken: the
//! three together compute what the file computes, and no residual block stays in float for the sake of a
//! node that stands between blocks: such a network is refused with the names of the nodes.

mod extract;
mod flow;
mod scores;

use std::path::PathBuf;

use fixnet::float::{FloatError, FloatModel};
use fixnet::preprocess::is_image;
use prost::Message;
use serde::Serialize;
use thiserror::Error;
use tract_onnx::pb::ModelProto;
use values::order;

use crate::graph::{Graph, InputLayout};
use crate::import::{self, ImportError, ImportOptions, InputTensor, OnnxFile};
use crate::lower::{self, Ends, Network};
use crate::onnx_reference::WholeFile;
use crate::verify::{self, Computed, Reference, Unjudged, VerifyError};
use crate::{fold, onnx_writer};
pub use extract::is_made;
use extract::{End, extract, give_hwc, take_hwc};
use flow::{Cut, Flow};
use scores::{Scores, named};

/// A node that stays in float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FloatNode {
    pub name: String,
    pub op: String,
    /// Why it has no int8 form, where it is the reason and not only in such a node's company.
    pub reason: Option<String>,
}

/// A part that stays in float, as a model of its own whose ends are in HWC order.
#[derive(Debug, Clone)]
pub struct Part {
    pub onnx: Vec<u8>,
    pub float: FloatModel,
    /// Height, width, channels.
    pub input: [usize; 3],
    /// Height, width, channels.
    pub output: [usize; 3],
    pub nodes: Vec<FloatNode>,
}

impl Part {
    /// What the part makes of `values`, both in HWC order.
    ///
    /// # Errors
    /// [`FloatError`] if there are too few or too many, or tract fails.
    pub fn run(&self, values: &[f32]) -> Result<Vec<f32>, FloatError> {
        let mut session = self.float.session();
        let input = session.input_mut();
        if input.len() != values.len() {
            let (needed, available) = (input.len(), values.len());
            return Err(FloatError::InputLength { needed, available });
        }
        input.copy_from_slice(values);
        Ok(session.run()?.into_iter().next().unwrap_or_default())
    }

    /// The input of the trunk behind this head, for the network's input in HWC order, as the folded trunk
    /// takes it: NCHW.
    ///
    /// # Errors
    /// As [`Part::run`].
    pub fn trunk_input(&self, input: &[f32]) -> Result<Vec<f32>, FloatError> {
        Ok(order::chw(&self.run(input)?, self.output))
    }

    /// Multiply-accumulates by tract's account.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.float.nodes().iter().map(|node| node.macs).sum()
    }
}

/// A network cut in up to three.
#[derive(Debug)]
pub struct Partition {
    pub head: Option<Part>,
    pub tail: Option<Part>,
    /// The trunk, folded, in NCHW terms, and lowered.
    pub folded: Graph,
    pub network: Network,
    pub input: InputTensor,
    /// The tensor of the scores: the last one before a final Softmax.
    pub output: String,
    pub proto: ModelProto,
}

/// Why a network cannot be split.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartitionError {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Float(#[from] FloatError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("the input {input:?} has shape {shape:?}; [1, C, H, W] or [1, H, W, C] is needed")]
    NotAMap { input: String, shape: Vec<usize> },
    #[error("the scores do not depend on the image")]
    NoFlow,
    #[error(
        "the network ends in node {node:?} ({op}), which gives no score for each class; \
         export it without this node"
    )]
    NotScores { node: String, op: String },
    #[error(
        "output {output:?} has shape {shape:?}; fixnet takes classifiers, whose output is one vector of \
         scores [1, classes]"
    )]
    NotVector { output: String, shape: Vec<usize> },
    #[error(
        "node {node:?} ({op}) at the end is not over all scores, which have shape {shape:?}; \
         export the network without this node"
    )]
    NotOverScores { node: String, op: String, shape: Vec<usize> },
    #[error("{nodes} has no int8 form and stands between residual blocks or inside one")]
    Middle { nodes: String },
    #[error("no part of the network with weights has an int8 form, because of {nodes}")]
    NoTrunk { nodes: String },
}

/// A decoded network with what its parts are cut from.
#[derive(Debug)]
struct Whole {
    path: PathBuf,
    proto: ModelProto,
    input: InputTensor,
    output: String,
    flow: Flow,
    /// The network with all cuts as outputs, for their shapes.
    shapes: Vec<Option<Vec<usize>>>,
    /// Nodes that have no int8 form, by position, with the reason.
    obstacles: Vec<(usize, FloatNode)>,
}

/// A run of pieces with an int8 form.
struct Trunk {
    from: usize,
    to: usize,
    folded: Graph,
    network: Network,
    input_layout: InputLayout,
    output_layout: Option<InputLayout>,
    macs: u64,
}

/// Splits the network of a file.
///
/// # Errors
/// [`PartitionError`] with the nodes that stand in the way; those of the import name the file.
pub fn partition(file: OnnxFile, options: &ImportOptions) -> Result<Partition, PartitionError> {
    let mut whole = Whole::new(file, options)?;
    let trunk = whole.trunk()?;
    let (head, tail) = whole.parts(&trunk)?;
    Ok(Partition {
        head,
        tail,
        folded: trunk.folded,
        network: trunk.network,
        input: whole.input,
        output: whole.output,
        proto: whole.proto,
    })
}

/// Name and operator of nodes.
pub(crate) fn names_of<'n>(nodes: impl IntoIterator<Item = &'n FloatNode>) -> Unjudged {
    nodes.into_iter().map(|node| (node.name.clone(), node.op.clone())).collect()
}

/// The whole network of a file as one part, and the nodes that tract alone has computed.
///
/// # Errors
/// [`PartitionError`] if it is not a network from an image to scores, or tract refuses it.
pub(crate) fn whole(
    file: OnnxFile,
    options: &ImportOptions,
) -> Result<(Part, Unjudged), PartitionError> {
    let original = WholeFile::decode(file.path(), file.bytes());
    let whole = Whole::new(file, options)?;
    let (first, last) = (0, whole.flow.cuts.len() - 1);
    let part = whole.part(first, last, whole.input.layout, None)?;
    let float = whole.float()?;
    let run = |image: &[f32]| Ok(Computed { outputs: vec![part.run(image)?], tensors: Vec::new() });
    let reference = whole.reference(&float, original.as_ref());
    let unjudged = verify::verify(&reference, |outputs| outputs, run)?;
    let unjudged = if original.is_some() { unjudged } else { names_of(&part.nodes) };
    Ok((part, unjudged))
}

impl Whole {
    fn new(file: OnnxFile, options: &ImportOptions) -> Result<Self, PartitionError> {
        let path = file.path().to_path_buf();
        let mut input = file.input(options)?;
        let mut proto = file.into_proto()?;
        if let Some(graph) = &mut proto.graph {
            let asked = |name: &str| options.outputs.iter().any(|request| request.name == name);
            graph.output.retain(|output| options.outputs.is_empty() || asked(&output.name));
        }
        // The nodes of a head may hide that the file turns the image around.
        if let [1, rows, _, channels] = *input.shape.as_slice()
            && is_image(channels)
            && !is_image(rows)
        {
            input.layout = InputLayout::Nhwc;
        }
        if image_of(&input).is_none() {
            return Err(PartitionError::NotAMap { input: input.name, shape: input.shape });
        }
        let scores = Scores::find(&proto)?;
        let output = scores.tensor.clone();
        let flow = proto.graph.as_ref().and_then(|graph| Flow::new(graph, &input.name, &output));
        let flow = flow.ok_or(PartitionError::NoFlow)?;
        let cuts: Vec<&str> = flow.cuts.iter().skip(1).map(|c| c.tensor.as_str()).collect();
        let float = FloatModel::load(&proto, None, &input.shape, &cuts)?;
        let mut shapes = float.output_shapes();
        shapes.insert(0, Some(input.shape.clone()));
        scores.check(shapes.last().and_then(Option::as_deref))?;
        Ok(Self { path, proto, input, output, flow, shapes, obstacles: Vec::new() })
    }

    /// The network as the file has it.
    fn float(&self) -> Result<FloatModel, FloatError> {
        FloatModel::load(&self.proto, None, &self.input.shape, &[&self.output])
    }

    fn reference<'a>(
        &'a self,
        float: &'a FloatModel,
        whole: Option<&'a WholeFile>,
    ) -> Reference<'a> {
        Reference {
            proto: &self.proto,
            input: &self.input.name,
            input_shape: &self.input.shape,
            layout: self.input.layout,
            outputs: vec![&self.output],
            float,
            whole,
        }
    }

    fn cut(&self, index: usize) -> &Cut {
        &self.flow.cuts[index]
    }

    fn end(&self, cut: usize) -> Option<End> {
        let shape = self.shape(cut)?.to_vec();
        Some(End { tensor: self.cut(cut).tensor.clone(), shape })
    }

    /// The shape of the tensor that crosses a cut, in the layout of the file, if it is fixed.
    fn shape(&self, cut: usize) -> Option<&[usize]> {
        self.shapes.get(cut)?.as_deref()
    }

    fn last(&self) -> usize {
        self.flow.cuts.len() - 1
    }

    /// Of the runs that hold all residual additions, the one with most work.
    fn trunk(&mut self) -> Result<Trunk, PartitionError> {
        let (mut best, mut any) = (None::<Trunk>, false);
        let mut from = 0;
        while from < self.last() {
            let reach = self.reach(from);
            if let Some(trunk) = self.longest(from, reach).filter(|trunk| trunk.macs > 0) {
                any = true;
                let more = best.as_ref().is_none_or(|best| trunk.macs > best.macs);
                if more && self.holds_residuals(&trunk) {
                    best = Some(trunk);
                }
            }
            from = reach.max(from) + 1;
        }
        match best {
            Some(trunk) => return Ok(trunk),
            None if any => {}
            None => {
                let nodes = self.obstacle_names(0..usize::MAX);
                return Err(PartitionError::NoTrunk { nodes });
            }
        }
        // Blocks on the other side of an obstacle, or around it.
        let first = self.flow.residuals.first().copied().unwrap_or(0);
        let first = self.flow.cuts.iter().rfind(|c| c.position <= first).map_or(0, |c| c.position);
        let last = self.flow.residuals.last().map_or(usize::MAX, |&at| at + 1);
        Err(PartitionError::Middle { nodes: self.obstacle_names(first..last) })
    }

    fn holds_residuals(&self, trunk: &Trunk) -> bool {
        let span = self.cut(trunk.from).position..self.cut(trunk.to).position;
        self.flow.residuals.iter().all(|at| span.contains(at))
    }

    /// The last cut that all nodes from the cut `from` on can be imported up to.
    fn reach(&mut self, from: usize) -> usize {
        let Some(end) = self.end(from) else { return from };
        let part = extract(&self.proto, &end, &self.output);
        let obstacle = match import::first_unsupported(&self.path, &part) {
            // Nothing starts from such a tensor.
            Err(_) => return from,
            Ok(None) => return self.last(),
            Ok(Some(obstacle)) => obstacle,
        };
        let graph = self.proto.graph.as_ref();
        let output = part.graph.as_ref().and_then(|g| g.node.get(obstacle.index)?.output.first());
        let position = self.flow.live.iter().position(|&index| {
            let node = graph.and_then(|g| g.node.get(index));
            node.is_some_and(|node| node.output.first() == output)
        });
        // A constant that cannot be had stands in the way of everything.
        let Some(position) = position else { return from };
        let reason = Some(obstacle.problem.to_string());
        let node = FloatNode { name: obstacle.name, op: obstacle.op, reason };
        if !self.obstacles.iter().any(|(at, _)| *at == position) {
            self.obstacles.push((position, node));
        }
        self.flow.cuts.iter().rposition(|cut| cut.position <= position).unwrap_or(from)
    }

    /// The longest trunk between the cut `from` and one up to `to`.
    fn longest(&self, from: usize, to: usize) -> Option<Trunk> {
        ((from + 1)..=to).rev().find_map(|to| self.lowered(from, to))
    }

    fn lowered(&self, from: usize, to: usize) -> Option<Trunk> {
        let part = extract(&self.proto, &self.end(from)?, &self.cut(to).tensor);
        let imported = import::load_part(&self.path, &part).ok()?;
        let input_layout = imported.graph.input_layout;
        let output_layout = imported.outputs.first().and_then(|output| output.layout);
        let mut folded = fold::fold(&imported.graph).ok()?;
        folded.input_layout = InputLayout::Nchw;
        let ends = Ends { head: from > 0, tail: to < self.last() };
        let network = lower::lower_part(&folded, ends).ok()?;
        let macs = network.layers.iter().map(|layer| layer.macs(&network)).sum();
        Some(Trunk { from, to, folded, network, input_layout, output_layout, macs })
    }

    /// The head and the tail around a trunk.
    fn parts(&self, trunk: &Trunk) -> Result<(Option<Part>, Option<Part>), PartitionError> {
        let network = &trunk.network;
        let mut head = None;
        if trunk.from > 0 {
            let map = self.shape(trunk.from).is_some_and(|shape| shape.len() == 4);
            let layout = map.then_some(trunk.input_layout);
            let mut part = self.part(0, trunk.from, self.input.layout, layout)?;
            part.output = network.tensors[network.input].shape;
            head = Some(part);
        }
        let mut tail = None;
        if trunk.to < self.last() {
            // A vector needs no other order.
            let layout = trunk.output_layout.unwrap_or(InputLayout::Nhwc);
            let mut part = self.part(trunk.to, self.last(), layout, None)?;
            part.input = network.tensors[network.first_output()].shape;
            tail = Some(part);
        }
        Ok((head, tail))
    }

    /// What stands between two cuts, with its ends in HWC order.
    fn part(
        &self,
        from: usize,
        to: usize,
        from_layout: InputLayout,
        to_layout: Option<InputLayout>,
    ) -> Result<Part, PartitionError> {
        let end = self.end(from).ok_or(PartitionError::NoFlow)?;
        let mut proto = extract(&self.proto, &end, &self.cut(to).tensor);
        take_hwc(&mut proto, &end, from_layout);
        give_hwc(&mut proto, &self.cut(to).tensor, to_layout);
        let onnx = proto.encode_to_vec();
        let float = FloatModel::from_bytes(&onnx)?;
        let classes = self.shape(to).map_or(0, |shape| shape.iter().product());
        Ok(Part {
            onnx,
            float,
            input: image_of(&self.input).unwrap_or_default(),
            output: [1, 1, classes],
            nodes: self.float_nodes(self.cut(from).position..self.cut(to).position),
        })
    }

    fn float_nodes(&self, positions: std::ops::Range<usize>) -> Vec<FloatNode> {
        let Some(graph) = &self.proto.graph else { return Vec::new() };
        let float_node = |position: usize| {
            let node = &graph.node[self.flow.live[position]];
            let known = self.obstacles.iter().find(|(at, _)| *at == position);
            let own = || FloatNode { name: named(node), op: node.op_type.clone(), reason: None };
            known.map_or_else(own, |(_, node)| node.clone())
        };
        positions.map(float_node).collect()
    }

    /// `node "a" (Sin), node "b" (LRN)`.
    fn obstacle_names(&self, positions: std::ops::Range<usize>) -> String {
        let inside = self.obstacles.iter().filter(|(at, _)| positions.contains(at));
        let names: Vec<String> = inside
            .map(|(_, node)| format!("node {:?} ({})", node.name, node.op.escape_debug()))
            .collect();
        if names.is_empty() { "a node".to_string() } else { names.join(", ") }
    }
}

/// Height, width and channels of an image of three colours.
fn image_of(input: &InputTensor) -> Option<[usize; 3]> {
    match (input.shape.as_slice(), input.layout) {
        (&[1, channels, height, width], InputLayout::Nchw)
        | (&[1, height, width, channels], InputLayout::Nhwc) => Some([height, width, channels]),
        _ => None,
    }
}

/// The folded trunk as the float judge of every tensor inside it.
///
/// # Errors
/// [`FloatError`] if tract refuses it.
pub fn inner(folded: &Graph, network: &Network) -> Result<FloatModel, FloatError> {
    let [height, width, channels] = network.tensors[network.input].shape;
    let shape = match folded.shape(folded.input).len() {
        1 => vec![1, channels],
        _ => vec![1, channels, height, width],
    };
    let ids = (0..network.tensors.len()).filter(|&t| t != network.input);
    let names: Vec<&str> = ids.map(|t| network.tensors[t].name.as_str()).collect();
    FloatModel::load(&onnx_writer::to_onnx(folded), None, &shape, &names)
}
