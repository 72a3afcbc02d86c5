//! Which Raspberry Pi this is, by the identity of its processor.

use crate::board;

/// A chip that this image runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Raspberry Pi 3 and Zero 2 W: Cortex-A53.
    Bcm2837,
    /// Raspberry Pi 4 and 400: Cortex-A72.
    Bcm2711,
}

/// Bits 15 to 4 of MIDR_EL1 (Cortex-A53 and Cortex-A72 Technical Reference Manuals, "Main ID
/// Register").
mod part {
    pub const CORTEX_A72: u64 = 0xd08;
}

impl Machine {
    /// By the value of MIDR_EL1; an unknown processor is taken for the older chip's.
    #[must_use]
    pub const fn from_midr(midr: u64) -> Self {
        match midr >> 4 & 0xfff {
            part::CORTEX_A72 => Self::Bcm2711,
            _ => Self::Bcm2837,
        }
    }

    /// Where the peripherals begin ("BCM2837 ARM Peripherals" and "BCM2711 ARM Peripherals", 1.2;
    /// the latter in low-peripheral mode, which the firmware sets).
    #[must_use]
    pub const fn peripherals(self) -> usize {
        match self {
            Self::Bcm2837 => 0x3f00_0000,
            Self::Bcm2711 => 0xfe00_0000,
        }
    }

    /// The registers of the general-purpose pins.
    #[must_use]
    pub const fn gpio(self) -> usize {
        self.peripherals() + 0x20_0000
    }

    /// The registers of UART 0, a PL011.
    #[must_use]
    pub const fn uart(self) -> usize {
        self.peripherals() + 0x20_1000
    }

    /// The name of the board's data: the one that the image was built for, unless its processor is
    /// another.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name_for(board::BOARD, board::CORE)
    }

    fn name_for(self, board: &'static str, core: &str) -> &'static str {
        let (name, own_core) = match self {
            Self::Bcm2837 => ("raspberry-pi-3", "cortex-a53"),
            Self::Bcm2711 => ("raspberry-pi-4", "cortex-a72"),
        };
        if core == own_core { board } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_tell_the_chip() {
        // Raspberry Pi 3 B+, QEMU's cortex-a53, Raspberry Pi 4.
        assert_eq!(Machine::from_midr(0x410f_d034), Machine::Bcm2837);
        assert_eq!(Machine::from_midr(0x410f_d030), Machine::Bcm2837);
        assert_eq!(Machine::from_midr(0x410f_d083), Machine::Bcm2711);
    }

    #[test]
    fn registers_lie_where_the_manuals_say() {
        assert_eq!(Machine::Bcm2837.uart(), 0x3f20_1000);
        assert_eq!(Machine::Bcm2711.uart(), 0xfe20_1000);
        assert_eq!(Machine::Bcm2711.gpio(), 0xfe20_0000);
    }

    #[test]
    fn an_image_for_the_other_board_names_the_machine_it_runs_on() {
        let name = |machine: Machine| machine.name_for("qemu-raspi3b", "cortex-a53");
        assert_eq!(name(Machine::Bcm2837), "qemu-raspi3b");
        assert_eq!(name(Machine::Bcm2711), "raspberry-pi-4");
        assert_eq!(Machine::Bcm2837.name_for("raspberry-pi-4", "cortex-a72"), "raspberry-pi-3");
    }
}
