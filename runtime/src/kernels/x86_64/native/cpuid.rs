//! What this processor and its operating system support, found out without the standard library.
//!
//! An instruction set may be used if CPUID names it and the operating system keeps its registers over a
//! change of tasks, which it says in XCR0. The bits, from Intel's Software Developer's Manual:
//!
//! | what | where | source |
//! |---|---|---|
//! | highest leaf | CPUID leaf 0, EAX | vol. 2A, CPUID |
//! | XGETBV is there and XCR0 has a meaning (OSXSAVE) | leaf 1, ECX bit 27 | vol. 1, 13.2 |
//! | AVX | leaf 1, ECX bit 28 | vol. 1, 14.3 |
//! | AVX2 | leaf 7, subleaf 0, EBX bit 5 | vol. 1, 14.7.1 |
//! | AVX-512 F, BW, VL | leaf 7, subleaf 0, EBX bits 16, 30, 31 | vol. 1, 15.2 to 15.4 |
//! | AVX-512 VBMI, VNNI | leaf 7, subleaf 0, ECX bits 1, 11 | vol. 2A, CPUID |
//! | AVX-VNNI | leaf 7, subleaf 1, EAX bit 4; leaf 7, subleaf 0, EAX says that there is a subleaf 1 | vol. 2A, CPUID |
//! | XMM and YMM registers are kept | XCR0 bits 1 and 2 | vol. 1, 13.3 |
//! | mask registers, ZMM0 to 15 and ZMM16 to 31, too | XCR0 bits 5, 6 and 7 | vol. 1, 13.3 |
//!
//! What may not be broken: this claims nothing that the standard library's detection denies.

use core::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};
use core::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that kernels are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    pub avx2: bool,
    /// In the VEX encoding.
    pub avx_vnni: bool,
    /// F, BW, VL and VNNI.
    pub avx512_vnni: bool,
    /// F, BW, VL and VBMI.
    pub avx512_vbmi: bool,
}

const KNOWN: u8 = 1;
const AVX2: u8 = 2;
const AVX512_VNNI: u8 = 4;
const AVX_VNNI: u8 = 8;
const AVX512_VBMI: u8 = 16;

/// The answer, once it is known: CPUID takes long where a hypervisor answers it.
static CACHE: AtomicU8 = AtomicU8::new(0);

/// What there is.
pub(super) fn features() -> Features {
    // Every thread would find the same, so there is no order to keep.
    let mut bits = CACHE.load(Ordering::Relaxed);
    if bits & KNOWN == 0 {
        let found = detect();
        let bit = |there, bit| if there { bit } else { 0 };
        bits = KNOWN
            | bit(found.avx2, AVX2)
            | bit(found.avx_vnni, AVX_VNNI)
            | bit(found.avx512_vnni, AVX512_VNNI)
            | bit(found.avx512_vbmi, AVX512_VBMI);
        CACHE.store(bits, Ordering::Relaxed);
    }
    Features {
        avx2: bits & AVX2 != 0,
        avx_vnni: bits & AVX_VNNI != 0,
        avx512_vnni: bits & AVX512_VNNI != 0,
        avx512_vbmi: bits & AVX512_VBMI != 0,
    }
}

/// Miri has no CPUID, but runs what it was told to compile for.
#[cfg(miri)]
fn detect() -> Features {
    Features {
        avx2: cfg!(target_feature = "avx2"),
        // Miri interprets no assembly.
        avx_vnni: false,
        avx512_vnni: cfg!(target_feature = "avx512vnni"),
        avx512_vbmi: cfg!(target_feature = "avx512vbmi"),
    }
}

#[cfg(not(miri))]
fn detect() -> Features {
    const OSXSAVE_AND_AVX: u32 = (1 << 27) | (1 << 28);
    let none = Features { avx2: false, avx_vnni: false, avx512_vnni: false, avx512_vbmi: false };
    if leaf(0, 0).eax < 7 || !has(leaf(1, 0).ecx, OSXSAVE_AND_AVX) {
        return none;
    }
    // SAFETY: OSXSAVE is set, so the instruction is there and XCR0 exists.
    let kept = unsafe { xcr0() } as u32;
    let extended = leaf(7, 0);
    const YMM: u32 = 0b0000_0110;
    const ZMM: u32 = 0b1110_0110;
    const F_BW_VL: u32 = (1 << 16) | (1 << 30) | (1 << 31);
    let avx512 = has(kept, ZMM) && has(extended.ebx, F_BW_VL);
    Features {
        avx2: has(kept, YMM) && has(extended.ebx, 1 << 5),
        avx_vnni: has(kept, YMM) && extended.eax >= 1 && has(leaf(7, 1).eax, 1 << 4),
        avx512_vnni: avx512 && has(extended.ecx, 1 << 11),
        avx512_vbmi: avx512 && has(extended.ecx, 1 << 1),
    }
}

#[cfg_attr(miri, allow(dead_code))]
const fn has(word: u32, bits: u32) -> bool {
    word & bits == bits
}

#[cfg_attr(miri, allow(dead_code))]
fn leaf(leaf: u32, subleaf: u32) -> CpuidResult {
    // Safe since Rust 1.93.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 processor has CPUID.
    unsafe {
        __cpuid_count(leaf, subleaf)
    }
}

/// Which registers the operating system keeps.
///
/// # Safety
/// CPUID says OSXSAVE.
#[cfg_attr(miri, allow(dead_code))]
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller has looked for OSXSAVE; XCR0 is register 0.
    unsafe { _xgetbv(0) }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_says_the_same() {
        let avx512 = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl");
        let avx512_vnni = avx512 && std::is_x86_feature_detected!("avx512vnni");
        let avx512_vbmi = avx512 && std::is_x86_feature_detected!("avx512vbmi");
        let avx2 = std::is_x86_feature_detected!("avx2");
        let avx_vnni = std::is_x86_feature_detected!("avxvnni");
        assert_eq!(detect(), Features { avx2, avx_vnni, avx512_vnni, avx512_vbmi });
        // The first answer and every later one.
        assert_eq!(features(), detect());
        assert_eq!(features(), detect());
    }
}
