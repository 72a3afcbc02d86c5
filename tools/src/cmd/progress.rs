//! What a terminal shows while something takes long; nothing where nobody looks.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

#[cfg(feature = "tract")]
use crate::pipeline::{Progress, Stage};

/// A bar for whatever takes longer than a second; nothing where nobody looks.
#[must_use]
pub fn progress(what: &'static str, count: usize) -> ProgressBar {
    if !shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:32} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Whether somebody looks, at a terminal that can redraw a line.
fn shows_progress() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A sign of life while `work` runs; nothing where nobody looks.
pub fn with_spinner<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let spinner = match shows_progress() {
        true => ProgressBar::new_spinner().with_message(what),
        false => ProgressBar::hidden(),
    };
    spinner.enable_steady_tick(Duration::from_millis(200));
    let result = work();
    spinner.finish_and_clear();
    result
}

/// A bar for each stage of the pipeline that goes through images.
#[cfg(feature = "tract")]
#[derive(Default)]
pub struct Bars(std::sync::Mutex<Option<ProgressBar>>);

#[cfg(feature = "tract")]
impl Bars {
    fn shown(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(feature = "tract")]
impl Progress for Bars {
    fn begin(&self, stage: Stage, images: usize) {
        let name = match stage {
            Stage::Observe => "calibrating",
            Stage::Compare => "comparing",
        };
        *self.shown() = Some(progress(name, images));
    }

    fn advance(&self) {
        if let Some(bar) = &*self.shown() {
            bar.inc(1);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.shown().take() {
            bar.finish_and_clear();
        }
    }
}
