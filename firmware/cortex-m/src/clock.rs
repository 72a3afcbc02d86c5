//! The cycle counter of a Cortex-M's Data Watchpoint and Trace unit.
//!
//! It has 32 bits: a layer must be shorter than 2^32 cycles, which are 268 s at 16 MHz.

use cortex_m::Peripherals;
use cortex_m::peripheral::DWT;
use fixnet::profile::{Clock, WideCounter};

#[derive(Debug)]
pub struct Dwt {
    cycles: WideCounter,
    hertz: u64,
}

impl Dwt {
    /// Starts the counter of a processor that runs at `hertz`; 0 if that is unknown. The peripherals
    /// are those of `Peripherals::take`, which gives them once.
    pub fn start(peripherals: Option<Peripherals>, hertz: u64) -> Self {
        if let Some(mut peripherals) = peripherals {
            peripherals.DCB.enable_trace();
            DWT::unlock();
            peripherals.DWT.enable_cycle_counter();
        }
        Self { cycles: WideCounter::new(DWT::cycle_count()), hertz }
    }
}

impl Clock for Dwt {
    fn ticks(&mut self) -> u64 {
        self.cycles.at(DWT::cycle_count())
    }
    fn ticks_per_second(&self) -> u64 {
        self.hertz
    }
    fn counts_cycles(&self) -> bool {
        true
    }
}
