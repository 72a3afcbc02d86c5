//! Lines of text on UART 0: 115,200 baud, 8 data bits, no parity, one stop bit.

use core::fmt;

use arm_pl011_uart::{DataBits, LineConfig, Parity, StopBits, Uart};

const BAUD: u32 = 115_200;
/// `init_uart_clock` of `config.txt`.
const CLOCK_HERTZ: u32 = 48_000_000;
const LINE: LineConfig =
    LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };

/// Reads of the flag register after which a UART that takes no byte is given up: some 50 ms, and a
/// byte leaves in 0.1 ms.
const PATIENCE: u32 = 1 << 19;

/// What a console writes its bytes to.
pub trait Port {
    /// Whether a byte would be lost.
    fn is_full(&self) -> bool;
    /// Sends a byte.
    fn send(&mut self, byte: u8);
}

impl Port for Uart<'_> {
    fn is_full(&self) -> bool {
        self.is_tx_fifo_full()
    }

    fn send(&mut self, byte: u8) {
        self.write_word(byte);
    }
}

/// A text console that never hangs: what a dead port does not take is lost.
pub struct Console<P> {
    port: P,
    dead: bool,
}

impl<'a> Console<Uart<'a>> {
    /// Sets the UART up and writes to it.
    #[must_use]
    pub fn open(mut uart: Uart<'a>) -> Self {
        // What the firmware has sent may still be on its way out.
        let _ = (0..PATIENCE).find(|_| !uart.is_busy());
        // The constants are in range, so that this cannot fail; a console could not tell anyway.
        let _ = uart.enable(LINE, BAUD, CLOCK_HERTZ);
        Self::new(uart)
    }
}

impl<P: Port> Console<P> {
    /// A console on a port that is ready.
    pub const fn new(port: P) -> Self {
        Self { port, dead: false }
    }

    fn send(&mut self, byte: u8) {
        // A dead port is asked once a byte, so that text comes again when it wakes.
        let patience = if self.dead { 1 } else { PATIENCE };
        self.dead = (0..patience).all(|_| self.port.is_full());
        if !self.dead {
            self.port.send(byte);
        }
    }
}

impl<P: Port> fmt::Write for Console<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::fmt::Write;

    use arm_pl011_uart::{PL011Registers, UniqueMmioPointer};
    use zerocopy::transmute_mut;

    use super::*;

    #[test]
    fn the_uart_gets_its_rate_and_line() {
        let mut memory = [0_u32; 1024];
        let registers: &mut PL011Registers = transmute_mut!(&mut memory);
        drop(Console::open(Uart::new(UniqueMmioPointer::from(registers))));
        // 48 MHz / (16 * 115,200) = 26 + 3/64.
        let [integer, fraction, line, control] = [0x24, 0x28, 0x2c, 0x30].map(|at| memory[at / 4]);
        assert_eq!((integer, fraction), (26, 3));
        // 8 bits, FIFOs on; receiver, transmitter and UART on.
        assert_eq!((line, control), (0x70, 0x301));
    }

    /// Takes a byte every third time it is asked, and none between `dead_from` and `dead_to`.
    struct Slow {
        sent: Vec<u8>,
        asked: Cell<u32>,
        dead_from: usize,
        revived: bool,
    }

    impl Port for Slow {
        fn is_full(&self) -> bool {
            self.asked.set(self.asked.get() + 1);
            let dead = self.sent.len() >= self.dead_from && !self.revived;
            dead || !self.asked.get().is_multiple_of(3)
        }

        fn send(&mut self, byte: u8) {
            self.sent.push(byte);
        }
    }

    fn slow(dead_from: usize) -> Console<Slow> {
        let port = Slow { sent: Vec::new(), asked: Cell::new(0), dead_from, revived: false };
        Console::new(port)
    }

    #[test]
    fn a_slow_port_gets_every_byte() {
        let mut console = slow(usize::MAX);
        writeln!(console, "layer {}", 7).unwrap();
        assert_eq!(console.port.sent, b"layer 7\r\n");
    }

    #[test]
    fn a_dead_port_costs_its_patience_once_and_may_come_back() {
        let mut console = slow(2);
        console.write_str("abcdefgh").unwrap();
        assert_eq!(console.port.sent, b"ab");
        assert!(console.port.asked.get() < PATIENCE + 20);
        console.port.revived = true;
        console.write_str("...ijk").unwrap();
        assert!(console.port.sent.ends_with(b"ijk"), "{:?}", console.port.sent);
    }
}
