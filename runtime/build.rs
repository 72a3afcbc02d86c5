//! Says which instruction sets a build has code for (`native_...`), and which it knows (`has_...`): all where
//! there is an operating system, so that plans for boards can be made, and in an image its own alone, since
//! it has no room for others. This is the one place that decides.
//!
//! | cfg | where its code can run |
//! |---|---|
//! | `native_x86_64` | x86-64 |
//! | `native_aarch64` | AArch64 with NEON |
//! | `native_dotprod` | AArch64 that may have dot products: an operating system tells, or the compiler was told |
//! | `native_i8mm` | AArch64 that may have them and products of matrices, likewise |
//! | `native_cortex_m3` | Thumb-2, with the feature `cortex-m`; not where every processor has the next |
//! | `native_cortex_m4` | Thumb-2 with a hard-float ABI, with the feature `cortex-m` |
//!
//! `armv8m` is ARMv8-M Mainline: Rust tells a crate that it is built for "arm", but on stable not for which
//! of its instruction sets. ARMv6-M and ARMv8-M Baseline (Cortex-M0, M0+, M23) have no Thumb-2: there the
//! feature `cortex-m` adds nothing.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = var("TARGET").unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|name| target.starts_with(name));
    println!("cargo::rustc-check-cfg=cfg(armv8m)");
    if is(&["thumbv8m.main"]) {
        println!("cargo::rustc-cfg=armv8m");
    }
    let told =
        |name: &str, value: &str| var(name).is_ok_and(|told| told.split(',').any(|v| v == value));
    let architecture = |name: &str| told("CARGO_CFG_TARGET_ARCH", name);
    let thumb2 = is(&["armv7", "armv8r", "thumbv7", "thumbv8m.main", "thumbv8r"]);
    let cortex_m = thumb2 && var("CARGO_FEATURE_CORTEX_M").is_ok();
    let hard_float = told("CARGO_CFG_TARGET_ABI", "eabihf");
    let bare = told("CARGO_CFG_TARGET_OS", "none");
    instruction_set("x86_64", architecture("x86_64"));
    let feature = |name: &str| told("CARGO_CFG_TARGET_FEATURE", name);
    let aarch64 = architecture("aarch64") && feature("neon");
    // Without the standard library nobody can be asked.
    let dotprod = aarch64 && (var("CARGO_FEATURE_STD").is_ok() || feature("dotprod"));
    instruction_set("aarch64", aarch64);
    instruction_set("dotprod", dotprod);
    instruction_set("i8mm", dotprod && (var("CARGO_FEATURE_STD").is_ok() || feature("i8mm")));
    // Tests run both on ARMv7-A with Linux.
    instruction_set("cortex_m3", cortex_m && !(hard_float && bare));
    instruction_set("cortex_m4", cortex_m && hard_float);
}

fn instruction_set(name: &str, native: bool) {
    println!("cargo::rustc-check-cfg=cfg(native_{name}, has_{name})");
    if native {
        println!("cargo::rustc-cfg=native_{name}");
    }
    if native || var("CARGO_FEATURE_STD").is_ok() {
        println!("cargo::rustc-cfg=has_{name}");
    }
}
