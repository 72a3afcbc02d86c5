//! Brings a model to a board.
//!
//! The ways: [`sd_card`] with [`block_device`] for a Raspberry Pi without an operating system;
//! [`ssh`] with [`survey`] for a board that runs Linux, [`os_image`] with [`partitions`] for its card;
//! [`probe`] for a microcontroller. Beside them, [`program`] and [`mod@unit`] are what a Linux board
//! gets, [`smoke`] is its first run, and [`monitor`] reads the console of a board without Linux.
//!
//! What may not be broken: nothing is overwritten that was not named, nothing is left half-written
//! without saying so, and nothing waits without a limit.

pub mod block_device;
mod fat_folders;
pub mod monitor;
pub mod os_image;
pub mod partitions;
pub mod probe;
pub mod program;
pub mod sd_card;
pub mod shell;
pub mod smoke;
pub mod ssh;
pub mod survey;
pub mod unit;
