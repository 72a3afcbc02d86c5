//! Says which assembly of the feature `cortex-m` is for the target: Rust tells a crate that it is built
//! for "arm", but on stable not for which of its instruction sets.
//!
//! | cfg | where | kernels |
//! |---|---|---|
//! | `cortex_m3` | Thumb-2; not where every processor has those of `cortex_m4` | MLA |
//! | `cortex_m4` | Thumb-2 with a hard-float ABI | SMLAD, floating-point registers |
//! | `armv8m` | ARMv8-M Mainline | |
//!
//! ARMv6-M and ARMv8-M Baseline (Cortex-M0, M0+, M23) have no Thumb-2: there the feature adds nothing.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(cortex_m3, cortex_m4, armv8m)");
    let target = var("TARGET").unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|name| target.starts_with(name));
    if is(&["thumbv8m.main"]) {
        println!("cargo::rustc-cfg=armv8m");
    }
    let thumb2 = is(&["armv7", "armv8r", "thumbv7", "thumbv8m.main", "thumbv8r"]);
    if !thumb2 || var("CARGO_FEATURE_CORTEX_M").is_err() {
        return;
    }
    let hard_float = var("CARGO_CFG_TARGET_ABI").is_ok_and(|abi| abi == "eabihf");
    let bare = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if hard_float {
        println!("cargo::rustc-cfg=cortex_m4");
    }
    // Tests run both on ARMv7-A with Linux.
    if !(hard_float && bare) {
        println!("cargo::rustc-cfg=cortex_m3");
    }
}
