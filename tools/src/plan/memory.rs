//! Lifetimes of tensors, what is streamed, and where everything lies.
//!
//! What may not be broken: a tensor lives from the step that first writes it to the last that reads it, an output to the end,
//! and a map is streamed only where a max-pool alone reads it as it comes.

use fixnet::format::{StepSpec, flags};

use super::place::{Lifetime, Placement, place};
use crate::lower::{Kind, Layer, Network, TensorId};

/// Where the tensors lie.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    pub placement: Placement,
    /// Rows of each tensor that are in the arena at a time; 0: all.
    pub rows: Vec<u16>,
}

/// Parts of a streamed map at most: each part costs a call of the convolution.
const MAX_PARTS: usize = 16;
/// Rows come in multiples of this, in whole tiles of every kernel for two threads or four.
const UNIT: usize = 12;

impl Memory {
    /// Streams what makes the arena smaller, in as few parts as that allows, and places everything.
    pub fn plan(network: &Network) -> Self {
        let mut best = Self::with_parts(network, 1);
        let least = Self::with_parts(network, MAX_PARTS);
        if least.placement.arena_bytes >= best.placement.arena_bytes {
            return best;
        }
        best = least;
        for parts in [8, 4, 2] {
            let fewer = Self::with_parts(network, parts);
            if fewer.placement.arena_bytes > best.placement.arena_bytes {
                break;
            }
            best = fewer;
        }
        best
    }

    /// With each map between a convolution and a max-pool in so many parts.
    fn with_parts(network: &Network, parts: usize) -> Self {
        let (lifetimes, rows) = lifetimes(network, parts);
        Self { placement: place(&lifetimes), rows }
    }

    /// Marks a step that replaces its residual.
    pub fn set_in_place(&self, network: &Network, layer: &Layer, step: &mut StepSpec) {
        let offsets = &self.placement.offsets;
        if let Some(replaced) = replaceable(network, layer)
            && offsets[replaced] == offsets[layer.output]
        {
            step.record.flags |= flags::IN_PLACE;
        }
    }
}

/// The tensor that the layer's output may replace: its operand, or the input of a table.
fn replaceable(network: &Network, layer: &Layer) -> Option<TensorId> {
    let replaced = match layer.kind {
        Kind::Lookup { .. } => Some(layer.input),
        _ => layer.operand.filter(|&operand| operand != layer.input),
    };
    let shape = |tensor: TensorId| network.tensors[tensor].shape;
    replaced.filter(|&replaced| shape(replaced) == shape(layer.output))
}

/// When each tensor is alive, which residuals are replaced in place, and how many rows of each there are
/// if maps that can be streamed are in so many parts.
fn lifetimes(network: &Network, parts: usize) -> (Vec<Lifetime>, Vec<u16>) {
    let last_read = |tensor: TensorId| network.layers.iter().rposition(|layer| layer.reads(tensor));
    let mut lifetimes: Vec<Lifetime> = network
        .tensors
        .iter()
        .enumerate()
        .map(|(id, tensor)| {
            let elements: usize = tensor.shape.iter().product();
            let bytes = if network.is_wide(id) { elements * 4 } else { elements };
            let written = network.layers.iter().position(|l| l.output == id).unwrap_or(0);
            let last = match network.is_output(id) {
                true => network.layers.len().saturating_sub(1),
                false => last_read(id).unwrap_or(written).max(written),
            };
            Lifetime { bytes, first: written, last, replaces: None }
        })
        .collect();
    let mut rows = vec![0; network.tensors.len()];
    for (index, layer) in network.layers.iter().enumerate() {
        if let Some(replaced) = replaceable(network, layer)
            && lifetimes[replaced].last == index
            && !network.is_output(replaced)
        {
            lifetimes[layer.output].replaces = Some(replaced);
        }
        let Some(held) = streamed_rows(network, index, parts) else { continue };
        let (map, pooled) = (layer.output, network.layers[index + 1].output);
        let [_, width, channels] = network.tensors[map].shape;
        lifetimes[map].bytes = held * width * channels;
        rows[map] = held as u16;
        // Both steps are under way at the same time.
        lifetimes[layer.input].last = lifetimes[layer.input].last.max(index + 1);
        lifetimes[pooled].first = index;
    }
    (lifetimes, rows)
}

/// Rows of the output of layer `index` that are there at a time, if a max-pool consumes them as they
/// come.
fn streamed_rows(network: &Network, index: usize, parts: usize) -> Option<usize> {
    let (layer, next) = (network.layers.get(index)?, network.layers.get(index + 1)?);
    let Kind::MaxPool(geometry) = &next.kind else { return None };
    let is_conv = matches!(layer.kind, Kind::Conv { .. }) && layer.operand.is_none();
    let readers = network.layers.iter().filter(|other| other.reads(layer.output));
    let only_reader = readers.count() == 1;
    let [kernel, stride] = [geometry.kernel[0], geometry.strides[0]];
    let is_needed = network.is_output(layer.output);
    if !is_conv || next.input != layer.output || !only_reader || is_needed || stride > kernel {
        return None;
    }
    let height = network.tensors[layer.output].shape[0];
    let held =
        height.div_ceil(parts).next_multiple_of(UNIT.next_multiple_of(stride)) + kernel - stride;
    (parts > 1 && (kernel..height).contains(&held)).then_some(held)
}
