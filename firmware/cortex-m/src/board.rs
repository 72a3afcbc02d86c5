//! The board that this image is for: its figures, which `build.rs` takes from
//! `boards/<name>/board.toml`, and the registers behind its clock and its trace pin.
//!
//! A board of another chip needs no code: its cycles are counted, and it has no trace pin.

#[cfg_attr(clock = "cmsdk-timer", path = "board/mps2.rs")]
#[cfg_attr(any(board = "nucleo-f446re", board = "stm32h743"), path = "board/stm32.rs")]
#[cfg_attr(
    not(any(clock = "cmsdk-timer", board = "nucleo-f446re", board = "stm32h743")),
    path = "board/other.rs"
)]
mod chip;
#[cfg(any(clock = "cmsdk-timer", board = "nucleo-f446re", board = "stm32h743"))]
mod register;

pub use chip::start;

include!(concat!(env!("OUT_DIR"), "/board.rs"));
