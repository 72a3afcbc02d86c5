//! Loops over many values: pixels, activations, weights.
//!
//! All that `tools` computes for every pixel, every element of a tensor or every weight stands here and is
//! optimised in the profile `dev`; `tools` itself, which decides and prints, is not, and builds in a
//! quarter of the time (CONTRIBUTING.md). What may not be broken: nothing here reads a file, knows a
//! network or prints, and the same arguments give the same results on every machine.

pub mod bytes;
pub mod convolution;
pub mod dead_leaves;
pub mod fidelity;
mod histogram;
mod noise;
pub mod order;
mod pixels;
mod random;
pub mod resample;
mod statistics;
pub mod weights;

pub use histogram::{Histogram, squared_error};
pub use noise::noise;
pub use pixels::{Normalisation, Pixels};
pub use statistics::{Statistics, all_finite};
