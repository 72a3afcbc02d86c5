//! fixnet's host side: from an ONNX file to an int8 model file, and what that costs.
//!
//! The way of the data, one module a concern and no way back:
//! [`import`] → [`graph`] → [`fold`] → [`lower`] → [`calibrate`] → [`quantize`] (with [`plan`]) →
//! `fixnet::format::write`; [`compare`] judges the result by the float network, [`report`] prints,
//! [`cmd`] is the command line.

pub mod bench;
pub mod boards;
pub mod calibrate;
pub mod cmd;
pub mod compare;
pub mod data;
pub mod firmware;
pub mod fold;
pub mod graph;
pub mod images;
pub mod import;
pub mod lower;
pub mod onnx_writer;
pub mod output;
pub mod plan;
pub mod process;
pub mod quantize;
pub mod report;
pub mod source;
pub mod zoo;
pub mod zoo_models;
