//! The machine's peripherals and the memory that it lends to inference.

use core::ptr::{NonNull, with_exposed_provenance_mut};

use aarch64_cpu::registers::{MIDR_EL1, Readable};
use arm_pl011_uart::Uart;
use fixnet::Arena;
use fixnet::format::MAX_RECORDS;
use fixnet_board::Record;
use fixnet_raspi::board::ARENA_BYTES;
use fixnet_raspi::console::Console;
use fixnet_raspi::gpio::{Gpio, TracePin};
use fixnet_raspi::machine::Machine;
use safe_mmio::UniqueMmioPointer;
use static_cell::ConstStaticCell;

static ARENA: ConstStaticCell<Arena<ARENA_BYTES>> = ConstStaticCell::new(Arena::new());
static RECORDS: ConstStaticCell<[Record; MAX_RECORDS]> =
    ConstStaticCell::new([Record::EMPTY; MAX_RECORDS]);

/// The Raspberry Pi that the image runs on.
pub fn machine() -> Machine {
    Machine::from_midr(MIDR_EL1.get())
}

/// The console and the trace pin; those of an earlier call must not be used any more.
pub fn open(machine: Machine) -> (Console<Uart<'static>>, TracePin<'static>) {
    // SAFETY: both blocks of registers are mapped as device memory for ever. One core runs, and a
    // caller that opens them again, in a fault or a panic, never returns to the former owner.
    let (gpio, uart) = unsafe { (registers(machine.gpio()), registers(machine.uart())) };
    let mut gpio = Gpio::new(gpio);
    gpio.connect_uart(machine);
    (Console::open(Uart::new(uart)), gpio.into_trace_pin())
}

/// # Safety
/// As [`UniqueMmioPointer::new`], for a `T` at `address`, which is not 0.
unsafe fn registers<T>(address: usize) -> UniqueMmioPointer<'static, T> {
    // SAFETY: no machine has registers at address 0; the rest is up to the caller.
    unsafe { UniqueMmioPointer::new(NonNull::new_unchecked(with_exposed_provenance_mut(address))) }
}

/// Arena and records; to be called once.
pub fn memory() -> (&'static mut [u8], &'static mut [Record]) {
    (ARENA.take().as_mut_slice(), RECORDS.take())
}
