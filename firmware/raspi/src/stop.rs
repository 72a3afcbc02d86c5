//! The ends of a run: done, refused, a fault of the processor, a panic.

use core::fmt::{Arguments, Write};
use core::panic::PanicInfo;

use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use aarch64_rt::{ExceptionHandlers, RegisterStateRef};

use crate::hardware;

/// The exit codes of all images.
#[derive(Clone, Copy)]
pub enum Outcome {
    Done = 0,
    Refused = 1,
    Fault = 3,
    Panic = 4,
}

/// Ends an emulator with the outcome's code.
#[cfg(feature = "semihosting")]
pub fn stop(outcome: Outcome) -> ! {
    semihosting::process::exit(outcome as i32)
}

/// Sleeps for ever: a board has nobody to tell a code to.
#[cfg(not(feature = "semihosting"))]
pub fn stop(_outcome: Outcome) -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}

/// Prints a last line on a console of its own.
fn stop_with(outcome: Outcome, line: Arguments<'_>) -> ! {
    let (mut console, _) = hardware::open(hardware::machine());
    // The line may begin in the middle of another.
    let _ = writeln!(console, "\n{line}");
    stop(outcome)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (message, place) = (info.message(), info.location());
    match place {
        Some(place) => stop_with(Outcome::Panic, format_args!("panic {message} at {place}")),
        None => stop_with(Outcome::Panic, format_args!("panic {message}")),
    }
}

aarch64_rt::exception_handlers!(Handlers);

/// Nothing is expected to be taken: interrupts are masked, and there is no lower level.
struct Handlers;

impl ExceptionHandlers for Handlers {
    extern "C" fn sync_current(state: RegisterStateRef<'_>) {
        fault("synchronous", &state)
    }
    extern "C" fn irq_current(state: RegisterStateRef<'_>) {
        fault("irq", &state)
    }
    extern "C" fn fiq_current(state: RegisterStateRef<'_>) {
        fault("fiq", &state)
    }
    extern "C" fn serror_current(state: RegisterStateRef<'_>) {
        fault("serror", &state)
    }
    extern "C" fn sync_lower(state: RegisterStateRef<'_>) {
        fault("lower synchronous", &state)
    }
    extern "C" fn irq_lower(state: RegisterStateRef<'_>) {
        fault("lower irq", &state)
    }
    extern "C" fn fiq_lower(state: RegisterStateRef<'_>) {
        fault("lower fiq", &state)
    }
    extern "C" fn serror_lower(state: RegisterStateRef<'_>) {
        fault("lower serror", &state)
    }
}

fn fault(kind: &str, state: &RegisterStateRef<'_>) -> ! {
    let (esr, far, elr) = (ESR_EL1.get(), FAR_EL1.get(), state.elr);
    stop_with(
        Outcome::Fault,
        format_args!("fault {kind} ESR={esr:#010x} ELR={elr:#x} FAR={far:#x}"),
    )
}
