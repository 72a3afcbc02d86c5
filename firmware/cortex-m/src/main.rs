//! A model on a Cortex-M board: checks it, runs it on the inputs in flash with the portable
//! kernels, and reports over semihosting, one fact a line, each line beginning with its kind.
//!
//! Exit codes: 0 all inputs ran, 1 the model or an input was refused, which the line `refused` tells
//! by its typed error, 3 a fault of the processor, any other a panic.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::{ExceptionFrame, entry, exception};
use fixnet::format::{CRC32, MAX_RECORDS};
use fixnet::profile::Checksums;
use fixnet::{Arena, KernelSet, Model, ModelError, Session, SessionError};
use semihosting::{print, println, process};

static MODEL: &[u8] = fixnet::include_model!(env!("FIXNET_MODEL"));
static INPUTS: &[u8] = include_bytes!(env!("FIXNET_INPUTS"));

/// What the board lends to inference; `fixnet inspect` says what a model needs.
const ARENA_BYTES: usize = 128 * 1024;
const KERNELS: KernelSet = KernelSet::Generic;

#[derive(Debug)]
#[allow(dead_code, reason = "read by Debug, which the line `refused` prints")]
enum Refusal {
    Model(ModelError),
    Session(SessionError),
}

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_BYTES> = Arena::new();
    println!("board {}", env!("FIXNET_BOARD"));
    if let Err(refusal) = report(ARENA.as_mut_slice()) {
        println!("refused {refusal:?}");
        process::exit(1);
    }
    println!("done");
    process::exit(0)
}

fn report(arena: &mut [u8]) -> Result<(), Refusal> {
    // What flash holds, not what the compiler saw in the file.
    println!("model_crc32 {:08x}", CRC32.checksum(black_box(MODEL)));
    let model = Model::new_checked(MODEL).map_err(Refusal::Model)?;
    model.verify_weights().map_err(Refusal::Model)?;
    let needed = model.required(KERNELS).arena();
    println!("arena_bytes {needed}");
    let (short, shifted) = (..needed.saturating_sub(1), 1..needed.saturating_add(1));
    expect_refusal("arena_short", &model, arena.get_mut(short));
    expect_refusal("arena_shifted", &model, arena.get_mut(shifted));

    // No more than the model asks for: the figure itself must work.
    let available = needed.min(arena.len());
    let arena = arena.get_mut(..available).unwrap_or_default();
    let mut session = Session::with_kernels(&model, arena, KERNELS).map_err(Refusal::Session)?;
    for rgb in INPUTS.chunks(model.input().elements().max(1)) {
        infer(&model, &mut session, rgb).map_err(Refusal::Session)?;
    }
    Ok(())
}

/// Reports how an arena is refused that is too small or misaligned.
fn expect_refusal(kind: &str, model: &Model, arena: Option<&mut [u8]>) {
    match Session::with_kernels(model, arena.unwrap_or_default(), KERNELS) {
        Ok(_) => println!("{kind} accepted"),
        Err(error) => println!("{kind} {error:?}"),
    }
}

fn infer(model: &Model, session: &mut Session, rgb: &[u8]) -> Result<(), SessionError> {
    session.set_rgb(rgb)?;
    let input = session.tensor_mut(model.input().tensor).unwrap_or_default();
    println!("input {:08x}", CRC32.checksum(input));
    let mut checksums = Checksums::<MAX_RECORDS>::new();
    let logits = session.run_with(&mut checksums);
    for (step, crc32) in model.steps().zip(checksums.values()) {
        let kernel = KERNELS.kernel_name(&step.operator);
        println!("layer {} {kernel} {crc32:08x} {}", step.index, step.layer.name);
    }
    print!("logits");
    logits.iter().for_each(|logit| print!(" {logit}"));
    println!();
    Ok(())
}

// SAFETY: the handler only reports through the debugger and does not return; it relies on no state
// of the faulting code.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    println!("fault {frame:?}");
    process::exit(3)
}
