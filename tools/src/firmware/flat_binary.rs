//! An ELF file as the memory image that a loader without ELF support copies to one address:
//! `kernel8.img` of a Raspberry Pi.
//!
//! Such a loader begins at the first byte, so an image whose entry point lies elsewhere is refused,
//! and so is everything that could make the output large or ambiguous.

use object::LittleEndian;
use object::elf::{EM_AARCH64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use thiserror::Error;

/// Largest image; those of this project have less than 1 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Why an ELF file has no flat image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlatBinaryError {
    #[error("not a little-endian ELF file of 64 bits: {0}")]
    NotElf(String),
    #[error("an ELF file for machine {0}, not for AArch64")]
    Machine(u16),
    #[error("the ELF file is damaged: {0}")]
    Damaged(String),
    #[error("the ELF file holds nothing to load")]
    Empty,
    #[error("a segment of {bytes} bytes at {address:#x} does not fit the address space")]
    AddressSpace { address: u64, bytes: u64 },
    #[error("two segments overlap at {address:#x}")]
    Overlap { address: u64 },
    #[error("the segments span {bytes} bytes, and an image may have {MAX_BYTES}")]
    TooLarge { bytes: u64 },
    #[error("the image starts at {start:#x}, and its entry point is {entry:#x}")]
    Entry { start: u64, entry: u64 },
}

/// What the segments of `elf` put into memory, from the lowest physical address on; gaps are zero.
///
/// # Errors
/// If the file is damaged, is not for AArch64, or does not begin with its entry point.
pub fn flat_binary(elf: &[u8]) -> Result<Vec<u8>, FlatBinaryError> {
    let header = FileHeader64::<LittleEndian>::parse(elf)
        .map_err(|error| FlatBinaryError::NotElf(error.to_string()))?;
    let machine = header.e_machine(LittleEndian);
    if machine != EM_AARCH64 || header.is_big_endian() {
        return Err(FlatBinaryError::Machine(machine.0));
    }
    let segments = segments(header, elf)?;
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Err(FlatBinaryError::Empty);
    };
    let (start, entry) = (first.address, header.e_entry(LittleEndian));
    if start != entry {
        return Err(FlatBinaryError::Entry { start, entry });
    }
    let bytes = last.end - start;
    if bytes > MAX_BYTES {
        return Err(FlatBinaryError::TooLarge { bytes });
    }
    let mut image = Vec::new();
    for segment in &segments {
        let gap = (segment.address - start) as usize;
        image.resize(gap, 0);
        image.extend_from_slice(segment.data);
    }
    Ok(image)
}

struct Segment<'a> {
    address: u64,
    end: u64,
    data: &'a [u8],
}

/// The parts of the file that are loaded, by address and without overlap.
fn segments<'a>(
    header: &FileHeader64<LittleEndian>,
    elf: &'a [u8],
) -> Result<Vec<Segment<'a>>, FlatBinaryError> {
    let damaged = |error: object::read::Error| FlatBinaryError::Damaged(error.to_string());
    let mut segments = Vec::new();
    for program in header.program_headers(LittleEndian, elf).map_err(damaged)? {
        let (address, bytes) = (program.p_paddr(LittleEndian), program.p_filesz(LittleEndian));
        if program.p_type(LittleEndian) != PT_LOAD || bytes == 0 {
            continue;
        }
        let data = program.data(LittleEndian, elf).map_err(|()| {
            FlatBinaryError::Damaged(format!("it ends before the segment at {address:#x} does"))
        })?;
        let end =
            address.checked_add(bytes).ok_or(FlatBinaryError::AddressSpace { address, bytes })?;
        segments.push(Segment { address, end, data });
    }
    segments.sort_by_key(|segment| segment.address);
    match segments.windows(2).find(|pair| pair[0].end > pair[1].address) {
        Some(pair) => Err(FlatBinaryError::Overlap { address: pair[1].address }),
        None => Ok(segments),
    }
}

#[cfg(test)]
mod tests {
    use object::elf::{EM_ARM, Machine};
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 0x8_0000;
    const HEADER_BYTES: usize = 64;
    const ENTRY_BYTES: usize = 56;

    /// An ELF file with these segments: physical address, contents, size in memory.
    fn elf(machine: Machine, entry: u64, segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(2_u16.to_le_bytes());
        file.extend(machine.0.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(entry.to_le_bytes());
        file.extend((HEADER_BYTES as u64).to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.extend(0_u32.to_le_bytes());
        for half in [HEADER_BYTES, ENTRY_BYTES, segments.len(), 64, 0, 0] {
            file.extend((half as u16).to_le_bytes());
        }
        let mut offset = HEADER_BYTES + ENTRY_BYTES * segments.len();
        for (address, data, memory) in segments {
            file.extend(PT_LOAD.0.to_le_bytes());
            file.extend(5_u32.to_le_bytes());
            // Linked at a virtual address of its own: the physical one counts.
            for word in [offset as u64, address | 1 << 40, *address, data.len() as u64, *memory, 8]
            {
                file.extend(word.to_le_bytes());
            }
            offset += data.len();
        }
        segments.iter().for_each(|(_, data, _)| file.extend(*data));
        file
    }

    fn aarch64(segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
        elf(EM_AARCH64, START, segments)
    }

    #[test]
    fn lays_segments_by_physical_address_without_their_zeroed_tail() {
        let file = aarch64(&[(START + 8, b"data", 4096), (START, b"code!", 5), (1 << 30, b"", 64)]);
        assert_eq!(flat_binary(&file).unwrap(), b"code!\0\0\0data");
    }

    #[test]
    fn refuses_what_a_loader_would_start_elsewhere() {
        let file = aarch64(&[(START - 4, b"data", 4), (START, b"code", 4)]);
        let expected = FlatBinaryError::Entry { start: START - 4, entry: START };
        assert_eq!(flat_binary(&file), Err(expected));
    }

    #[test]
    fn refuses_other_machines_and_other_files() {
        let arm = elf(EM_ARM, START, &[(START, b"code", 4)]);
        assert_eq!(flat_binary(&arm), Err(FlatBinaryError::Machine(EM_ARM.0)));
        for file in [&b""[..], b"kernel8.img", &arm[..20], &[0x7f; 100]] {
            assert!(matches!(flat_binary(file), Err(FlatBinaryError::NotElf(_))), "{file:?}");
        }
    }

    #[test]
    fn refuses_segments_that_overlap_wrap_or_span_too_much() {
        let overlap = aarch64(&[(START, b"code", 4), (START + 3, b"data", 4)]);
        assert_eq!(flat_binary(&overlap), Err(FlatBinaryError::Overlap { address: START + 3 }));
        let wrap = aarch64(&[(START, b"code", 4), (u64::MAX - 2, b"data", 4)]);
        let expected = FlatBinaryError::AddressSpace { address: u64::MAX - 2, bytes: 4 };
        assert_eq!(flat_binary(&wrap), Err(expected));
        let far = aarch64(&[(START, b"code", 4), (START + MAX_BYTES, b"data", 4)]);
        assert_eq!(flat_binary(&far), Err(FlatBinaryError::TooLarge { bytes: MAX_BYTES + 4 }));
        assert_eq!(flat_binary(&aarch64(&[])), Err(FlatBinaryError::Empty));
    }

    #[test]
    fn refuses_a_file_that_was_cut() {
        let file = aarch64(&[(START, b"code", 4)]);
        for length in [HEADER_BYTES + 8, file.len() - 1] {
            let cut = flat_binary(&file[..length]);
            assert!(matches!(cut, Err(FlatBinaryError::Damaged(_))), "{length}: {cut:?}");
        }
    }

    proptest! {
        #[test]
        fn survives_any_damage(at in 0..HEADER_BYTES + 2 * ENTRY_BYTES, byte: u8, also in 0..64_usize) {
            let mut file = aarch64(&[(START, b"code", 4), (START + 64, b"data", 4)]);
            file[at] = byte;
            file[also] ^= byte;
            if let Ok(image) = flat_binary(&file) {
                prop_assert!(image.len() as u64 <= MAX_BYTES);
            }
        }
    }
}
