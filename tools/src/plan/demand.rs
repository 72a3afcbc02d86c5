//! What a model file of a network takes, known before the network has any integers: so that a limit is found
//! broken before images are gone through.
//!
//! What may not be broken: these are the counts of the file's reader (`fixnet::format::Limits`); tests hold
//! them against each other.

use fixnet::ModelError;
use fixnet::format::Limits;

use super::memory::Memory;
use crate::lower::{Kind, Network};

/// Work and memory of one inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements that are visited apart from them.
    pub elements: u64,
    /// Bytes of activations in the arena.
    pub arena_bytes: usize,
}

impl Demand {
    /// What `network` takes.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let (mut macs, mut elements) = (0_u64, 0_u64);
        for layer in &network.layers {
            let output: usize = network.tensors[layer.output].shape.iter().product();
            let output = output as u64;
            let (terms, visits) = match &layer.kind {
                Kind::Conv { .. } | Kind::Logits { .. } => (layer.macs(network), output),
                // A depthwise convolution of one pixel.
                Kind::Pad { .. } => (output, output),
                Kind::MaxPool(geometry) | Kind::AveragePool { geometry, .. } => {
                    let window = geometry.kernel.map(|length| length as u64);
                    (0, output.saturating_mul(window[0] * window[1]))
                }
                Kind::Add
                | Kind::Multiply
                | Kind::Lookup { .. }
                | Kind::Concat { .. }
                | Kind::Subsample { .. } => (0, output),
            };
            macs = macs.saturating_add(terms);
            elements = elements.saturating_add(visits);
        }
        Self { macs, elements, arena_bytes: Memory::plan(network).placement.arena_bytes }
    }

    /// Whether a reader with these limits accepts it.
    ///
    /// # Errors
    /// The reader's complaint.
    pub fn check(&self, limits: &Limits) -> Result<(), ModelError> {
        let Self { macs, elements, arena_bytes } = *self;
        if arena_bytes > limits.arena {
            return Err(ModelError::ArenaTooLarge { needed: arena_bytes, limit: limits.arena });
        }
        if macs > limits.macs {
            return Err(ModelError::TooMuchWork { needed: macs, limit: limits.macs });
        }
        if elements > limits.elements {
            return Err(ModelError::TooManyElements { needed: elements, limit: limits.elements });
        }
        Ok(())
    }
}
