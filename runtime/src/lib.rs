#![cfg_attr(feature = "std", doc = include_str!("../README.md"))]
//!
//! ## Inside
//!
//! A [`Model`] is a checked view of a `.fxn` file: plan, weights and names, used in place. An
//! [`Arena`] is the one block of memory that an inference needs; [`Model::required`] says its size
//! to the byte. A [`Session`] runs the model in the arena, step by step, with a [`Hook`] around each
//! layer.
//!
//! The layers below, from the bottom: [`numerics`] defines rounding, [`kernels`] compute steps,
//! [`format`](mod@format) is the file, `arena` hands out memory, [`session`] executes the plan,
//! [`profile`] measures it. Everything is integer arithmetic; nothing allocates, nothing panics on
//! any bytes, nothing that was not computed looks like a result ([`RunError`]), and `unsafe` is confined
//! to the instruction-set modules of [`kernels`]. The exception is the feature `tract`: a file may keep
//! the ends of a network in float, which `hybrid` runs and a [`Session`] refuses.

#![cfg_attr(not(test), no_std)]
#![deny(missing_debug_implementations)]

#[cfg(any(feature = "std", test))]
extern crate std;

// What test programs share, which names this crate as they do.
#[cfg(test)]
extern crate self as fixnet;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod arena;
pub mod error;
#[cfg(feature = "tract")]
pub mod float;
pub mod format;
#[cfg(feature = "tract")]
pub mod hybrid;
pub mod kernels;
pub mod numerics;
mod parallel;
pub mod preprocess;
pub mod profile;
pub mod session;
#[cfg(feature = "threads")]
pub mod threads;

#[cfg(feature = "std")]
pub use arena::AlignedBytes;
pub use arena::Arena;
pub use error::{Fault, ModelError, RunError, SessionError};
pub use format::Model;
pub use kernels::{KernelFamily, KernelSet, layouts};
pub use session::{Hook, Session, StepInfo};

/// Index of the highest logit; the lowest index wins a tie, a NaN never wins, and `None` means that
/// there is no logit to choose.
#[must_use]
pub fn top_class<T: PartialOrd>(logits: &[T]) -> Option<usize> {
    let mut best: Option<(usize, &T)> = None;
    let ordered = |logit: &&T| logit.partial_cmp(logit).is_some();
    for (class, logit) in logits.iter().enumerate().filter(|(_, logit)| ordered(logit)) {
        if best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((class, logit));
        }
    }
    best.map(|(class, _)| class)
}
