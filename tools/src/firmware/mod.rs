//! Bare-metal images: build them, give them a model and inputs, read their reports.
//!
//! The images themselves are the workspace `firmware/`; `fixnet qemu` and `fixnet flash` use what is
//! here. What may not be broken: an image is built by `firmware/cargo.sh` only, which knows the
//! compilers.

mod build;
mod decode;
mod flat_binary;
mod payload;
mod report;
mod size;

pub use build::{BuildError, Console, build, build_minimal};
pub use decode::{DecodeError, console_text};
pub use flat_binary::{FlatBinaryError, flat_binary};
pub use payload::{PayloadInputError, payload};
pub use report::{BoardInference, BoardLayer, BoardReport, ReportError};
pub use size::{ImageSize, SizeError, image_size};
