//! General-purpose pins: UART 0 on the header, and a pin that a logic analyser watches.

use core::convert::Infallible;
use core::hint::spin_loop;

use embedded_hal::digital::{ErrorType, OutputPin};
use safe_mmio::fields::{ReadPureWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::machine::Machine;

/// Pin 40 of the header; 39 beside it is ground.
pub const TRACE_PIN: usize = 21;
/// Pins 8 and 10 of the header: transmit and receive.
const UART_PINS: [usize; 2] = [14, 15];

/// GPFSEL: 3 bits a pin, 10 pins a register.
const OUTPUT: u32 = 0b001;
const ALTERNATIVE_0: u32 = 0b100;

/// "BCM2711 ARM Peripherals", 5.2; the BCM2837 has the same up to 0x9c, and there `pull_clock` is
/// how a pull is set.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct GpioRegisters {
    function: [ReadPureWrite<u32>; 6],
    reserved_18: u32,
    set: [WriteOnly<u32>; 2],
    reserved_24: u32,
    clear: [WriteOnly<u32>; 2],
    reserved_30: [u32; 25],
    /// GPPUD, BCM2837 only.
    pull: ReadPureWrite<u32>,
    /// GPPUDCLK, BCM2837 only.
    pull_clock: [ReadPureWrite<u32>; 2],
    reserved_a0: [u32; 17],
    /// GPIO_PUP_PDN_CNTRL_REG: 2 bits a pin, BCM2711 only.
    pull_control: [ReadPureWrite<u32>; 4],
}

const _: () = assert!(size_of::<GpioRegisters>() == 0xf4);

/// All pins.
pub struct Gpio<'a> {
    registers: UniqueMmioPointer<'a, GpioRegisters>,
}

impl<'a> Gpio<'a> {
    /// The pins behind these registers.
    #[must_use]
    pub const fn new(registers: UniqueMmioPointer<'a, GpioRegisters>) -> Self {
        Self { registers }
    }

    /// Leads UART 0 to the header, with no pull on its pins.
    pub fn connect_uart(&mut self, machine: Machine) {
        for pin in UART_PINS {
            self.set_function(pin, ALTERNATIVE_0);
        }
        match machine {
            Machine::Bcm2837 => self.release_pull_bcm2837(),
            Machine::Bcm2711 => self.release_pull_bcm2711(),
        }
    }

    /// The trace pin, low.
    #[must_use]
    pub fn into_trace_pin(mut self) -> TracePin<'a> {
        self.set_function(TRACE_PIN, OUTPUT);
        let mut pin = TracePin { registers: self.registers };
        let Ok(()) = pin.set_low();
        pin
    }

    fn set_function(&mut self, pin: usize, function: u32) {
        let mut registers = field!(self.registers, function);
        let Some(mut register) = registers.get(pin / 10) else { return };
        let shift = pin % 10 * 3;
        let others = register.read() & !(0b111 << shift);
        register.write(others | function << shift);
    }

    /// "BCM2837 ARM Peripherals", 6.1, GPPUDCLKn: the wanted pull (0: none), 150 cycles, a clock to
    /// the pins that take it, 150 cycles, and both away.
    fn release_pull_bcm2837(&mut self) {
        let pins = UART_PINS.iter().fold(0, |pins, pin| pins | 1 << pin);
        field!(self.registers, pull).write(0);
        wait_150_cycles();
        self.clock_pull(pins);
        wait_150_cycles();
        self.clock_pull(0);
    }

    fn clock_pull(&mut self, pins: u32) {
        if let Some(mut clock) = field!(self.registers, pull_clock).get(0) {
            clock.write(pins);
        }
    }

    fn release_pull_bcm2711(&mut self) {
        let mut registers = field!(self.registers, pull_control);
        for pin in UART_PINS {
            let Some(mut register) = registers.get(pin / 16) else { return };
            let pulls = register.read();
            register.write(pulls & !(0b11 << (pin % 16 * 2)));
        }
    }
}

fn wait_150_cycles() {
    (0..150).for_each(|_| spin_loop());
}

/// High while a layer runs.
pub struct TracePin<'a> {
    registers: UniqueMmioPointer<'a, GpioRegisters>,
}

impl ErrorType for TracePin<'_> {
    type Error = Infallible;
}

impl OutputPin for TracePin<'_> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        if let Some(mut register) = field!(self.registers, clear).get(0) {
            register.write(1 << TRACE_PIN);
        }
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        if let Some(mut register) = field!(self.registers, set).get(0) {
            register.write(1 << TRACE_PIN);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    const FUNCTION_1: usize = 0x04;
    const FUNCTION_2: usize = 0x08;
    const PULL: usize = 0x94;
    const PULL_CLOCK_0: usize = 0x98;
    const PULL_CONTROL_0: usize = 0xe4;

    /// Registers before `use_them`, and what it leaves in them.
    fn after(before: &[(usize, u32)], use_them: impl FnOnce(Gpio<'_>)) -> impl Fn(usize) -> u32 {
        let mut registers = GpioRegisters::new_zeroed();
        for (offset, value) in before {
            registers.as_mut_bytes()[*offset..][..4].copy_from_slice(&value.to_le_bytes());
        }
        use_them(Gpio::new(UniqueMmioPointer::from(&mut registers)));
        move |offset| u32::from_le_bytes(registers.as_bytes()[offset..][..4].try_into().unwrap())
    }

    #[test]
    fn the_uart_takes_its_pins_and_leaves_the_others() {
        for machine in [Machine::Bcm2837, Machine::Bcm2711] {
            let register = after(&[(FUNCTION_1, u32::MAX)], |mut pins| pins.connect_uart(machine));
            // Pins 14 and 15 are at bits 12 and 15.
            assert_eq!(register(FUNCTION_1), !(0o77 << 12) | 0o44 << 12);
        }
    }

    #[test]
    fn each_chip_loses_the_pulls_of_the_uart_in_its_own_way() {
        let before = [(PULL, 2), (PULL_CLOCK_0, 7), (PULL_CONTROL_0, u32::MAX)];
        let old = after(&before, |mut pins| pins.connect_uart(Machine::Bcm2837));
        assert_eq!((old(PULL), old(PULL_CLOCK_0), old(PULL_CONTROL_0)), (0, 0, u32::MAX));
        let new = after(&before, |mut pins| pins.connect_uart(Machine::Bcm2711));
        assert_eq!((new(PULL), new(PULL_CLOCK_0), new(PULL_CONTROL_0)), (2, 7, u32::MAX >> 4));
    }

    #[test]
    fn the_trace_pin_is_an_output_that_starts_low() {
        let register = after(&[], |pins| drop(pins.into_trace_pin()));
        assert_eq!(register(FUNCTION_2), 0o10);
        assert_eq!((register(0x1c), register(0x28)), (0, 1 << TRACE_PIN));
        let raised = after(&[], |pins| {
            let Ok(()) = pins.into_trace_pin().set_high();
        });
        assert_eq!(raised(0x1c), 1 << TRACE_PIN);
    }
}
