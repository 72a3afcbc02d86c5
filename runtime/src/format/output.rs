//! What a network gives: its outputs, each with a name, a kind, and what is left to do to its integers.
//!
//! A file of one vector of scores says nothing of its output; since version 1.9 a table says what others
//! give. The plan computes tensors. A function that stood behind one in the network, a Sigmoid or a
//! normalization, is applied to the real values where they are read, in [`Output::values`].

use core::str::Lines;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Activation, Model};

/// Outputs of one model at most.
pub const MAX_OUTPUTS: usize = 64;

/// An output of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct OutputRecord {
    /// The tensor that holds it when all steps have run.
    pub tensor: u16,
    /// [`OutputKind`].
    pub kind: u8,
    /// [`OutputFunction`].
    pub function: u8,
    /// [`Selection`].
    pub selection: u8,
    pub reserved: [u8; 3],
    /// Values that a selection gives; 0 without one.
    pub count: u32,
    /// Behind the layers' names.
    pub name_offset: u32,
    pub name_bytes: u32,
}

/// What an output means, and so how it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum OutputKind {
    /// One number a class; the largest is the network's choice.
    Scores = 0,
    /// Numbers between 0 and 1, each a decision of its own.
    Probability = 1,
    /// Classes by number, the best first.
    Index = 2,
    /// Features.
    Vector = 3,
    /// Features of every pixel, HWC.
    Map = 4,
}

impl OutputKind {
    /// The kind with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Scores,
            1 => Self::Probability,
            2 => Self::Index,
            3 => Self::Vector,
            4 => Self::Map,
            _ => return None,
        })
    }

    /// `scores`, `probability`, `index`, `vector` or `map`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Probability => "probability",
            Self::Index => "index",
            Self::Vector => "vector",
            Self::Map => "map",
        }
    }
}

/// What is applied to the real values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum OutputFunction {
    None = 0,
    /// `1 / (1 + exp(-x))`.
    Sigmoid = 1,
    /// All values divided by the square root of the sum of their squares; zeros stay zeros.
    L2Norm = 2,
    /// `exp(x) / sum(exp(x))`, the sum over all values.
    Softmax = 3,
    /// The logarithm of that.
    LogSoftmax = 4,
}

impl OutputFunction {
    /// The function with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Sigmoid,
            2 => Self::L2Norm,
            3 => Self::Softmax,
            4 => Self::LogSoftmax,
            _ => return None,
        })
    }
}

/// Which values of a tensor an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Selection {
    All = 0,
    /// The largest, from the largest on.
    Largest = 1,
    /// The positions of the largest, from that of the largest on; of equal values the first comes first.
    Positions = 2,
}

impl Selection {
    /// The selection with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::All,
            1 => Self::Largest,
            2 => Self::Positions,
            _ => return None,
        })
    }
}

/// An output of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output<'m> {
    /// As the ONNX file calls it; of a file without a table, the last layer's.
    pub name: &'m str,
    pub kind: OutputKind,
    pub function: OutputFunction,
    pub selection: Selection,
    /// The tensor that holds it: int8, or i32.
    pub activation: Activation,
    /// Number of values.
    pub count: usize,
}

impl<'m> Output<'m> {
    pub(super) fn new(
        name: &'m str,
        record: &OutputRecord,
        activation: Activation,
    ) -> Option<Self> {
        let selection = Selection::from_code(record.selection)?;
        Some(Self {
            name,
            kind: OutputKind::from_code(record.kind)?,
            function: OutputFunction::from_code(record.function)?,
            selection,
            activation,
            count: match selection {
                Selection::All => activation.elements(),
                _ => record.count as usize,
            },
        })
    }

    /// That of a file that says nothing of it.
    pub(super) const fn scores(name: &'m str, activation: Activation) -> Self {
        Self {
            name,
            kind: OutputKind::Scores,
            function: OutputFunction::None,
            selection: Selection::All,
            activation,
            count: activation.elements(),
        }
    }

    /// The real values of the tensor, whose bytes these are; as many as there are bytes for.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn tensor_values(&self, bytes: &[u8]) -> std::vec::Vec<f64> {
        let (scale, zero) = (f64::from(self.activation.scale), self.activation.zero_point);
        if self.activation.wide {
            let words = bytes.as_chunks::<4>().0.iter();
            return words.map(|&word| f64::from(i32::from_le_bytes(word)) * scale).collect();
        }
        let zero = f64::from(zero);
        bytes.iter().map(|&byte| (f64::from(byte.cast_signed()) - zero) * scale).collect()
    }

    /// What the network gives for real values of its tensor: those selected, with the function applied.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn values(&self, tensor: &[f64]) -> std::vec::Vec<f64> {
        use std::vec::Vec;
        let mut best: Vec<usize> = (0..tensor.len()).collect();
        if self.selection != Selection::All {
            // Stable: of equal values, zeros of both signs among them, the first stays first.
            best.sort_by(|&a, &b| (tensor[b] + 0.0).total_cmp(&(tensor[a] + 0.0)));
            best.truncate(self.count);
        }
        if self.selection == Selection::Positions {
            return best.into_iter().map(|position| position as f64).collect();
        }
        let values = best.into_iter().map(|position| tensor[position]);
        // Against the largest, so that no exponential overflows.
        let largest = tensor.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = || tensor.iter().map(|x| (x - largest).exp()).sum::<f64>();
        match self.function {
            OutputFunction::None => values.collect(),
            OutputFunction::Sigmoid => values.map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
            OutputFunction::L2Norm => {
                let norm = tensor.iter().map(|x| x * x).sum::<f64>().sqrt();
                values.map(|x| if norm > 0.0 { x / norm } else { 0.0 }).collect()
            }
            OutputFunction::Softmax => {
                let sum = sum();
                values.map(|x| (x - largest).exp() / sum).collect()
            }
            OutputFunction::LogSoftmax => {
                let log = sum().ln();
                values.map(|x| x - largest - log).collect()
            }
        }
    }
}

impl<'m> Model<'m> {
    /// What the int8 plan gives, in order; before a float tail, what that takes. None of a network that is
    /// float as a whole.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'m>> + use<'m> {
        let model = *self;
        let told = model.outputs.iter().filter_map(move |record| {
            let name = model.text(record.name_offset, record.name_bytes);
            Output::new(name, record, model.activation(record.tensor)?)
        });
        let last = model.layers().last().filter(|_| model.outputs.is_empty());
        told.chain(last.map(|layer| Output::scores(layer.name, model.output())))
    }

    /// Whether the file says what its outputs are; one that does not has one vector of scores.
    #[must_use]
    pub fn tells_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// The classes' names, as many as [`Model::classes`] says; none if the file has none.
    #[must_use]
    pub fn labels(&self) -> Option<Lines<'m>> {
        let (offset, bytes) = (self.header.labels_offset, self.header.labels_bytes);
        (bytes != 0).then(|| self.text(offset, bytes).lines())
    }
}

const _: () = assert!(size_of::<OutputRecord>() == 20);
