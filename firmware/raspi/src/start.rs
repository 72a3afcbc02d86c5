//! From reset to Rust: one core at EL1 with caches, translation and vector registers.
//!
//! `aarch64-rt` owns the entry point. It calls `enable_mmu` (below) on every core first, then grants
//! access to vector registers (CPACR_EL1.FPEN), zeroes `.bss`, sets the stack pointer and calls
//! `main`. Until `enable_mmu` returns there are no vector registers, no stack and no unaligned
//! access, so all of it is assembly. References are to the Arm ARM, DDI 0487.
//!
//! What may not be broken: `.translation` and the stacks lie outside of `.bss`; `main` runs on
//! SP_EL0 and exceptions on SP_EL1, so that an overflowing stack can still be reported.

use core::arch::global_asm;

use fixnet_raspi::translation::{
    CODE_PAGE, CONSTANTS_PAGE, DATA_PAGE, MEMORY_ATTRIBUTES, TRANSLATION_CONTROL, Table,
};

unsafe extern "C" {
    static translation_pages: u8;
}

static ROOT: Table = Table::root((&raw const LOW).cast(), (&raw const HIGH).cast());
static LOW: Table = Table::low(&raw const translation_pages);
static HIGH: Table = Table::high();

/// SCTLR_EL1: translation, data and instruction caches, aligned stack, nothing writable is executed;
/// the rest as a processor of version 8.0 reserves it.
const SYSTEM_CONTROL: u64 = aarch64_rt::DEFAULT_SCTLR | 1 << 19;
/// SCTLR_EL1 with everything off: its bits that are reserved as 1.
const SYSTEM_CONTROL_OFF: u64 = 0x30d0_0800;
/// SCR_EL3: the next level is AArch64 (RW) and non-secure (NS); HVC allowed; bits 5 and 4 are 1.
const SECURE_CONFIGURATION: u64 = 1 << 10 | 1 << 8 | 3 << 4 | 1;
/// HCR_EL2: EL1 is AArch64; nothing of it is trapped or translated.
const HYPERVISOR_CONFIGURATION: u64 = 1 << 31;
/// CPTR_EL2: its bits that are reserved as 1; vector registers are not trapped (TFP is 0).
const TRAPS_TO_EL2: u64 = 0x33ff;
/// SPSR: interrupts masked, EL2 with its own stack pointer.
const TO_EL2: u64 = 0xf << 6 | 0b1001;
/// SPSR: interrupts masked, EL1 with SP_EL0.
const TO_EL1: u64 = 0xf << 6 | 0b0100;
/// S3_1_C15_C2_1 is CPUECTLR_EL1; SMPEN must be set before caches are enabled (Cortex-A53 TRM 4.3.66,
/// Cortex-A72 TRM 4.3.67). The firmware's stub does so; without it, at EL3, it is up to us.
const SMPEN: u64 = 1 << 6;

global_asm!(
    // Writes descriptors at x9 for the pages from x10 to `end`; without attributes they are invalid.
    ".macro map_pages end:req, attributes:req",
    "    adrp x11, \\end",
    "    ldr x12, =\\attributes",
    "91: cmp x10, x11",
    "    b.hs 92f",
    "    orr x13, x10, x12",
    "    str x13, [x9], #8",
    "    add x10, x10, #4096",
    "    b 91b",
    "92:",
    ".endm",

    ".section .init.enable_mmu, \"ax\"",
    ".global enable_mmu",
    "enable_mmu:",
    // One core runs; on both chips the others differ in the lowest affinity.
    "    mrs x9, mpidr_el1",
    "    tst x9, #0xff",
    "    b.eq 2f",
    "1:  wfi",
    "    b 1b",
    // Loaded behind its place, the image is moved, and begins anew: firmware takes 0x200000 unless
    // `config.txt` says otherwise. The moved code then moves what may be appended to the image, which
    // overwrites the loaded one.
    "2:  adr x9, entry",
    "    ldr x10, =entry",
    "    cmp x9, x10",
    "    b.lo 1b",
    "    b.eq 23f",
    "    mov x11, x10",
    "    ldr x12, =image_end",
    "    adr x13, 22f",
    "    sub x13, x13, x9",
    "    add x13, x13, x10",
    "21: ldp x14, x15, [x9], #16",
    "    stp x14, x15, [x11], #16",
    "    cmp x11, x12",
    "    b.lo 21b",
    "    dsb sy",
    "    ic iallu",
    "    dsb sy",
    "    isb",
    "    br x13",
    "22: ldr x12, =memory_begin",
    "24: ldp x14, x15, [x9], #16",
    "    stp x14, x15, [x11], #16",
    "    cmp x11, x12",
    "    b.lo 24b",
    "    br x10",
    "23: mrs x9, CurrentEL",
    "    cmp x9, #3 << 2",
    "    b.eq 3f",
    "    cmp x9, #2 << 2",
    "    b.eq 4f",
    // EL1 already.
    "    msr spsel, #1",
    "    adrp x9, exception_stack_end",
    "    mov sp, x9",
    "    msr spsel, #0",
    "    b 5f",
    // EL3.
    "3:  mov x9, #{secure_configuration}",
    "    msr scr_el3, x9",
    "    msr cptr_el3, xzr",
    "    mrs x9, S3_1_C15_C2_1",
    "    orr x9, x9, #{smpen}",
    "    msr S3_1_C15_C2_1, x9",
    "    mov x9, #{to_el2}",
    "    msr spsr_el3, x9",
    "    adr x9, 4f",
    "    msr elr_el3, x9",
    "    isb",
    "    eret",
    // EL2: registers that are unknown after reset and bear on EL1 are given a value.
    "4:  mov x9, #{hypervisor_configuration}",
    "    msr hcr_el2, x9",
    "    mov x9, #{traps_to_el2}",
    "    msr cptr_el2, x9",
    "    msr hstr_el2, xzr",
    "    msr cntvoff_el2, xzr",
    "    mrs x9, midr_el1",
    "    msr vpidr_el2, x9",
    "    mrs x9, mpidr_el1",
    "    msr vmpidr_el2, x9",
    "    ldr x9, ={system_control_off}",
    "    msr sctlr_el1, x9",
    "    adrp x9, exception_stack_end",
    "    msr sp_el1, x9",
    "    mov x9, #{to_el1}",
    "    msr spsr_el2, x9",
    "    adr x9, 5f",
    "    msr elr_el2, x9",
    "    isb",
    "    eret",
    // EL1. What earlier stages left in the data caches goes to memory and out of the caches, level
    // by level, way by way, set by set (D7.5.9.6, "Performing cache maintenance instructions").
    "5:  dmb sy",
    "    mrs x9, clidr_el1",
    "    ubfx x10, x9, #24, #3", // level of coherence
    "    cbz x10, 10f",
    "    mov x11, xzr", // level, from 0
    "6:  add x12, x11, x11, lsl #1",
    "    lsr x12, x9, x12",
    "    and x12, x12, #7",
    "    cmp x12, #2", // kind of cache: at least data
    "    b.lt 9f",
    "    lsl x13, x11, #1",
    "    msr csselr_el1, x13",
    "    isb",
    "    mrs x12, ccsidr_el1",
    "    and x14, x12, #7",
    "    add x14, x14, #4",          // log2 of the line's bytes
    "    ubfx x15, x12, #3, #10",    // last way
    "    clz w16, w15",              // shift of a way
    "    ubfx x12, x12, #13, #15",   // last set
    "7:  mov x17, x12",
    "8:  lsl x18, x15, x16",
    "    orr x18, x18, x13",
    "    lsl x19, x17, x14",
    "    orr x18, x18, x19",
    "    dc cisw, x18",
    "    subs x17, x17, #1",
    "    b.ge 8b",
    "    subs x15, x15, #1",
    "    b.ge 7b",
    "9:  add x11, x11, #1",
    "    cmp x10, x11",
    "    b.gt 6b",
    "    msr csselr_el1, xzr",
    "10: dsb sy",
    "    isb",
    // The image's pages: code, constants, data; below the image nothing, above it an appended
    // payload.
    "    adrp x9, translation_pages",
    "    mov x10, xzr",
    "    map_pages entry, 0",
    "    map_pages text_end, {code_page}",
    "    map_pages rodata_end, {constants_page}",
    "    map_pages image_end + 4095, {data_page}",
    "    map_pages pages_end, {constants_page}",
    "    dsb sy",
    // Translation and caches on (D8.2.2; B2.7.1 for the stale entries).
    "    ldr x9, ={memory_attributes}",
    "    msr mair_el1, x9",
    "    ldr x9, ={translation_control}",
    "    msr tcr_el1, x9",
    "    adrp x9, {root}",
    "    msr ttbr0_el1, x9",
    "    isb",
    "    tlbi vmalle1",
    "    ic iallu",
    "    dsb nsh",
    "    isb",
    "    ldr x9, ={system_control}",
    "    msr sctlr_el1, x9",
    "    isb",
    "    ret",
    "    .ltorg",
    ".purgem map_pages",

    ".section .translation, \"aw\", %nobits",
    ".balign 4096",
    ".global translation_pages",
    "translation_pages: .space 4096",
    ".section .stack.exceptions, \"aw\", %nobits",
    ".space 8192",
    secure_configuration = const SECURE_CONFIGURATION,
    smpen = const SMPEN,
    to_el2 = const TO_EL2,
    hypervisor_configuration = const HYPERVISOR_CONFIGURATION,
    traps_to_el2 = const TRAPS_TO_EL2,
    system_control_off = const SYSTEM_CONTROL_OFF,
    to_el1 = const TO_EL1,
    code_page = const CODE_PAGE,
    constants_page = const CONSTANTS_PAGE,
    data_page = const DATA_PAGE,
    memory_attributes = const MEMORY_ATTRIBUTES,
    translation_control = const TRANSLATION_CONTROL,
    root = sym ROOT,
    system_control = const SYSTEM_CONTROL,
);
