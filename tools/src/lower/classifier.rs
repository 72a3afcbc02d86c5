//! The ends of the network: a last Gemm becomes a classifier that gives i32 logits, whatever its values mean.
//! Scores that come otherwise get an identity classifier; vectors and maps stay as they are, and so does
//! everything before a float tail.

use fixnet::format::OutputKind;

use super::{Ends, Geometry, Kind, Layer, LowerError, Network, TensorId};

/// No activation function.
const UNBOUNDED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// Gives every output the form that its kind asks for.
pub(super) fn finish(
    mut network: Network,
    outputs: &[(TensorId, OutputKind)],
    ends: Ends,
) -> Result<Network, LowerError> {
    for &(output, kind) in outputs {
        check(&network, output, kind, ends)?;
        let tensor = match (writer(&network, output), kind) {
            (Some(at), _) if make_logits(&mut network, at) => output,
            (_, OutputKind::Vector | OutputKind::Map) => output,
            (Some(_), _) if ends.tail => output,
            // Twice, where scores and their positions are given.
            _ => {
                appended(&network, output).unwrap_or_else(|| append_identity(&mut network, output))
            }
        };
        network.outputs.push(tensor);
    }
    Ok(network)
}

/// The layer that computes a tensor.
fn writer(network: &Network, tensor: TensorId) -> Option<usize> {
    network.layers.iter().position(|layer| layer.output == tensor)
}

/// A vector is of one pixel, and comes from a layer.
fn check(
    network: &Network,
    output: TensorId,
    kind: OutputKind,
    ends: Ends,
) -> Result<(), LowerError> {
    let [height, width, _] = network.tensors[output].shape;
    let what = match kind {
        OutputKind::Vector | OutputKind::Map if writer(network, output).is_none() => {
            "no layer computes this output"
        }
        OutputKind::Map => return Ok(()),
        _ if ends.tail || (height, width) == (1, 1) => return Ok(()),
        _ => "the network does not end in a vector of class scores",
    };
    let layer = writer(network, output).and_then(|at| network.layers.get(at));
    let node = layer.or(network.layers.last()).map_or_else(String::new, |l| l.name.clone());
    Err(LowerError::Unsupported { node, what })
}

/// Makes a dense layer that nobody else reads, and that nothing is done to, one of logits; true if it is one.
fn make_logits(network: &mut Network, at: usize) -> bool {
    let output = network.layers[at].output;
    let read = network.layers.iter().any(|layer| layer.reads(output));
    let layer = &mut network.layers[at];
    if let Kind::Logits { .. } = layer.kind {
        return true;
    }
    let Kind::Conv { geometry, weights, bias } = &mut layer.kind else { return false };
    let [height, width, _] = network.tensors[layer.input].shape;
    let dense = Geometry { kernel: [height, width], ..Geometry::POINT };
    if read || layer.clip != UNBOUNDED || layer.operand.is_some() || *geometry != dense {
        return false;
    }
    let (weights, bias) = (std::mem::take(weights), std::mem::take(bias));
    layer.kind = Kind::Logits { weights, bias };
    true
}

/// The identity classifier that is behind `input` already.
fn appended(network: &Network, input: TensorId) -> Option<TensorId> {
    let logits = |layer: &&Layer| matches!(layer.kind, Kind::Logits { .. });
    let behind = |layer: &&Layer| layer.input == input && network.is_output(layer.output);
    network.layers.iter().filter(logits).find(behind).map(|layer| layer.output)
}

fn append_identity(network: &mut Network, input: TensorId) -> TensorId {
    let tensor = network.tensors[input].clone();
    let classes = tensor.shape[2];
    let mut weights = vec![0.0; classes * classes];
    weights.iter_mut().step_by(classes + 1).for_each(|w| *w = 1.0);
    network.tensors.push(tensor);
    let output = network.tensors.len() - 1;
    let before = network.layers.iter().filter(|layer| layer.name.starts_with("logits")).count();
    let name = if before == 0 { "logits".to_string() } else { format!("logits_{}", before + 1) };
    network.layers.push(Layer {
        name,
        kind: Kind::Logits { weights, bias: vec![0.0; classes] },
        input,
        operand: None,
        others: Vec::new(),
        output,
        clip: UNBOUNDED,
    });
    output
}
