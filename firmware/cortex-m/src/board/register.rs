//! 32-bit registers of peripherals.

use core::ptr;

#[derive(Debug, Clone, Copy)]
pub struct Register(usize);

impl Register {
    /// # Safety
    /// A 32-bit register of this chip lies at `address`, and no access to it changes memory that
    /// the program uses.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    pub fn read(self) -> u32 {
        // SAFETY: `at` asks for a register that may be accessed.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub fn write(self, value: u32) {
        // SAFETY: `at` asks for a register that may be accessed.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }

    /// Replaces the bits of `mask`.
    pub fn replace(self, mask: u32, value: u32) {
        self.write(self.read() & !mask | value);
    }
}
