//! The map of memory: every address at its own place, and nothing mapped that the image does not
//! use.
//!
//! | addresses | what | may |
//! |---|---|---|
//! | image | code | be executed |
//! | image | constants, an appended payload | be read |
//! | image | statics with an initial value | be written |
//! | [`MEMORY`] | stack, statics, arena | be written |
//! | payload of the board's data | model and inputs | be read |
//! | peripherals of Pi 3 and Pi 4 | UART 0 and pins | be written, as device memory |
//!
//! Three levels of tables with 4 KiB granules (Arm ARM DDI 0487, D8.3, "Translation table
//! descriptor formats"): 1 GiB, 2 MiB and 4 KiB an entry, the last for the first 2 MiB alone, which
//! hold the image. The tables are constants; only the entries of the image's pages, whose bounds
//! the linker decides, are written at start-up.
//!
//! What may not be broken: no memory is both writable and executable; and the peripherals of both chips are
//! mapped as device memory, which a processor never reads speculatively, since on one chip the other's are
//! not there.

use core::ops::Range;
use core::ptr;

use crate::board::{PAYLOAD_BYTES, PAYLOAD_ORIGIN};

/// `memory` of `link.ld`.
pub const MEMORY: Range<usize> = 0x0180_0000..0x0200_0000;
/// What an image with an appended payload may fill.
const APPENDED: Range<usize> = BLOCK..MEMORY.start;
const PAYLOAD: Range<usize> = PAYLOAD_ORIGIN..PAYLOAD_ORIGIN + PAYLOAD_BYTES;
/// UART 0 and pins of the Pi 3 and of the Pi 4.
const PERIPHERALS: [usize; 2] = [0x3f20_0000, 0xfe20_0000];

const BLOCK: usize = 1 << 21;
const GIB: usize = 1 << 30;

const _: () = {
    assert!(PAYLOAD.start.is_multiple_of(BLOCK) && PAYLOAD.end.is_multiple_of(BLOCK));
    assert!(PAYLOAD.start >= MEMORY.end && PAYLOAD.end <= PERIPHERALS[0]);
};

/// MAIR_EL1: attribute 0 is Device-nGnRnE, attribute 1 normal memory, write-back, allocating.
pub const MEMORY_ATTRIBUTES: u64 = 0xff << 8;
/// TCR_EL1: 32-bit addresses from TTBR0_EL1 in 4 KiB granules, 32-bit physical addresses; table
/// walks through write-back caches, inner shareable; no TTBR1_EL1.
pub const TRANSLATION_CONTROL: u64 = 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;

const VALID: usize = 1;
/// A table at levels 1 and 2, a page at level 3; a block without it.
const TABLE_OR_PAGE: usize = 1 << 1;
const NORMAL: usize = 1 << 2;
const READ_ONLY: usize = 1 << 7;
const INNER_SHAREABLE: usize = 3 << 8;
/// Without it the first access faults.
const ACCESSED: usize = 1 << 10;
const NEVER_EXECUTED: usize = 3 << 53;

const CODE: usize = VALID | NORMAL | READ_ONLY | INNER_SHAREABLE | ACCESSED;
const CONSTANTS: usize = CODE | NEVER_EXECUTED;
const DATA: usize = CONSTANTS & !READ_ONLY;
const DEVICE: usize = VALID | ACCESSED | NEVER_EXECUTED;

/// Attributes of a page of the image, for the code that fills the table of pages.
pub const CODE_PAGE: usize = CODE | TABLE_OR_PAGE;
/// See [`CODE_PAGE`].
pub const CONSTANTS_PAGE: usize = CONSTANTS | TABLE_OR_PAGE;
/// See [`CODE_PAGE`].
pub const DATA_PAGE: usize = DATA | TABLE_OR_PAGE;

/// 512 descriptors; a pointer, since it may hold the address of the next table.
#[repr(C, align(4096))]
pub struct Table([*const u8; 512]);

// SAFETY: a table is never changed, and nobody reads memory through its pointers but the
// processor's table walks.
unsafe impl Sync for Table {}

impl Table {
    const EMPTY: Self = Self([ptr::null(); 512]);

    /// The first table, of 1 GiB an entry; `low` and `high` describe the first and the fourth.
    #[must_use]
    pub const fn root(low: *const u8, high: *const u8) -> Self {
        let mut table = Self::EMPTY;
        table.0[0] = to_table(low);
        table.0[3] = to_table(high);
        table
    }

    /// The first GiB, in blocks; `pages` describes the first block.
    #[must_use]
    pub const fn low(pages: *const u8) -> Self {
        let mut table = Self::EMPTY;
        table.map(APPENDED, CONSTANTS);
        table.map(MEMORY, DATA);
        table.map(PAYLOAD, CONSTANTS);
        table.map(PERIPHERALS[0]..PERIPHERALS[0] + BLOCK, DEVICE);
        table.0[0] = to_table(pages);
        table
    }

    /// The fourth GiB, in blocks.
    #[must_use]
    pub const fn high() -> Self {
        let mut table = Self::EMPTY;
        table.map(PERIPHERALS[1]..PERIPHERALS[1] + BLOCK, DEVICE);
        table
    }

    const fn map(&mut self, addresses: Range<usize>, attributes: usize) {
        let mut address = addresses.start;
        while address < addresses.end {
            self.0[address % GIB / BLOCK] = ptr::without_provenance(address | attributes);
            address += BLOCK;
        }
    }
}

/// Tables are aligned, so that the sum sets bits.
const fn to_table(table: *const u8) -> *const u8 {
    table.wrapping_byte_add(VALID | TABLE_OR_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The descriptor of an address in a table of blocks; 0 where nothing is mapped.
    fn block(table: &Table, address: usize) -> usize {
        table.0[address % GIB / BLOCK].addr()
    }

    fn low() -> Table {
        Table::low(ptr::without_provenance(0x190_0000))
    }

    #[test]
    fn what_the_image_uses_is_mapped_where_it_is() {
        let low = low();
        for (address, attributes) in [
            (0x40_0000, CONSTANTS),
            (0x17f_ffff, CONSTANTS),
            (0x180_0000, DATA),
            (0x1ff_ffff, DATA),
            (PAYLOAD_ORIGIN, CONSTANTS),
            (PAYLOAD_ORIGIN + PAYLOAD_BYTES - 1, CONSTANTS),
            (0x3f20_1018, DEVICE),
        ] {
            let start = address / BLOCK * BLOCK;
            assert_eq!(block(&low, address), start | attributes, "{address:#x}");
        }
        assert_eq!(block(&Table::high(), 0xfe20_1018), 0xfe20_0000 | DEVICE);
        assert_eq!(low.0[0].addr(), 0x190_0003);
    }

    #[test]
    fn nothing_else_is_mapped() {
        let low = low();
        for address in [PAYLOAD_ORIGIN + PAYLOAD_BYTES, 0x3f00_0000, 0x3f40_0000, 0x3fe0_0000] {
            assert_eq!(block(&low, address), 0, "{address:#x}");
        }
        let high = Table::high().0.iter().filter(|entry| !entry.is_null()).count();
        assert_eq!(high, 1);
        let root = Table::root(ptr::without_provenance(0x1000), ptr::without_provenance(0x2000));
        let root: Vec<usize> = root.0.iter().map(|entry| entry.addr()).collect();
        assert_eq!(root[..4], [0x1003, 0, 0, 0x2003]);
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        let writable = |descriptor: usize| descriptor & READ_ONLY == 0;
        let executable = |descriptor: usize| descriptor & NEVER_EXECUTED != NEVER_EXECUTED;
        let mapped = low().0.into_iter().chain(Table::high().0).skip(1).map(|entry| entry.addr());
        let pages = [CODE_PAGE, CONSTANTS_PAGE, DATA_PAGE];
        let descriptors: Vec<usize> = mapped.filter(|&entry| entry != 0).chain(pages).collect();
        assert!(descriptors.iter().all(|&entry| !(writable(entry) && executable(entry))));
        assert_eq!(descriptors.iter().filter(|&&entry| executable(entry)).count(), 1);
    }

    #[test]
    fn devices_are_not_normal_memory() {
        for (descriptor, attribute) in [(DEVICE, 0), (CODE, 1), (DATA, 1), (CONSTANTS, 1)] {
            assert_eq!(descriptor >> 2 & 7, attribute);
        }
        assert_eq!(MEMORY_ATTRIBUTES.to_le_bytes()[..2], [0x00, 0xff]);
    }
}
