//! Residual networks in int8, from a fixed arena, with the same bytes on every machine.
//!
//! A [`Model`] is a checked view of a `.fxn` file: plan, weights and names, used in place. An
//! [`Arena`] is the one block of memory that an inference needs; [`Model::required`] says its size
//! to the byte. A [`Session`] runs the model in the arena, step by step, with a [`Hook`] around each
//! layer. `fixnet quantize` (the `tools` crate) makes model files from ONNX.
//!
//! ```
//! use fixnet::{Arena, Model, ModelError, Session, SessionError};
//!
//! /// Class with the highest logit; the lowest class wins a tie.
//! fn classify(model: &Model, rgb: &[u8]) -> Result<Option<usize>, SessionError> {
//!     let mut arena = Arena::<65_536>::new();
//!     let mut session = Session::new(model, arena.as_mut_slice())?;
//!     session.set_rgb(rgb)?;
//!     Ok(fixnet::top_class(session.run()?))
//! }
//!
//! // In an application: `static BYTES: &[u8] = fixnet::include_model!("model.fxn");`
//! assert!(matches!(Model::new_checked(&[]), Err(ModelError::Length { .. })));
//! # let _ = classify;
//! ```
//!
//! The layers below, from the bottom: [`numerics`] defines rounding, [`kernels`] compute steps,
//! [`format`](mod@format) is the file, `arena` hands out memory, [`session`] executes the plan,
//! [`profile`] measures it. Everything is integer arithmetic; nothing allocates, nothing panics on
//! any bytes, nothing that was not computed looks like a result ([`RunError`]), and `unsafe` is confined to the instruction-set modules of [`kernels`]. The exception
//! is the feature `tract`: a file may keep the ends of a network in float, which `hybrid` runs and a
//! [`Session`] refuses.
//!
//! Features: `std` (CPU detection, wall clock, aligned buffers), `write` (the model writer),
//! `threads` (convolutions split over a rayon pool), `tract` (the float reference on the same kind of
//! API, and models whose ends stay in float), `cortex-m` (fast kernels for Cortex-M3, M4 and M7),
//! `defmt`, `embedded-hal` (a trace pin).

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
mod bands;
pub mod error;
#[cfg(feature = "tract")]
pub mod float;
pub mod format;
#[cfg(feature = "tract")]
pub mod hybrid;
pub mod kernels;
pub mod layouts;
pub mod numerics;
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
pub use kernels::{KernelFamily, KernelSet};
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

/// The README's example, compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../../README.md")]
struct Readme;
