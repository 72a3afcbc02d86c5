//! What several test programs share: reproducible data, and memory with guards around it.

#![allow(dead_code)]

#[cfg(feature = "write")]
pub mod model;
pub mod shapes;

use fixnet::AlignedBytes;

/// A small generator (xorshift64*), so that a case is its seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    pub fn i8(&mut self) -> i8 {
        (self.next() >> 56) as i8
    }

    pub fn i32(&mut self) -> i32 {
        (self.next() >> 32) as i32
    }

    pub fn int8(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.i8()).collect()
    }

    /// An even multiplier, its magnitude spread over all powers of two.
    pub fn multiplier(&mut self) -> i32 {
        (self.i32() & i32::MAX & !1) >> self.below(28) & !1
    }
}

const GUARD: usize = 64;
/// What guards and fresh scratch hold.
pub const GARBAGE: u8 = 0xA5;

/// Memory of an exact length, aligned to 16 bytes and full of garbage, between two guards.
#[derive(Debug)]
pub struct Guarded {
    bytes: AlignedBytes,
    len: usize,
}

impl Guarded {
    pub fn new(len: usize) -> Self {
        let mut bytes = AlignedBytes::zeroed(len + 2 * GUARD);
        bytes.as_mut_slice().fill(GARBAGE);
        Self { bytes, len }
    }

    pub fn from_int8(values: &[i8]) -> Self {
        let mut guarded = Self::new(values.len());
        for (to, &from) in guarded.as_mut_slice().iter_mut().zip(values) {
            *to = from as u8;
        }
        guarded
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes.as_mut_slice()[GUARD..GUARD + self.len]
    }

    pub fn as_mut_int8(&mut self) -> &mut [i8] {
        zerocopy::FromBytes::mut_from_bytes(self.as_mut_slice()).unwrap()
    }

    pub fn as_mut_words(&mut self) -> &mut [i32] {
        zerocopy::FromBytes::mut_from_bytes(self.as_mut_slice()).unwrap()
    }

    /// Panics if a guard was written to.
    pub fn assert_intact(&self) {
        let (before, rest) = self.bytes.split_at(GUARD);
        let after = &rest[self.len..];
        assert!(before.iter().chain(after).all(|&byte| byte == GARBAGE), "a guard was overwritten");
    }
}
