//! A float network as a chain of pieces that tract optimises one by one.
//!
//! tract's optimiser goes over the whole network for every node that it rewrites, so that of a network of a
//! thousand layers takes a quarter of an hour. Pieces of bounded size make its work linear in the depth.
//! Networks of ordinary depth are one piece.
//!
//! What may not be broken: the pieces together compute what the network computes, and every node belongs
//! to one of them.

use std::collections::{HashMap, HashSet};
use std::format;
use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use tract_onnx::prelude::*;

use super::guard::guarded;
use super::{computes, crop, pad};

/// Nodes that compute something, up to which a network is one piece: ResNet-152 has fewer.
const WHOLE: usize = 640;
/// Nodes of a piece of a larger one.
const PIECE: usize = 128;

/// A part of a network, optimised.
#[derive(Debug)]
pub(super) struct Piece {
    pub runnable: Arc<TypedRunnableModel>,
    /// Which values it takes, and which ones it gives.
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

/// A network in pieces, in the order in which they run.
#[derive(Debug)]
pub(super) struct Pieces {
    pub pieces: Vec<Piece>,
    /// Values between pieces; the first is the network's input.
    values: usize,
    /// The values that are the network's outputs.
    outputs: Vec<usize>,
}

impl Pieces {
    /// Optimises `network`, or leaves it as it is where tract's rewriting fails on it or breaks it.
    ///
    /// # Errors
    /// tract's reason.
    pub fn new(network: TypedModel) -> Result<Self, String> {
        let as_it_is = guarded(|| crop::meets_stride(&network)).unwrap_or(true);
        let finish = |network: TypedModel| {
            let optimised = || match as_it_is {
                true => network.clone().into_runnable(),
                false => {
                    let mut network = network.clone().into_optimized()?;
                    pad::by_rows(&mut network)?;
                    network.into_runnable()
                }
            };
            guarded(optimised).or_else(|_| guarded(|| network.into_runnable()))
        };
        let Some(cut) = guarded(|| Cut::new(&network))? else {
            let outputs: Vec<usize> = (1..=network.outputs.len()).collect();
            let values = outputs.len() + 1;
            let piece =
                Piece { runnable: finish(network)?, inputs: vec![0], outputs: outputs.clone() };
            return Ok(Self { pieces: vec![piece], values, outputs });
        };
        let mut number = |outlet: &OutletId| cut.values[outlet];
        let mut pieces = Vec::with_capacity(cut.pieces.len());
        let outputs = network.outputs.iter().map(&mut number).collect();
        for part in cut.pieces {
            pieces.push(Piece {
                runnable: finish(part.network)?,
                inputs: part.inputs.iter().map(&mut number).collect(),
                outputs: part.outputs.iter().map(&mut number).collect(),
            });
        }
        Ok(Self { pieces, values: cut.values.len(), outputs })
    }

    /// Shapes of the outputs; none for one that is not fixed.
    pub fn output_shapes(&self) -> Vec<Option<Vec<usize>>> {
        let shape = |at: usize| {
            let mut pieces = self.pieces.iter();
            let (model, slot) = pieces.find_map(|piece| {
                let slot = piece.outputs.iter().position(|&output| output == at)?;
                Some((piece.runnable.model(), slot))
            })?;
            let fact = model.output_fact(slot).ok()?;
            fact.shape.as_concrete().map(<[usize]>::to_vec)
        };
        self.outputs.iter().map(|&at| shape(at)).collect()
    }

    /// Runs all pieces; `run` runs one.
    pub fn run(
        &self,
        input: TValue,
        mut run: impl FnMut(&Piece, TVec<TValue>) -> TractResult<TVec<TValue>>,
    ) -> TractResult<Vec<TValue>> {
        let mut values: Vec<Option<TValue>> = vec![None; self.values];
        values[0] = Some(input);
        let missing = || TractError::msg("a piece takes what no earlier one gives");
        for piece in &self.pieces {
            let inputs = piece.inputs.iter().map(|&at| values[at].clone().ok_or_else(missing));
            let outputs = run(piece, inputs.collect::<TractResult<_>>()?)?;
            for (&at, value) in piece.outputs.iter().zip(outputs) {
                values[at] = Some(value);
            }
        }
        self.outputs.iter().map(|&at| values[at].clone().ok_or_else(missing)).collect()
    }
}

/// A piece before it is optimised, with its ends in the network's terms.
struct Part {
    network: TypedModel,
    inputs: Vec<OutletId>,
    outputs: Vec<OutletId>,
}

/// A network cut into parts.
struct Cut {
    pieces: Vec<Part>,
    /// A number for each tensor between parts, and for the ends of the network.
    values: HashMap<OutletId, usize>,
}

impl Cut {
    /// None for a network that is to be one piece.
    fn new(network: &TypedModel) -> TractResult<Option<Self>> {
        let mut nodes = network.eval_order()?;
        nodes.retain(|&id| computes(network.node(id)));
        let is_computed = |outlet: &OutletId| computes(network.node(outlet.node));
        let [input] = network.inputs.as_slice() else { return Ok(None) };
        if nodes.len() <= WHOLE || !network.outputs.iter().all(is_computed) {
            return Ok(None);
        }
        let mut part_of = vec![usize::MAX; network.nodes.len()];
        for (part, ids) in nodes.chunks(PIECE).enumerate() {
            ids.iter().for_each(|&id| part_of[id] = part);
        }
        let mut crossing: HashSet<OutletId> = network.outputs.iter().copied().collect();
        for &id in &nodes {
            let inputs = network.node(id).inputs.iter();
            crossing.extend(inputs.filter(|outlet| part_of[outlet.node] != part_of[id]));
        }
        let mut values = HashMap::from([(*input, 0)]);
        let mut pieces = Vec::new();
        for ids in nodes.chunks(PIECE) {
            let part = Part::new(network, ids, &crossing)?;
            for &outlet in part.inputs.iter().chain(&part.outputs) {
                let next = values.len();
                values.entry(outlet).or_insert(next);
            }
            pieces.push(part);
        }
        Ok(Some(Self { pieces, values }))
    }
}

impl Part {
    /// Some nodes of `network`; tensors that are constant come along.
    fn new(
        network: &TypedModel,
        nodes: &[usize],
        crossing: &HashSet<OutletId>,
    ) -> TractResult<Self> {
        let mut part =
            Self { network: TypedModel::default(), inputs: Vec::new(), outputs: Vec::new() };
        let mut wires: HashMap<OutletId, OutletId> = HashMap::new();
        let mut ends = Vec::new();
        for &id in nodes {
            let node = network.node(id);
            let mut inputs = TVec::new();
            for &outlet in &node.inputs {
                let wire = match wires.get(&outlet) {
                    Some(&wire) => wire,
                    None => part.bring(network, outlet)?,
                };
                wires.insert(outlet, wire);
                inputs.push(wire);
            }
            let outputs = part.network.wire_node(node.name.clone(), node.op.clone(), &inputs)?;
            for (slot, &wire) in outputs.iter().enumerate() {
                let outlet = OutletId::new(id, slot);
                wires.insert(outlet, wire);
                if crossing.contains(&outlet) {
                    part.outputs.push(outlet);
                    ends.push(wire);
                }
            }
        }
        part.network.select_output_outlets(&ends)?;
        Ok(part)
    }

    /// A tensor from outside: a constant, or an input.
    fn bring(&mut self, network: &TypedModel, outlet: OutletId) -> TractResult<OutletId> {
        let name = &network.node(outlet.node).name;
        let name = if outlet.slot == 0 { name.clone() } else { format!("{name}.{}", outlet.slot) };
        let fact = network.outlet_fact(outlet)?;
        match &fact.konst {
            Some(value) => self.network.add_const(name, value.clone()),
            None => {
                self.inputs.push(outlet);
                self.network.add_source(name, fact.without_value())
            }
        }
    }
}
