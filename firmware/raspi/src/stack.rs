//! Peak use of the stack: it is filled with a pattern at the start, and where the pattern is gone, the stack
//! was in use.

use core::arch::asm;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

unsafe extern "C" {
    static boot_stack_begin: u8;
    static boot_stack_end: u8;
}

const PAINT: u64 = 0xa5a5_a5a5_a5a5_a5a5;
/// Below the stack pointer, for the frame of [`paint`].
const MARGIN: usize = 256;

/// Fills the stack below the caller's frame with the pattern.
pub fn paint() {
    let stack_pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) stack_pointer, options(nomem, nostack, preserves_flags)) };
    for address in words(stack_pointer - MARGIN) {
        // SAFETY: nothing of the stack lies below the margin as long as no function is called.
        unsafe { with_exposed_provenance_mut::<u64>(address).write_volatile(PAINT) };
    }
}

/// Most bytes of stack in use so far.
pub fn peak() -> usize {
    let end = (&raw const boot_stack_end).addr();
    // SAFETY: the stack is mapped, and any bytes are a number.
    let painted = |&address: &usize| unsafe {
        with_exposed_provenance::<u64>(address).read_volatile() == PAINT
    };
    end - words(end).find(|address| !painted(address)).unwrap_or(end)
}

/// The stack's words up to `end`, the deepest first.
fn words(end: usize) -> impl Iterator<Item = usize> {
    ((&raw const boot_stack_begin).addr()..end).step_by(size_of::<u64>())
}
