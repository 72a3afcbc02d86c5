//! What the fuzz targets share: networks drawn from a fuzzer's bytes, and the check that every kernel set
//! gives the same bytes on any number of threads.
//!
//! A panic, an access outside of an allocation, an allocation without bound and a run without end are
//! findings; so is any byte that differs. Nothing here catches a panic.

pub mod choices;
pub mod everywhere;
pub mod files;
pub mod forge;
pub mod network;
pub mod onnx;

pub use choices::Choices;
