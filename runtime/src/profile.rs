//! Time per layer, checksums per layer, and a trace pin: ready-made [`Hook`]s.
//!
//! Time comes from a [`Clock`] that the platform provides; nothing here guesses. A clock that runs
//! under emulation says so.

use crate::format::CRC32;
use crate::session::{Hook, StepInfo};

/// A counter that runs while the machine computes.
pub trait Clock {
    /// Ticks since some fixed moment; never goes back within one run.
    fn ticks(&mut self) -> u64;
    /// Ticks of one second; 0 if unknown (a cycle counter on an unknown clock).
    fn ticks_per_second(&self) -> u64;
    /// Whether a tick is one cycle of the processor.
    fn counts_cycles(&self) -> bool {
        false
    }
    /// Whether this is an emulator's time and says nothing about the real machine.
    fn emulated(&self) -> bool {
        false
    }
}

/// Extends a 32-bit counter that counts up and wraps to the 64 bits of a [`Clock`].
///
/// What may not be broken: it sees the counter at least once in 2^32 ticks, or a wrap is lost. A hook
/// reads its clock around every layer, so each layer must be shorter than that.
#[derive(Debug, Clone, Copy)]
pub struct WideCounter {
    last: u32,
    total: u64,
}

impl WideCounter {
    /// Begins at 0 while the counter stands at `now`.
    #[must_use]
    pub const fn new(now: u32) -> Self {
        Self { last: now, total: 0 }
    }

    /// Ticks since the beginning while the counter stands at `now`.
    pub fn at(&mut self, now: u32) -> u64 {
        self.total = self.total.wrapping_add(now.wrapping_sub(self.last).into());
        self.last = now;
        self.total
    }
}

/// The host's monotonic clock, in nanoseconds.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub struct WallClock(std::time::Instant);

#[cfg(feature = "std")]
impl Default for WallClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[cfg(feature = "std")]
impl Clock for WallClock {
    fn ticks(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
    fn ticks_per_second(&self) -> u64 {
        1_000_000_000
    }
}

/// One layer's row of the latency table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LayerTiming {
    /// Index of the step.
    pub step: usize,
    /// Name of the kernel that ran.
    pub kernel: &'static str,
    pub macs: u64,
    pub ticks: u64,
}

/// Records the time of up to `N` steps; further ones are counted in [`Profiler::dropped`].
#[derive(Debug)]
pub struct Profiler<C, const N: usize> {
    clock: C,
    started: u64,
    records: heapless::Vec<LayerTiming, N>,
    dropped: usize,
}

impl<C: Clock, const N: usize> Profiler<C, N> {
    /// An empty record.
    pub const fn new(clock: C) -> Self {
        Self { clock, started: 0, records: heapless::Vec::new(), dropped: 0 }
    }

    /// The records so far.
    pub fn records(&self) -> &[LayerTiming] {
        &self.records
    }

    /// Steps that found no room.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The clock.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// Forgets all records.
    pub fn clear(&mut self) {
        self.records.clear();
        self.dropped = 0;
    }
}

impl<C: Clock, const N: usize> Hook for Profiler<C, N> {
    fn before(&mut self, _info: &StepInfo<'_>) {
        self.started = self.clock.ticks();
    }

    fn after(&mut self, info: &StepInfo<'_>, _output: &[u8]) {
        let ticks = self.clock.ticks().saturating_sub(self.started);
        if info.rows.0 > 0 {
            // Another part of a layer that began before.
            let mut records = self.records.iter_mut().rev();
            if let Some(record) = records.find(|record| record.step == info.index) {
                record.ticks = record.ticks.saturating_add(ticks);
            }
            return;
        }
        let macs = info.layer.macs;
        let record = LayerTiming { step: info.index, kernel: info.kernel, macs, ticks };
        if self.records.push(record).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// The CRC-32 of some bytes, whose own CRC-32 is `before`, followed by `bytes`: for layers that are computed
/// in parts.
#[must_use]
pub fn continue_crc32(before: u32, bytes: &[u8]) -> u32 {
    // The register of the reflected algorithm, which ends in an inversion.
    let mut digest = CRC32.digest_with_initial((!before).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// Records the CRC-32 of up to `N` layers' outputs, in logical HWC order.
#[derive(Debug, Default)]
pub struct Checksums<const N: usize>(heapless::Vec<u32, N>);

impl<const N: usize> Checksums<N> {
    /// An empty record.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// One checksum a layer.
    #[must_use]
    pub fn values(&self) -> &[u32] {
        &self.0
    }
}

impl<const N: usize> Hook for Checksums<N> {
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        if info.rows.0 > 0 {
            if let Some(crc32) = self.0.get_mut(info.index) {
                *crc32 = continue_crc32(*crc32, output);
            }
            return;
        }
        // Layers beyond the capacity are left out, which the length shows.
        let _ = self.0.push(CRC32.checksum(output));
    }
}

/// Drives a pin high while a layer runs, for a logic analyser.
#[cfg(feature = "embedded-hal")]
#[derive(Debug)]
pub struct TracePin<P>(pub P);

#[cfg(feature = "embedded-hal")]
impl<P: embedded_hal::digital::OutputPin> Hook for TracePin<P> {
    fn before(&mut self, _info: &StepInfo<'_>) {
        // A pin that fails must not stop the inference.
        let _ = self.0.set_high();
    }
    fn after(&mut self, _info: &StepInfo<'_>, _output: &[u8]) {
        let _ = self.0.set_low();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_goes_on_where_it_ended() {
        for at in 0..9 {
            let (head, tail) = b"123456789".split_at(at);
            assert_eq!(continue_crc32(CRC32.checksum(head), tail), 0xcbf4_3926);
        }
    }

    #[test]
    fn a_wide_counter_goes_on_where_the_narrow_one_wraps() {
        let start = u32::MAX - 9;
        let mut wide = WideCounter::new(start);
        assert_eq!(wide.at(start), 0);
        assert_eq!(wide.at(u32::MAX), 9);
        assert_eq!(wide.at(5), 15);
        // Nearly a whole turn, and another one.
        assert_eq!(wide.at(4), 15 + u64::from(u32::MAX));
        assert_eq!(wide.at(3), 15 + 2 * u64::from(u32::MAX));
    }
}
