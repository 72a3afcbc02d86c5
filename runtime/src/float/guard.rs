//! tract panics on some models that it should refuse: such a panic becomes an error, in one line.
//!
//! What may not be broken: nothing of a model or session that panicked is used again, and a panic
//! outside of tract is printed as ever.

use std::cell::Cell;
use std::format;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::Once;
use std::vec::Vec;

use tract_onnx::prelude::{TractError, TractResult};

std::thread_local! {
    /// Whether this thread is inside of [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics quiet that become a [`super::FloatError`], for programs that print that error.
///
/// The panic hook belongs to the process, so a library does not touch it by itself: call this once at
/// the start of `main`, after any hook of your own. All other panics go to the hook that was there.
pub fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(std::boxed::Box::new(move |info| {
            if !GUARDED.get() {
                hook(info);
            }
        }));
    });
}

/// Runs tract.
pub(super) fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    match result {
        Ok(result) => result.map_err(|error| line(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(format!("tract panicked: {}", one_line(text)))
        }
    }
}

/// One line of an error with its causes.
fn line(error: &TractError) -> String {
    one_line(&format!("{error:#}"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// One test, since the hook is the process's.
    #[test]
    fn only_caught_panics_are_quiet() {
        static PRINTED: AtomicUsize = AtomicUsize::new(0);
        panic::set_hook(std::boxed::Box::new(|_| {
            PRINTED.fetch_add(1, Ordering::SeqCst);
        }));
        silence_caught_panics();
        let caught = guarded::<()>(|| panic!("first\n  second"));
        assert_eq!(caught, Err(String::from("tract panicked: first second")));
        assert_eq!(PRINTED.load(Ordering::SeqCst), 0);
        // The guard ends with the call, also by a panic.
        assert!(catch_unwind(|| panic!("of another")).is_err());
        assert_eq!(PRINTED.load(Ordering::SeqCst), 1);
    }
}
