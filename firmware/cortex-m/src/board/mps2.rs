//! Arm MPS2: timer 0 as clock, since QEMU has no cycle counter, and an LED as trace pin.
//!
//! Cortex-M System Design Kit, "APB timer"; application notes AN385, AN386 and AN500, "FPGA system
//! control and I/O", and AN505, "Memory map overview" and "FPGA system control and I/O".

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, OutputPin};
use fixnet::profile::{Clock, WideCounter};

use super::register::Register;

/// The timer begins this many ticks before it wraps, so that short runs pass a wrap, too.
const UNTIL_WRAP: u32 = 1 << 21;

/// Frequency of the timer, and where it and the register of the user LEDs lie.
#[cfg(not(board = "qemu-mps2-an505"))]
const LAYOUT: (u64, usize, usize) = (25_000_000, 0x4000_0000, 0x4002_8000);
/// The same with a Cortex-M33, by the addresses of Secure state.
#[cfg(board = "qemu-mps2-an505")]
const LAYOUT: (u64, usize, usize) = (20_000_000, 0x5000_0000, 0x5030_2000);

const HERTZ: u64 = LAYOUT.0;
const TIMER: usize = LAYOUT.1;
// SAFETY: registers of timer 0, which raises no interrupt here.
const TIMER_CONTROL: Register = unsafe { Register::at(TIMER) };
// SAFETY: as above.
const TIMER_VALUE: Register = unsafe { Register::at(TIMER + 4) };
// SAFETY: as above.
const TIMER_RELOAD: Register = unsafe { Register::at(TIMER + 8) };
// SAFETY: the register of the two user LEDs.
const LEDS: Register = unsafe { Register::at(LAYOUT.2) };
const LED_0: u32 = 1;

/// Starts the clock and prepares the trace pin.
pub fn start() -> (CmsdkTimer, Led) {
    TIMER_RELOAD.write(u32::MAX);
    TIMER_VALUE.write(UNTIL_WRAP);
    TIMER_CONTROL.write(1);
    (CmsdkTimer(WideCounter::new(elapsed())), Led)
}

/// A 32-bit timer that counts down and starts over: a layer must be shorter than 171 s
/// (with a Cortex-M33: 214 s).
#[derive(Debug)]
pub struct CmsdkTimer(WideCounter);

fn elapsed() -> u32 {
    u32::MAX - TIMER_VALUE.read()
}

impl Clock for CmsdkTimer {
    fn ticks(&mut self) -> u64 {
        self.0.at(elapsed())
    }
    fn ticks_per_second(&self) -> u64 {
        HERTZ
    }
    fn emulated(&self) -> bool {
        true
    }
}

/// User LED 0.
#[derive(Debug)]
pub struct Led;

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        LEDS.replace(LED_0, 0);
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        LEDS.replace(LED_0, LED_0);
        Ok(())
    }
}
