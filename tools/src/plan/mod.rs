//! The planner: from the integers of a network to the specification of a portable model file.
//!
//! What may not be broken: planning changes no integer. It says where each tensor lies in the arena and
//! when, which steps work in place, and which maps are never whole.

mod demand;
mod memory;
mod place;
mod preprocess;

use fixnet::format::{
    FloatPartKind, FloatPartSpec, ModelSpec, NONE, PreprocessSpec, Target, TensorRecord,
};

pub use demand::Demand;
pub use place::{Lifetime, Placement, live_bytes, place};

use crate::data::Recipe;
use crate::lower::{Network, TensorId};
use crate::partition::Part;
use crate::quantize::{QuantizedSteps, input_range};
use memory::Memory;

/// What stays in float around a network.
#[derive(Debug, Clone, Copy, Default)]
pub struct FloatParts<'a> {
    pub head: Option<&'a Part>,
    pub tail: Option<&'a Part>,
}

/// Plans `network`, whose integers are `quantized`; without a recipe it takes tensors that are no images.
#[must_use]
pub fn plan(
    name: &str,
    network: &Network,
    quantized: QuantizedSteps,
    recipe: Option<&Recipe>,
    parts: FloatParts<'_>,
) -> ModelSpec {
    let memory = Memory::plan(network);
    let tensors = tensor_records(network, &quantized, &memory);
    let QuantizedSteps { mut steps, ranges, .. } = quantized;
    for (layer, step) in network.layers.iter().zip(&mut steps) {
        memory.set_in_place(network, layer, step);
    }
    let FloatParts { head, tail } = parts;
    let preprocess = recipe.map(|recipe| match head {
        Some(head) => float_preprocess(recipe, head),
        None => {
            let shape = network.tensors[network.input].shape;
            preprocess::preprocess(recipe, ranges[network.input], shape)
        }
    });
    let head = head.map(|part| part_spec(part, FloatPartKind::Head));
    let tail = tail.map(|part| part_spec(part, FloatPartKind::Tail));
    ModelSpec {
        name: name.to_string(),
        target: Target::Portable,
        tensors,
        steps,
        input_tensor: network.input as u16,
        output_tensor: network.first_output() as u16,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: memory.placement.arena_bytes as u32,
        preprocess,
        float_parts: head.into_iter().chain(tail).collect(),
    }
}

/// A file for a network that stays in float as a whole.
#[must_use]
pub fn whole(name: &str, part: &Part, recipe: Option<&Recipe>) -> ModelSpec {
    ModelSpec {
        name: name.to_string(),
        target: Target::Portable,
        tensors: Vec::new(),
        steps: Vec::new(),
        input_tensor: NONE,
        output_tensor: NONE,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 0,
        preprocess: recipe.map(|recipe| float_preprocess(recipe, part)),
        float_parts: vec![part_spec(part, FloatPartKind::Whole)],
    }
}

/// The preprocessing in front of a part in float, whose tables have no meaning.
fn float_preprocess(recipe: &Recipe, part: &Part) -> PreprocessSpec {
    preprocess::preprocess(recipe, input_range(recipe, part.input[2]), part.input)
}

fn part_spec(part: &Part, kind: FloatPartKind) -> FloatPartSpec {
    let (onnx, input, output) = (part.onnx.clone(), part.input, part.output);
    FloatPartSpec { kind, onnx, input, output, macs: part.macs() }
}

fn tensor_records(
    network: &Network,
    quantized: &QuantizedSteps,
    memory: &Memory,
) -> Vec<TensorRecord> {
    let record = |id: TensorId| {
        let [height, width, channels] = network.tensors[id].shape;
        let logits = network.is_wide(id);
        let range = quantized.ranges[id];
        TensorRecord {
            offset: memory.placement.offsets[id] as u32,
            channels: channels as u32,
            height: height as u16,
            width: width as u16,
            scale: range.scale,
            zero_point: if logits { 0 } else { range.zero_point },
            element: u8::from(logits),
            rows: memory.rows[id],
        }
    };
    (0..network.tensors.len()).map(record).collect()
}
