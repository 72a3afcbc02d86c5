//! Random numbers that are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of image `index` in the series of `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in [0, 1), a multiple of 2^-32.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.bits()) / 4_294_967_296.0
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Bell-shaped with mean 0 and standard deviation 1: the sum of four uniform numbers.
    pub fn bell(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 3f64.sqrt()
    }

    /// An integer in `-amplitude..=amplitude`, zero being the likeliest.
    pub fn triangular(&mut self, amplitude: i32) -> i32 {
        let bits = self.bits();
        let span = amplitude as u32 + 1;
        let half = |bits: u32| (((bits & 0xFFFF) * span) >> 16) as i32;
        half(bits) - half(bits >> 16)
    }

    /// A point on the unit circle, from the rational parametrisation (all directions occur, not all
    /// equally often).
    pub fn direction(&mut self) -> [f64; 2] {
        let t = self.unit();
        let divisor = 1.0 + t * t;
        let (c, s) = ((1.0 - t * t) / divisor, 2.0 * t / divisor);
        match self.below(4) {
            0 => [c, s],
            1 => [-s, c],
            2 => [-c, -s],
            _ => [s, -c],
        }
    }

    /// A radius with density `r^-3` between the two bounds.
    pub fn power_law_radius(&mut self, smallest: f64, largest: f64) -> f64 {
        let ratio = smallest / largest;
        smallest / (1.0 - self.unit() * (1.0 - ratio * ratio)).sqrt()
    }
}
