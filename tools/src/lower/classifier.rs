//! The end of the network: its last Gemm becomes the classifier that gives i32 logits. Before a float
//! tail a network may end in any layer.

use super::{Ends, Geometry, Kind, Layer, LowerError, Network, TensorId};

/// Turns the layer that computes `output` into logits; a network that ends otherwise (in a global
/// average pool, say) gets an identity classifier behind it.
pub(super) fn finish(
    mut network: Network,
    output: TensorId,
    ends: Ends,
) -> Result<Network, LowerError> {
    network.output = output;
    let shape = network.tensors[output].shape;
    if !ends.tail && (shape[0] != 1 || shape[1] != 1) {
        let node = network.layers.last().map_or_else(String::new, |l| l.name.clone());
        let what = "the network does not end in a vector of class scores";
        return Err(LowerError::Unsupported { node, what });
    }
    let unbounded = (f32::NEG_INFINITY, f32::INFINITY);
    let last_computes_output = network.layers.last().is_some_and(|l| l.output == output);
    if let Some(last) = network.layers.last_mut()
        && last_computes_output
        && last.clip == unbounded
        && last.operand.is_none()
        && let Kind::Conv { geometry, weights, bias } = &mut last.kind
    {
        let input = network.tensors[last.input].shape;
        let dense = Geometry { kernel: [input[0], input[1]], ..Geometry::POINT };
        if *geometry == dense {
            let (weights, bias) = (std::mem::take(weights), std::mem::take(bias));
            last.kind = Kind::Logits { weights, bias };
            return Ok(network);
        }
    }
    if ends.tail && last_computes_output {
        return Ok(network);
    }
    append_identity(&mut network, output);
    Ok(network)
}

fn append_identity(network: &mut Network, input: TensorId) {
    let tensor = network.tensors[input].clone();
    let classes = tensor.shape[2];
    let mut weights = vec![0.0; classes * classes];
    weights.iter_mut().step_by(classes + 1).for_each(|w| *w = 1.0);
    network.tensors.push(tensor);
    network.output = network.tensors.len() - 1;
    network.layers.push(Layer {
        name: "logits".to_string(),
        kind: Kind::Logits { weights, bias: vec![0.0; classes] },
        input,
        operand: None,
        others: Vec::new(),
        output: network.output,
        clip: (f32::NEG_INFINITY, f32::INFINITY),
    });
}
