pub mod data;
pub mod fold;
pub mod graph;
pub mod import;
pub mod onnx_writer;
pub mod zoo;
