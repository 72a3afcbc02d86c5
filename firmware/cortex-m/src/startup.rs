//! What surrounds `main`: the payload in memory, the painted stack, faults, panics and the end.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::DCB;
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception};

/// Model and inputs, in flash.
#[cfg(payload_in_flash)]
pub fn payload() -> &'static [u8] {
    static PAYLOAD: &[u8] = fixnet::include_model!(env!("FIXNET_PAYLOAD"));
    // What flash holds, not what the compiler saw in the file.
    core::hint::black_box(PAYLOAD)
}

/// The memory that a loader puts model and inputs into.
#[cfg(not(payload_in_flash))]
pub fn payload() -> &'static [u8] {
    use crate::board::{PAYLOAD_BYTES, PAYLOAD_ORIGIN};
    let start = core::ptr::with_exposed_provenance(PAYLOAD_ORIGIN);
    // SAFETY: the board's data says that this is memory; neither linker nor program use it otherwise,
    // and its loader is done before the processor starts.
    unsafe { core::slice::from_raw_parts(start, PAYLOAD_BYTES) }
}

/// Most bytes of stack in use since the start.
pub fn stack_peak() -> usize {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let mut lowest = &raw const _stack_end;
    let start = &raw const _stack_start;
    // SAFETY: `_stack_end` to `_stack_start` is RAM that no object lies in; the start-up code has
    // written all of it, and volatile reads of words say nothing about what they mean.
    while lowest < start && unsafe { lowest.read_volatile() } == STACK_PAINT_VALUE {
        lowest = lowest.wrapping_add(1);
    }
    start.addr() - lowest.addr()
}

/// Ends the program: an emulator or a debugger learns the code, else the processor spins.
pub fn exit(code: i32) -> ! {
    defmt::flush();
    // Without somebody who listens the instruction would be a fault.
    if cfg!(feature = "semihosting") || DCB::is_debugger_attached() {
        semihosting::process::exit(code);
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Prints and exits; just exits if printing is what failed.
fn die(code: i32, print: impl FnOnce()) -> ! {
    static DYING: AtomicBool = AtomicBool::new(false);
    if !DYING.swap(true, Ordering::Relaxed) {
        print();
    }
    exit(code)
}

// SAFETY: the handler reports and does not return; it relies on no state of the faulting code.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    die(3, || defmt::println!("fault {}", defmt::Debug2Format(frame)))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    die(4, || defmt::println!("panic {}", defmt::Display2Format(info)))
}
