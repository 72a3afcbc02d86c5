//! The lines of a report: one grammar, read by `fixnet qemu` and `fixnet flash --monitor`.
//!
//! What may not be broken: `Display` and `defmt::Format` give the same text, since hosts read both.

use core::fmt;

use fixnet::format::PayloadError;
use fixnet::{ModelError, SessionError};

/// Why a board did not run what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    Payload(PayloadError),
    Model(ModelError),
    Session(SessionError),
    /// The model has more layers than the image has room to report.
    Layers {
        needed: usize,
        available: usize,
    },
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

/// One line of a report: one fact, after a word that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Line<'a> {
    /// The name of the board's data.
    Board(&'a str),
    /// Where ticks come from, and how many make a second; 0 if unknown.
    Clock(&'a str, u64),
    /// CRC-32 of the model file as the board sees it.
    ModelCrc32(u32),
    /// What inference needs: activations and scratch.
    ArenaBytes(usize),
    /// How an arena is refused that is one byte short.
    ArenaShort(SessionError),
    /// How an arena is refused that begins one byte late.
    ArenaShifted(SessionError),
    /// CRC-32 of the int8 input.
    Input(u32),
    /// A step's index, kernel, time, the CRC-32 of its output if asked for, and its layer's name.
    Layer {
        index: usize,
        kernel: &'a str,
        ticks: u64,
        crc32: Option<u32>,
        name: &'a str,
    },
    Logits(&'a [i32]),
    /// An output's index and the CRC-32 of its bytes, of networks of several outputs or of other kinds.
    Output(usize, u32),
    /// Time of the whole inference.
    Ticks(u64),
    /// Most bytes of stack in use so far.
    StackBytes(usize),
    Refused(Refusal),
    Done,
}

/// Both implementations from one list of formats.
macro_rules! formats {
    ($($pattern:pat => ($($format:tt)*)),* $(,)?) => {
        impl fmt::Display for Line<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self { $($pattern => write!(f, $($format)*),)* }
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for Line<'_> {
            fn format(&self, f: defmt::Formatter<'_>) {
                match *self { $($pattern => defmt::write!(f, $($format)*),)* }
            }
        }
    };
}

formats! {
    Line::Board(name) => ("board {}", name),
    Line::Clock(source, ticks_per_second) => ("clock {} {}", source, ticks_per_second),
    Line::ModelCrc32(crc32) => ("model_crc32 {:08x}", crc32),
    Line::ArenaBytes(bytes) => ("arena_bytes {}", bytes),
    Line::ArenaShort(error) => ("arena_short {:?}", error),
    Line::ArenaShifted(error) => ("arena_shifted {:?}", error),
    Line::Input(crc32) => ("input {:08x}", crc32),
    Line::Layer { index, kernel, ticks, crc32: Some(crc32), name } =>
        ("layer {} {} {} {:08x} {}", index, kernel, ticks, crc32, name),
    Line::Layer { index, kernel, ticks, crc32: None, name } =>
        ("layer {} {} {} - {}", index, kernel, ticks, name),
    Line::Logits(logits) => ("logits {:?}", logits),
    Line::Output(index, crc32) => ("output {} {:08x}", index, crc32),
    Line::Ticks(ticks) => ("ticks {}", ticks),
    Line::StackBytes(bytes) => ("stack_bytes {}", bytes),
    Line::Refused(refusal) => ("refused {:?}", refusal),
    Line::Done => ("done"),
}
