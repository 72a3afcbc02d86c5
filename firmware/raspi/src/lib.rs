//! The parts of the image for Raspberry Pi that need no Raspberry Pi: what a processor's identity
//! tells, the memory map, and drivers over registers that a test can fake.
//!
//! What may not be broken: one image serves the Pi 3 and the Pi 4; what differs between them is
//! decided at run time by [`machine::Machine`] and nowhere else.

#![cfg_attr(not(test), no_std)]

pub mod console;
pub mod gpio;
pub mod machine;
pub mod translation;

/// The board that `FIXNET_BOARD` named, from its `board.toml`.
pub mod board {
    include!(concat!(env!("OUT_DIR"), "/board.rs"));
}
