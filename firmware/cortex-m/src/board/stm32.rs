//! STM32 boards: the cycle counter at the clock that the chip starts with, and an LED as trace pin.
//!
//! Reference manuals RM0390 (STM32F446) and RM0433 (STM32H743), "RCC" and "GPIO"; user manuals
//! UM1724 (Nucleo-64) and UM1974 (Nucleo-144), "LEDs".

use core::convert::Infallible;

use cortex_m::Peripherals;
use embedded_hal::digital::{ErrorType, OutputPin};

use super::register::Register;
use crate::clock::Dwt;

/// What differs between the boards.
struct Chip {
    /// The internal oscillator, which runs the processor after a reset.
    hertz: u64,
    /// Address of the register that gives GPIO ports their clock, and the port's bit in it.
    port_clock: usize,
    port_clock_bit: u32,
    /// Address of the LED's GPIO port, and its pin.
    port: usize,
    pin: u32,
}

/// LD2 on PA5.
#[cfg(board = "nucleo-f446re")]
const CHIP: Chip = Chip {
    hertz: 16_000_000,
    port_clock: 0x4002_3830,
    port_clock_bit: 0,
    port: 0x4002_0000,
    pin: 5,
};

/// LD1 on PB0.
#[cfg(board = "stm32h743")]
const CHIP: Chip = Chip {
    hertz: 64_000_000,
    port_clock: 0x5802_44e0,
    port_clock_bit: 1,
    port: 0x5802_0400,
    pin: 0,
};

// SAFETY: gives a GPIO port its clock; the reference manual has the address.
const PORT_CLOCK: Register = unsafe { Register::at(CHIP.port_clock) };
// SAFETY: the mode of the port's pins, of which only the LED's is changed.
const MODES: Register = unsafe { Register::at(CHIP.port) };
// SAFETY: sets and resets single pins of the port.
const SET_RESET: Register = unsafe { Register::at(CHIP.port + 0x18) };

/// Starts the clock and prepares the trace pin.
pub fn start() -> (Dwt, Led) {
    PORT_CLOCK.replace(1 << CHIP.port_clock_bit, 1 << CHIP.port_clock_bit);
    // The port answers two cycles later, which reading the register takes.
    PORT_CLOCK.read();
    const OUTPUT: u32 = 1;
    MODES.replace(3 << (2 * CHIP.pin), OUTPUT << (2 * CHIP.pin));
    #[cfg_attr(not(board = "stm32h743"), expect(unused_mut))]
    let mut peripherals = Peripherals::take();
    // The data cache stays off: a debugger reads the report past it.
    #[cfg(board = "stm32h743")]
    if let Some(peripherals) = &mut peripherals {
        peripherals.SCB.enable_icache();
    }
    (Dwt::start(peripherals, CHIP.hertz), Led)
}

/// A LED that is on while its pin is high.
#[derive(Debug)]
pub struct Led;

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        SET_RESET.write(1 << (CHIP.pin + 16));
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        SET_RESET.write(1 << CHIP.pin);
        Ok(())
    }
}
