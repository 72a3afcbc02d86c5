//! Clocks that Cortex-M processors bring, extended to 64 bits.

/// Extends a 32-bit counter that wraps.
///
/// What may not be broken: it is read at least once in 2^32 ticks, or wraps are lost. An inference
/// reads it around every layer, so a layer must be shorter than that: 268 s at 16 MHz, 171 s at
/// 25 MHz, 67 s at 64 MHz.
#[derive(Debug, Default)]
pub struct Wide {
    last: u32,
    total: u64,
}

impl Wide {
    /// Ticks since the first call, given what the counter holds.
    pub fn ticks(&mut self, now: u32) -> u64 {
        self.total += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.total
    }
}

/// The cycle counter of the Data Watchpoint and Trace unit.
#[cfg(clock = "dwt")]
pub use dwt::Dwt;

#[cfg(clock = "dwt")]
mod dwt {
    use cortex_m::Peripherals;
    use cortex_m::peripheral::DWT;
    use fixnet::profile::Clock;

    use super::Wide;

    #[derive(Debug)]
    pub struct Dwt {
        wide: Wide,
        hertz: u64,
    }

    impl Dwt {
        /// Starts the counter of a processor that runs at `hertz`; 0 if that is unknown. The
        /// peripherals are those of `Peripherals::take`, which gives them once.
        pub fn start(peripherals: Option<Peripherals>, hertz: u64) -> Self {
            if let Some(mut peripherals) = peripherals {
                peripherals.DCB.enable_trace();
                DWT::unlock();
                peripherals.DWT.set_cycle_count(0);
                peripherals.DWT.enable_cycle_counter();
            }
            Self { wide: Wide::default(), hertz }
        }
    }

    impl Clock for Dwt {
        fn ticks(&mut self) -> u64 {
            self.wide.ticks(DWT::cycle_count())
        }
        fn ticks_per_second(&self) -> u64 {
            self.hertz
        }
        fn counts_cycles(&self) -> bool {
            true
        }
    }
}
