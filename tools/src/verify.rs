//! Whether what runs computes what the file says: the network as it was imported, split, folded and
//! lowered, against the ONNX file, both in float.
//!
//! What may not be broken: nothing that was made from a file is used before this has passed, and the two
//! sides share no more than the file's canonical form ([`crate::import`]) and tract. Where parts stay in float
//! that is too much, for tract then judges itself: there the file is run once more as it is given, by
//! the module `onnx_reference`, which shares neither. A tensor of the file that is no number, and a result that
//! differs by more than rounding, are errors that name the node.

use std::collections::{HashMap, HashSet};

use fixnet::float::{FloatError, FloatModel};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tract_onnx::pb::{ModelProto, NodeProto};
use values::fidelity::largest;
use values::order::chw;

use crate::graph::InputLayout;
use crate::import::{Data, Tensor, operators, reads};
use crate::onnx_reference::WholeFile;

/// Inputs that both sides run on.
const INPUTS: u64 = 3;
/// Largest difference that rounding may make, of the largest value of a tensor.
const TOLERANCE: f32 = 1e-3;
/// The same of the largest value anywhere, which sums may have been made from that cancel out.
const CANCELLATION: f32 = 1e-6;

/// Why a network may not be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    #[error(transparent)]
    Float(#[from] FloatError),
    #[error(
        "node {node:?} ({op}) gives {value} for tensor {tensor:?}; train or export the network again"
    )]
    NotFinite { node: String, op: String, tensor: String, value: f32 },
    #[error(
        "node {node:?} ({op}): what was made of it differs from the ONNX file by {difference} where the \
         largest value is {largest}; this is a fault of fixnet, report it with the model"
    )]
    Differs { node: String, op: String, difference: f32, largest: f32 },
    #[error(
        "node {node:?} ({op}): tract computes it otherwise than ONNX says, by {difference} where the largest \
         value is {largest}; spell it with other operators before the export"
    )]
    Disagrees { node: String, op: String, difference: f32, largest: f32 },
    #[error("the network gives {found} values where the ONNX file gives {expected}")]
    Length { expected: usize, found: usize },
}

/// The ONNX file, in its canonical form.
pub(crate) struct Reference<'a> {
    pub proto: &'a ModelProto,
    /// Name and shape of the input, in the layout of the file.
    pub input: &'a str,
    pub input_shape: &'a [usize],
    pub layout: InputLayout,
    /// The tensors of its outputs.
    pub outputs: Vec<&'a str>,
    /// The file with these outputs, run by tract.
    pub float: &'a FloatModel,
    /// The file as it is given, where tract is to be judged as well.
    pub whole: Option<&'a WholeFile>,
}

/// Name and operator of nodes that tract alone has computed.
pub(crate) type Unjudged = Vec<(String, String)>;

/// What the other side made of an input.
pub(crate) struct Computed {
    /// In the order of the reference's, HWC.
    pub outputs: Vec<Vec<f32>>,
    /// Tensors on the way, by the names that they have in the file, in any order of their elements.
    pub tensors: Vec<(String, Vec<f32>)>,
}

/// A node and the tensor that it writes.
struct Written<'p> {
    tensor: &'p str,
    node: &'p NodeProto,
}

/// Runs both sides on several inputs; `run` takes an image in HWC order, and `in_hwc` brings the file's outputs
/// into it. Gives the nodes that the independent run does not know.
pub(crate) fn verify(
    reference: &Reference<'_>,
    in_hwc: impl Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>>,
    run: impl Fn(&[f32]) -> Result<Computed, FloatError>,
) -> Result<Unjudged, VerifyError> {
    let written = data_tensors(reference);
    let mut unjudged = Unjudged::new();
    let names: Vec<&str> = written.iter().map(|w| w.tensor).collect();
    let every = FloatModel::load(reference.proto, None, reference.input_shape, &names)?;
    for seed in 0..INPUTS {
        let image = image(seed, reference.input_shape.iter().product());
        let input = reference.in_layout(&image);
        let outputs = run_float(&every, &input)?;
        check_finite(&written, &outputs)?;
        let expected = in_hwc(run_float(reference.float, &input)?);
        if let Some(whole) = reference.whole.filter(|_| seed == 0) {
            unjudged = judge(reference, whole, &input, (&written, &outputs), &every)?;
        }
        let computed = run(&image)?;
        let lengths = |outputs: &[Vec<f32>]| outputs.iter().map(Vec::len).collect::<Vec<_>>();
        let (expected_lens, lens) = (lengths(&expected), lengths(&computed.outputs));
        if expected_lens != lens {
            let (expected, found) = (expected_lens.iter().sum(), lens.iter().sum());
            return Err(VerifyError::Length { expected, found });
        }
        let anywhere = outputs.iter().map(|values| largest(values)).fold(largest(&input), f32::max);
        let both = expected.iter().zip(&computed.outputs);
        let differing =
            |(expected, found): (&Vec<f32>, &Vec<f32>)| difference(expected, found, anywhere);
        if let Some(difference) = both.filter_map(differing).next() {
            let first = first_that_differs(&written, &outputs, &computed, anywhere);
            let (index, (difference, largest)) =
                first.unwrap_or((written.len().saturating_sub(1), difference));
            let (node, op) = written.get(index).map(Written::names).unwrap_or_default();
            return Err(VerifyError::Differs { node, op, difference, largest });
        }
    }
    Ok(unjudged)
}

/// Holds what tract made of every node against an independent run of the whole file.
fn judge(
    reference: &Reference<'_>,
    whole: &WholeFile,
    input: &[f32],
    (written, outputs): (&[Written<'_>], &[Vec<f32>]),
    every: &FloatModel,
) -> Result<Unjudged, VerifyError> {
    let shapes = every.output_shapes();
    let given = |name: &str| {
        let at = written.iter().position(|written| written.tensor == name)?;
        let shape = shapes.get(at)?.clone()?;
        Some(Tensor { shape, data: Data::Float(outputs[at].clone()) })
    };
    // With parts in float there is one output.
    let output = reference.outputs.first().copied().unwrap_or_default();
    let run = whole.run((reference.input, input, reference.input_shape), output, given);
    let mut anywhere = largest(input);
    for (written, found) in written.iter().zip(outputs) {
        let Some(expected) = run.tensors.get(written.tensor) else { continue };
        let expected = expected.to_floats();
        anywhere = anywhere.max(largest(&expected));
        if let Some((difference, largest)) = difference(&expected, found, anywhere) {
            let (node, op) = written.names();
            return Err(VerifyError::Disagrees { node, op, difference, largest });
        }
    }
    Ok(run.unknown)
}

impl Written<'_> {
    /// Name and operator of the node.
    fn names(&self) -> (String, String) {
        let name = if self.node.name.is_empty() { self.tensor } else { &self.node.name };
        (name.to_string(), self.node.op_type.escape_debug().to_string())
    }
}

impl Reference<'_> {
    /// An image in HWC order in the layout of the file.
    fn in_layout(&self, image: &[f32]) -> Vec<f32> {
        match (self.layout, self.input_shape) {
            (InputLayout::Nchw, &[_, channels, height, width]) => {
                chw(image, [height, width, channels])
            }
            _ => image.to_vec(),
        }
    }
}

/// Uniform values as those of normalised images, the same on every machine.
fn image(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 22) as f32 - 2.0).collect()
}

fn run_float(model: &FloatModel, input: &[f32]) -> Result<Vec<Vec<f32>>, FloatError> {
    let mut session = model.session();
    let to = session.input_mut();
    if to.len() != input.len() {
        return Err(FloatError::InputLength { needed: to.len(), available: input.len() });
    }
    to.copy_from_slice(input);
    session.run()
}

/// The first outputs of the nodes that compute on the image and that the outputs depend on, in order.
fn data_tensors<'p>(reference: &Reference<'p>) -> Vec<Written<'p>> {
    let nodes = reference.proto.graph.iter().flat_map(|graph| &graph.node);
    let nodes: Vec<&NodeProto> = nodes.collect();
    let mut moving = HashSet::from([reference.input]);
    for node in &nodes {
        if !operators::reads_only_shapes(node) && reads(node).any(|name| moving.contains(name)) {
            moving.extend(node.output.iter().map(String::as_str));
        }
    }
    let mut needed: HashSet<&str> = reference.outputs.iter().copied().collect();
    for node in nodes.iter().rev() {
        if node.output.iter().any(|name| needed.contains(name.as_str())) {
            needed.extend(reads(node));
        }
    }
    let written = nodes.into_iter().filter_map(|node| {
        let tensor = node.output.first()?.as_str();
        (moving.contains(tensor) && needed.contains(tensor)).then_some(Written { tensor, node })
    });
    written.collect()
}

fn check_finite(written: &[Written<'_>], outputs: &[Vec<f32>]) -> Result<(), VerifyError> {
    for (written, values) in written.iter().zip(outputs) {
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            let (node, op) = written.names();
            let tensor = written.tensor.to_string();
            return Err(VerifyError::NotFinite { node, op, tensor, value });
        }
    }
    Ok(())
}

/// The first tensor that both sides know and that differs, whatever the order of its elements.
fn first_that_differs(
    written: &[Written<'_>],
    outputs: &[Vec<f32>],
    computed: &Computed,
    anywhere: f32,
) -> Option<(usize, (f32, f32))> {
    let ours: HashMap<&str, &Vec<f32>> =
        computed.tensors.iter().map(|(name, values)| (name.as_str(), values)).collect();
    let both = written.iter().zip(outputs).enumerate();
    both.filter_map(|(index, (written, theirs))| {
        let ours = ours.get(written.tensor).filter(|ours| ours.len() == theirs.len())?;
        Some((index, difference(&sorted(theirs), &sorted(ours), anywhere)?))
    })
    .next()
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted
}

/// The largest difference and the largest value, if that is more than rounding makes where values of up to
/// `anywhere` are added.
fn difference(expected: &[f32], found: &[f32], anywhere: f32) -> Option<(f32, f32)> {
    let largest = largest(expected);
    let difference = values::fidelity::largest_difference(expected, found);
    // Not a number is more than rounding makes, too.
    let same = difference <= TOLERANCE * largest + CANCELLATION * anywhere;
    (!same).then_some((difference, largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_no_difference_and_everything_else_is() {
        assert_eq!(difference(&[1.0, -2.0], &[1.001, -2.0], 2.0), None);
        assert_eq!(difference(&[0.0, 0.0], &[0.0, 0.0], 0.0), None);
        assert_eq!(difference(&[1.0, -2.0], &[1.0, -1.0], 2.0), Some((1.0, 2.0)));
        assert_eq!(difference(&[0.0], &[1e-7], 1.0), None);
        assert!(difference(&[0.0], &[1e-3], 1.0).is_some());
        assert!(difference(&[1.0], &[f32::NAN], 1.0).is_some());
        assert!(difference(&[1.0, 5.0], &[f32::NAN, 5.0], 5.0).is_some());
    }

    /// `x` through an operator of its own name to `y`.
    fn model(op: &str, domain: &str) -> ModelProto {
        use tract_onnx::pb::tensor_proto::DataType;
        use tract_onnx::pb::{
            GraphProto, OperatorSetIdProto, TypeProto, ValueInfoProto, type_proto,
        };
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
        let value = Some(type_proto::Value::TensorType(tensor));
        let end = |name: &str| ValueInfoProto {
            name: name.to_string(),
            r#type: Some(TypeProto { value: value.clone(), ..Default::default() }),
            ..Default::default()
        };
        let node = NodeProto {
            name: "the node".to_string(),
            op_type: op.to_string(),
            domain: domain.to_string(),
            input: vec!["x".to_string()],
            output: vec!["y".to_string()],
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node],
            input: vec![end("x")],
            output: vec![end("y")],
            ..Default::default()
        };
        let sets = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
        ModelProto { ir_version: 7, opset_import: sets, graph: Some(graph), ..Default::default() }
    }

    /// Both sides run `judged`; the file is `given`.
    fn verified(judged: &ModelProto, given: &ModelProto) -> Result<Unjudged, VerifyError> {
        use prost::Message;
        let shape = [1, 2, 3, 3];
        let float = FloatModel::load(judged, None, &shape, &["y"]).unwrap();
        let whole = WholeFile::decode(std::path::Path::new("x.onnx"), &given.encode_to_vec());
        let reference = Reference {
            proto: judged,
            input: "x",
            input_shape: &shape,
            layout: InputLayout::Nchw,
            outputs: vec!["y"],
            float: &float,
            whole: whole.as_ref(),
        };
        let as_it_is = |outputs| outputs;
        verify(&reference, as_it_is, |image| {
            let outputs = run_float(&float, &reference.in_layout(image))?;
            Ok(Computed { outputs, tensors: Vec::new() })
        })
    }

    /// Both sides agree and are wrong: only the file itself knows.
    #[test]
    fn what_tract_computes_otherwise_than_the_file_says_is_told_of_its_node() {
        assert_eq!(verified(&model("Atan", ""), &model("Atan", "")), Ok(Vec::new()));
        match verified(&model("Atan", ""), &model("Sin", "")) {
            Err(VerifyError::Disagrees { node, op, .. }) => {
                assert_eq!((node.as_str(), op.as_str()), ("the node", "Atan"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_independent_run_does_not_know_is_named() {
        let unjudged = verified(&model("Atan", ""), &model("Atan", "elsewhere")).unwrap();
        assert_eq!(unjudged, [("the node".to_string(), "Atan".to_string())]);
    }
}
