//! fixnet's host side: from an ONNX file to an int8 model file, and what that costs.
//!
//! [`pipeline`] is the way of the data as a chain of values, for any program; [`cmd`] is the command line,
//! which parses, calls it and prints by [`report`].
//!
//! One module a concern and no way back: [`import`] → [`graph`] → [`fold`] → [`lower`] → [`calibrate`] →
//! [`quantize`] → [`plan`] → [`packing`] → [`compare`]; [`partition`] cuts off the ends that stay in float,
//! [`verify`] holds what was imported against the file.
//!
//! Features: `tract` (default) is the float network - importing, quantizing, comparing; without it
//! `cmd::run` and `cmd::bench` remain, for machines that only run model files. `fetch` (default)
//! downloads. `flash` (default, Unix) brings models to boards.

#[cfg(feature = "tract")]
pub mod attribution;
pub mod bench;
pub mod boards;
#[cfg(feature = "tract")]
pub mod calibrate;
pub mod cmd;
#[cfg(feature = "tract")]
pub mod compare;
pub mod data;
pub mod files;
pub mod firmware;
#[cfg(all(feature = "flash", unix))]
pub mod flash;
#[cfg(feature = "tract")]
pub mod fold;
pub mod graph;
pub mod images;
#[cfg(feature = "tract")]
pub mod import;
#[cfg(feature = "tract")]
pub mod lower;
#[cfg(feature = "tract")]
mod onnx_reference;
#[cfg(feature = "tract")]
pub mod onnx_writer;
pub mod output;
pub mod packing;
#[cfg(feature = "tract")]
pub mod partition;
#[cfg(feature = "tract")]
pub mod pipeline;
#[cfg(feature = "tract")]
pub mod plan;
pub mod process;
pub mod qemu;
#[cfg(feature = "tract")]
pub mod quantize;
pub mod report;
#[cfg(feature = "tract")]
pub mod verify;
pub mod worker;
pub mod zoo;
#[cfg(feature = "tract")]
pub mod zoo_models;

/// The README's examples, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
