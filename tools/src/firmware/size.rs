//! Flash and RAM that a Cortex-M image needs, read from its ELF file.

use object::LittleEndian;
use object::elf::{EM_ARM, FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use thiserror::Error;

use crate::boards::Region;

/// Bytes that an image takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Everything that is written to flash: code, constants, first values of statics, model.
    pub flash: usize,
    /// Flash without the model.
    pub code: usize,
    /// Statics with the arena, without the stack.
    pub ram: usize,
}

/// Why the size of an image cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SizeError {
    #[error("not a little-endian ELF file of 32 bits: {0}")]
    NotElf(String),
    #[error("an ELF file for machine {0}, not for Arm")]
    Machine(u16),
    #[error("the ELF file is damaged: {0}")]
    Damaged(String),
    #[error("the image does not hold the {bytes} bytes of the model")]
    NoModel { bytes: usize },
}

/// The size of a Cortex-M image that holds `model`, which is empty if the image holds none, on a board
/// with its memory at `ram`.
///
/// # Errors
/// [`SizeError`].
pub fn image_size(elf: &[u8], ram: Region, model: &[u8]) -> Result<ImageSize, SizeError> {
    let header = FileHeader32::<LittleEndian>::parse(elf)
        .map_err(|error| SizeError::NotElf(error.to_string()))?;
    let machine = header.e_machine(LittleEndian);
    if machine != EM_ARM || header.is_big_endian() {
        return Err(SizeError::Machine(machine.0));
    }
    let damaged = |error: object::Error| SizeError::Damaged(error.to_string());
    let outside = || SizeError::Damaged("a segment lies outside the file".to_string());
    let in_ram = ram.origin..ram.origin.saturating_add(ram.bytes as u64);
    let (mut flash, mut bytes_in_ram, mut models) = (0, 0, 0);
    for segment in header.program_headers(LittleEndian, elf).map_err(damaged)? {
        if segment.p_type(LittleEndian) != PT_LOAD {
            continue;
        }
        let data = segment.data(LittleEndian, elf).map_err(|()| outside())?;
        flash += data.len();
        if in_ram.contains(&u64::from(segment.p_vaddr(LittleEndian))) {
            bytes_in_ram += segment.p_memsz(LittleEndian) as usize;
        }
        models += usize::from(!model.is_empty() && contains(data, model));
    }
    if models == 0 && !model.is_empty() {
        return Err(SizeError::NoModel { bytes: model.len() });
    }
    Ok(ImageSize { flash, code: flash - model.len(), ram: bytes_in_ram })
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: Region = Region { origin: 0x2000_0000, bytes: 0x1000 };
    const MODEL: &[u8] = b"a model in flash";

    /// An ELF32 file for Arm: one segment in flash that holds `MODEL` after 24 bytes of code, one of
    /// 8 bytes of first values that become 40 bytes in RAM.
    fn image() -> Vec<u8> {
        let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
        let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
        half(&mut elf, 2);
        half(&mut elf, 40);
        [1, 0, 52, 0, 0].into_iter().for_each(|value| word(&mut elf, value));
        [52, 32, 2, 40, 0, 0].into_iter().for_each(|value| half(&mut elf, value));
        let data = 52 + 2 * 32;
        [PT_LOAD.0, data, 0, 0, 40, 40, 5, 4].into_iter().for_each(|value| word(&mut elf, value));
        [PT_LOAD.0, data + 40, 0x2000_0000, 40, 8, 40, 6, 4]
            .into_iter()
            .for_each(|value| word(&mut elf, value));
        elf.extend([0; 24]);
        elf.extend(MODEL);
        elf.extend([0; 8]);
        elf
    }

    #[test]
    fn code_is_what_flash_holds_beside_the_model() {
        let size = image_size(&image(), RAM, MODEL);
        assert_eq!(size, Ok(ImageSize { flash: 48, code: 48 - MODEL.len(), ram: 40 }));
        let without = image_size(&image(), RAM, &[]).expect("an image");
        assert_eq!(without.code, 48);
    }

    #[test]
    fn another_model_is_not_subtracted() {
        let error = image_size(&image(), RAM, b"another model");
        assert_eq!(error, Err(SizeError::NoModel { bytes: 13 }));
    }

    #[test]
    fn damaged_files_are_errors() {
        let image = image();
        for len in 0..image.len() {
            image_size(&image[..len], RAM, MODEL).expect_err("a part of the file");
        }
        let mut other = image;
        other[18] = 183;
        assert_eq!(image_size(&other, RAM, MODEL), Err(SizeError::Machine(183)));
    }
}
