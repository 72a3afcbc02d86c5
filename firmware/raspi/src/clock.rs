//! The counter of the generic timer, which runs at one rate whatever the processor's clock does.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use fixnet::profile::Clock;

pub struct GenericTimer;

impl Clock for GenericTimer {
    fn ticks(&mut self) -> u64 {
        // The counter may be read early otherwise (Arm ARM DDI 0487, D12.2.2).
        barrier::isb(barrier::SY);
        CNTVCT_EL0.get()
    }

    fn ticks_per_second(&self) -> u64 {
        CNTFRQ_EL0.get()
    }

    fn emulated(&self) -> bool {
        cfg!(feature = "semihosting")
    }
}
