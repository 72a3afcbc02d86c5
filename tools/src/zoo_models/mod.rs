//! Residual networks with generated weights, so that every test and benchmark can be made anywhere.
//!
//! The networks have the structure and the names of torchvision's (ImageNet family) and of the
//! paper's CIFAR-10 networks with parameter-free shortcuts (option A). Weights are He-initialised,
//! batch norms are unfolded and have non-trivial statistics that match what flows through them, so
//! that activations keep their scale through any depth. One seed gives the same bytes on every
//! machine: only integer arithmetic, IEEE multiplication, division and square root are used.

mod builder;
mod moments;
mod network;

use thiserror::Error;

use crate::graph::Graph;

/// What of a network may be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// Number of scores; 1000 for the ImageNet family, 10 for the CIFAR family by default.
    pub classes: Option<usize>,
    /// Rows and columns of the input; 224 or 32 by default.
    pub input_size: Option<usize>,
    /// Factor on all channel counts.
    pub width_multiplier: f64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { classes: None, input_size: None, width_multiplier: 1.0 }
    }
}

/// A network that cannot be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error("there is no model {name:?}; choose one of {}", names().collect::<Vec<_>>().join(", "))]
    UnknownName { name: String },
    #[error("{value} classes are not within {min}..={max}")]
    Classes { value: usize, min: usize, max: usize },
    #[error("an input size of {value} is not within {min}..={max}")]
    InputSize { value: usize, min: usize, max: usize },
    #[error("a width multiplier of {value} is not within {min}..={max}")]
    Width { value: f64, min: f64, max: f64 },
}

/// How the blocks of a network are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 (which carries the stride) and 1x1 with four times the channels.
    Bottleneck,
    /// Two 3x3 convolutions without a shortcut.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// 7x7 stem, max-pool, four stages from 64 channels, projection shortcuts.
    ImageNet { block: Block, stages: [usize; 4] },
    /// 3x3 stem, three stages from 16 channels; shortcuts by subsampling and zero channels, or
    /// projections.
    Cifar { blocks: usize, projections: bool },
}

const MODELS: &[(&str, Family)] = &[
    ("resnet18", Family::ImageNet { block: Block::Basic, stages: [2, 2, 2, 2] }),
    ("resnet34", Family::ImageNet { block: Block::Basic, stages: [3, 4, 6, 3] }),
    ("resnet50", Family::ImageNet { block: Block::Bottleneck, stages: [3, 4, 6, 3] }),
    ("plain18", Family::ImageNet { block: Block::Plain, stages: [2, 2, 2, 2] }),
    ("plain34", Family::ImageNet { block: Block::Plain, stages: [3, 4, 6, 3] }),
    // MLPerf Tiny's.
    ("resnet8", Family::Cifar { blocks: 1, projections: true }),
    ("resnet20", Family::Cifar { blocks: 3, projections: false }),
    ("resnet32", Family::Cifar { blocks: 5, projections: false }),
    ("resnet44", Family::Cifar { blocks: 7, projections: false }),
    ("resnet56", Family::Cifar { blocks: 9, projections: false }),
    ("resnet110", Family::Cifar { blocks: 18, projections: false }),
];

/// Names that [`build`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// The network `name` with weights drawn from `seed`.
pub fn build(name: &str, seed: u64, options: &ModelOptions) -> Result<Graph, ModelError> {
    let found = MODELS.iter().find(|(known, _)| *known == name);
    let (_, family) = found.ok_or_else(|| ModelError::UnknownName { name: name.to_string() })?;
    check(options)?;
    Ok(network::build(*family, seed, options))
}

fn check(options: &ModelOptions) -> Result<(), ModelError> {
    let (min, max) = (1, 1 << 16);
    if let Some(value) = options.classes.filter(|n| !(min..=max).contains(n)) {
        return Err(ModelError::Classes { value, min, max });
    }
    let (min, max) = (8, 2048);
    if let Some(value) = options.input_size.filter(|n| !(min..=max).contains(n)) {
        return Err(ModelError::InputSize { value, min, max });
    }
    let (min, max, value) = (0.01, 4.0, options.width_multiplier);
    if !(min..=max).contains(&value) {
        return Err(ModelError::Width { value, min, max });
    }
    Ok(())
}
