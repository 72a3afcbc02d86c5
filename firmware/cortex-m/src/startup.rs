//! Everything around `main`: where the payload lies, how much stack was used, and what happens on a fault, on
//! a panic and at the end.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicI32, Ordering};

use cortex_m::peripheral::DCB;
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE};

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

// Symbols of the linker: the stack grows from `_stack_start` down to `_stack_end`, where RAM begins.
unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// Most bytes of stack in use since the start.
pub fn stack_peak() -> usize {
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
    stop(code)
}

fn stop(code: i32) -> ! {
    // Without a debugger or an emulator the instruction would be a fault.
    if cfg!(feature = "semihosting") || DCB::is_debugger_attached() {
        semihosting::process::exit(code);
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Prints and exits; just stops, with the first code, if printing is what failed: the logger
/// panics if it is interrupted.
fn die(code: i32, print: impl FnOnce()) -> ! {
    static DYING: AtomicI32 = AtomicI32::new(0);
    match DYING.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => print(),
        Err(first) => stop(first),
    }
    exit(code)
}

/// Where a fault enters. What is left of the stack may not do for the report, or the processor may
/// have found no room to save its registers: then the report takes the stack from its start, far
/// from the frame.
///
/// # Safety
/// For the vector table alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!(
        "mov r0, sp",
        "movw r1, :lower16:{end}",
        "movt r1, :upper16:{end}",
        "add r1, r1, #1024",
        "cmp r0, r1",
        "bhs 1f",
        "movw r1, :lower16:{start}",
        "movt r1, :upper16:{start}",
        "mov sp, r1",
        "1:",
        "b {report}",
        end = sym _stack_end,
        start = sym _stack_start,
        report = sym report_fault,
    )
}

extern "C" fn report_fault(frame: *const ExceptionFrame) -> ! {
    if frame.addr() < (&raw const _stack_end).addr() {
        die(3, || defmt::println!("fault stack overflow"));
    }
    // SAFETY: the processor has saved its registers there, on the stack, and nothing writes them.
    let frame = unsafe { &*frame };
    die(3, || defmt::println!("fault {}", defmt::Debug2Format(frame)))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    die(4, || {
        let message = info.message();
        let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
        defmt::println!("panic {} at {}:{}", defmt::Display2Format(&message), file, line);
    })
}
