//! A model on a Raspberry Pi 3 or 4 without an operating system: checks it, runs it, and reports
//! every layer on UART 0.
//!
//! A host puts the payload at the address of the board's data, or appends it to the image. Under an
//! emulator (feature `semihosting`) the image exits: 0 all inputs ran, 1 the payload was refused,
//! which the line `refused` tells, 3 a fault of the processor, 4 a panic. On a board it stops.

#![no_std]
#![no_main]

mod clock;
mod hardware;
mod payload;
mod stack;
mod start;
mod stop;

use core::fmt::Write;

use fixnet::KernelSet;
use fixnet_board::{Board, Line};

use clock::GenericTimer;
use stop::Outcome;

aarch64_rt::entry!(main, 16);

fn main(_device_tree: u64, _: u64, _: u64, _: u64) -> ! {
    stack::paint();
    let machine = hardware::machine();
    let (mut console, trace_pin) = hardware::open(machine);
    let (arena, records) = hardware::memory();
    let mut board = Board {
        name: machine.name(),
        clock_source: "generic-timer",
        clock: GenericTimer,
        trace_pin,
        lines: |line: Line<'_>| {
            // A console that is stuck must not stop the inference.
            let _ = writeln!(console, "{line}");
        },
        stack_bytes: stack::peak,
        kernels: KernelSet::detect(),
        arena,
        records,
    };
    stop::stop(match board.report(payload::find()) {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::Refused,
    })
}
