//! Images for boards: what a build leaves, made into what a board loads.

mod flat_binary;

pub use flat_binary::{FlatBinaryError, flat_binary};
