//! The smallest image: a model in flash, checked and run, its logits left in a static.
//!
//! It exists to be linked. The panic handler calls a function that does not exist, so an image
//! links only if no panic can be reached from `new_checked`, `Session`, `set_pixels` and `run`: the
//! proof of the promise that nothing panics on any bytes. All kernel sets of the target are in it, and
//! nothing that the optimiser could know about model, arena or input. It is also what the code
//! budget of a board is about: no logging, no heap, no semihosting.
//!
//! The feature `deliberate-panic` adds one bounds check; the image must not link then.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicI32, Ordering};

use cortex_m_rt::entry;
use fixnet::{Arena, KernelSet, Model, Session};

static MODEL: &[u8] = fixnet::include_model!(env!("FIXNET_MODEL"));

const ARENA_BYTES: usize = 64 * 1024;

/// What the last run found, for a debugger: the class with the highest logit, or -1 after a refusal.
// Nothing in the program reads it; the attribute keeps the optimiser from dropping the run.
#[used]
static CLASS: AtomicI32 = AtomicI32::new(-1);

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_BYTES> = Arena::new();
    static mut RGB: [u8; 3 * 32 * 32] = [0; 3 * 32 * 32];
    loop {
        let class = classify(black_box(ARENA.as_mut_slice()), black_box(RGB));
        CLASS.store(class.unwrap_or(-1), Ordering::Relaxed);
    }
}

fn classify(arena: &mut [u8], rgb: &[u8]) -> Option<i32> {
    let model = Model::new_checked(MODEL).ok()?;
    model.verify_weights().ok()?;
    #[cfg(feature = "deliberate-panic")]
    black_box(rgb[black_box(0)]);
    let mut session = Session::with_kernels(&model, arena, black_box(KernelSet::detect())).ok()?;
    session.set_pixels(rgb).ok()?;
    fixnet::top_class(session.run().ok()?)?.try_into().ok()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn fixnet_panic_is_reachable() -> !;
    }
    // SAFETY: never called: the function does not exist, and an image that reaches this call does
    // not link.
    unsafe { fixnet_panic_is_reachable() }
}
