//! The way of the data as a chain of values, each made from the one before:
//!
//! | Stage | Made by | What it holds |
//! |---|---|---|
//! | [`Source`] | [`Source::open`] | an ONNX file, decoded |
//! | [`Imported`] | [`Source::import`] | its float graph, and the file in tract: the judge |
//! | [`Folded`] | [`Imported::fold`] | the graph with batch norms and padding merged |
//! | [`Lowered`] | [`Folded::lower`] | the layers that have an int8 form, verified against the file |
//! | [`Observed`] | [`Lowered::observe`] | the range of every tensor on calibration images |
//! | [`Quantized`] | [`Observed::quantize`] | the integers of every layer |
//! | [`Planned`] | [`Quantized::plan`] | where every tensor lies in the arena: a portable network |
//! | [`Packed`] | [`Planned::pack`] | the bytes of a model file for one machine |
//! | [`Comparison`] | [`Packed::compare`] | its distance from the float network |
//!
//! ```
//! use tools::data::Recipe;
//! use tools::images::Images;
//! use tools::pipeline::*;
//!
//! # fn main() -> Result<(), PipelineError> {
//! let lowered = Source::bundled()?.import(&ImportOptions::default())?.fold()?.lower()?;
//! let observed = lowered.observe(&Images::for_calibration(0, 4), &Recipe::default(), &())?;
//! let planned = observed.quantize(QuantizeOptions::default())?.plan();
//! let packed = planned.pack(&PackOptions::default())?;
//! let compared = packed.compare(&Images::for_comparison(0, 4), &CompareOptions::default(), &())?;
//! assert!(packed.bytes.len() < 300_000 && compared.agreement.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! A network of which a part stays in float goes through [`Source::partition`], which finds where to cut
//! by importing, folding and lowering what is between the cuts; one that has no int8 form at all becomes
//! a [`FloatOnly`]. [`load`] takes the first of the three that works.
//!
//! [`Source::check`] says beforehand what these will say of a network.
//!
//! Stages that go through images do so on the threads of rayon's current pool. Another program depends on
//! the package `tools` with the feature `tract` alone.
//!
//! What may not be broken: a stage depends on the ones before it and on no command; whoever holds a
//! [`Lowered`] holds a network that computes what its file computes; up to that, stages consume what they
//! are made from, for a network may be large, and after it they borrow, so that one network can be
//! observed, quantized and packed in several ways.

mod check;
mod error;
mod float_only;
mod imported;
mod load;
mod lowered;
mod observed;
mod original;
mod planned;
mod progress;
mod source;
#[cfg(test)]
mod tests;

pub use check::Forecast;
pub use error::{PipelineError, Problem};
pub use float_only::FloatOnly;
pub use imported::{Folded, Imported};
pub use load::{LoadOptions, Loaded, float_network_of, load};
pub use lowered::{Lowered, LoweredOutput};
pub use observed::{Observed, Quantized};
pub use original::Original;
pub use planned::{PackOptions, Packed, Planned};
pub use progress::{Progress, Stage};
pub use source::{BUNDLED, BUNDLED_NAME, Source, name_of};

pub use crate::compare::{CompareOptions, Comparison};
pub use crate::import::ImportOptions;
pub use crate::quantize::QuantizeOptions;
