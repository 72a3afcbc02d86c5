//! A model on a Cortex-M board: checks it, runs it on the inputs of its payload and reports every
//! layer, over semihosting in an emulator or over RTT to a debugger.
//!
//! The report is that of [`fixnet_board`], as defmt frames. Exit codes, for an emulator or a debugger
//! that takes them: 0 all inputs ran, 1 something was refused, which the last line tells, 3 a fault
//! of the processor, 4 a panic.

#![no_std]
#![no_main]

mod board;
#[cfg(clock = "dwt")]
mod clock;
mod startup;

use cortex_m_rt::entry;
#[cfg(feature = "rtt")]
use defmt_rtt as _;
#[cfg(feature = "semihosting")]
use defmt_semihosting as _;
use fixnet::{Arena, KernelSet};
use fixnet_board::{Board, Line, Record};

#[cfg(all(feature = "semihosting", feature = "rtt"))]
compile_error!("choose one of the features `semihosting` and `rtt`");

/// Layers that a report has room for.
const LAYERS: usize = 256;

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ board::ARENA_BYTES }> = Arena::new();
    static mut RECORDS: [Record; LAYERS] = [Record::EMPTY; LAYERS];
    let (clock, trace_pin) = board::start();
    let mut board = Board {
        name: board::NAME,
        clock_source: board::CLOCK_SOURCE,
        clock,
        trace_pin,
        lines: print,
        stack_bytes: startup::stack_peak,
        kernels: KernelSet::detect(),
        arena: ARENA.as_mut_slice(),
        records: RECORDS,
    };
    match board.report(startup::payload()) {
        Ok(()) => startup::exit(0),
        Err(_) => startup::exit(1),
    }
}

fn print(line: Line<'_>) {
    defmt::println!("{}", line);
}
