//! Which tensors take 7 bits, if asked for.
//!
//! Direct convolutions of 7-bit inputs add products of bytes in 16 bits (layout u8s8). Nothing else gains
//! from fewer values: what Winograd's form of a 3x3 convolution, an addition or the classifier alone
//! reads keeps 8 bits.

use crate::calibrate::Bits;
use crate::lower::{Geometry, Kind, Layer, Network, TensorId};

/// Bits of each tensor; the network's input, which pixels fill, and the logits have 8 in any case.
pub(super) fn of_tensors(network: &Network, bits: Bits) -> Vec<Bits> {
    let seven = |id: TensorId| {
        bits == Bits::Seven && id != network.input && is_multiplied_directly(network, id)
    };
    let tensors = 0..network.tensors.len();
    tensors.map(|id| if seven(id) { Bits::Seven } else { Bits::Eight }).collect()
}

/// Whether a direct convolution reads the tensor, or one on the same grid. Layers are in order, so this
/// ends.
fn is_multiplied_directly(network: &Network, id: TensorId) -> bool {
    network.layers.iter().filter(|layer| layer.input == id).any(|layer| match &layer.kind {
        Kind::Conv { geometry, .. } => is_direct(network, layer, geometry),
        Kind::MaxPool(_) | Kind::Pad { .. } | Kind::Subsample { .. } => {
            is_multiplied_directly(network, layer.output)
        }
        _ => false,
    })
}

/// An ungrouped convolution other than those for F(4x4, 3x3).
fn is_direct(network: &Network, layer: &Layer, geometry: &Geometry) -> bool {
    let whole = |id: TensorId| network.tensors[id].shape[2].is_multiple_of(16);
    let point = Geometry { kernel: [3, 3], pads: geometry.pads, ..Geometry::POINT };
    geometry.groups == 1 && !(*geometry == point && whole(layer.input) && whole(layer.output))
}
