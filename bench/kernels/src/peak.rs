//! The machine's own rate of multiply-adds, which kernels are measured by.

use std::time::{Duration, Instant};

/// How long to look for the best rate.
const TIME: Duration = Duration::from_millis(400);

/// Multiply-adds of 16-bit values a nanosecond, exact in 32 bits, that one core reaches from its first
/// cache; `None` where no such loop is written.
#[must_use]
pub fn gmacs() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected.
        return Some(best(|| unsafe { x86_64::multiply_adds() }));
    }
    None
}

#[cfg(target_arch = "x86_64")]
fn best(run: impl Fn() -> u64) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0;
    while begin.elapsed() < TIME {
        let start = Instant::now();
        let macs = run();
        best = f64::max(best, macs as f64 / start.elapsed().as_nanos() as f64);
    }
    best
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_setzero_si256,
    };
    use std::hint::black_box;

    /// Independent sums: enough to hide the latency of an addition and of a multiplication.
    const SUMS: usize = 12;
    /// Vectors of operands, 6 KiB.
    const VECTORS: usize = 16 * SUMS;
    const ROUNDS: usize = 2_000;

    /// `vpmaddwd` and `vpaddd`, the pair that an exact 16-bit kernel cannot do without.
    #[target_feature(enable = "avx2")]
    pub fn multiply_adds() -> u64 {
        let operands = black_box([_mm256_set1_epi16(3); VECTORS]);
        let factor = black_box(_mm256_set1_epi16(5));
        let mut sums = [_mm256_setzero_si256(); SUMS];
        for _ in 0..ROUNDS {
            for chunk in black_box(&operands).chunks_exact(SUMS) {
                for (sum, operand) in sums.iter_mut().zip(chunk) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*operand, factor));
                }
            }
        }
        black_box(sums);
        (ROUNDS * VECTORS * size_of::<__m256i>() / 2) as u64
    }
}
