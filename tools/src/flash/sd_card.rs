//! A bootable SD card for a Raspberry Pi without an operating system: a partition table (MBR) with one
//! FAT32 partition, which is where the GPU's boot loader looks for its own files, `config.txt`, the
//! kernel and the payload.
//!
//! What may not be broken: the partition is FAT32 whatever it holds, since boot loaders read no other
//! FAT reliably; the same files give the same image; the image's size is a power of two, as QEMU wants
//! of a card; and an image counts only after it was read back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::{BufStream, StreamSlice};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};
use thiserror::Error;

use super::fat_folders;
use crate::boards::SdCard;
use crate::files::{self, PROGRAM};

/// The file that `kernel=` of `config.txt` names.
pub const KERNEL: &str = "kernel8.img";
/// The file that `initramfs` of `config.txt` names: the model, and inputs for it.
pub const PAYLOAD: &str = "payload.bin";
const CONFIG: &str = "config.txt";

const SECTOR: u32 = 512;
/// 1 MiB in front of the partition, as partitioning tools leave.
const FIRST_SECTOR: u32 = 2048;
/// FAT32 with the address of every block.
const PARTITION_TYPE: u8 = 0x0c;
/// FAT32 is told by its number of clusters, which a smaller card of 512-byte clusters would lack.
const MIN_BYTES: u64 = 64 << 20;
/// The MBR's signature and the volume's number: fixed, so that equal files give equal images.
const SIGNATURE: [u8; 4] = *b"fxn1";

/// Why there is no card image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SdCardError {
    #[error(
        "{}: the folder has no {missing}; --firmware-dir takes the folder `boot` of \
         https://github.com/raspberrypi/firmware",
        folder.display()
    )]
    NoFirmware { folder: PathBuf, missing: String },
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: io::Error },
    #[error("the files for the card are {bytes} bytes, too many for FAT32")]
    TooLarge { bytes: u64 },
    #[error("the card image could not be made: {0}")]
    Io(#[from] io::Error),
    #[error("the card image could not be made: {0}")]
    PartitionTable(#[from] mbrman::Error),
    #[error("the card image does not read back: {0}; nothing was kept")]
    Damaged(String),
}

/// A file of the boot partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFile {
    /// Below the partition's root; `/` separates folders.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// All files of a bootable card: the GPU's own from `firmware`, then what fixnet brings.
///
/// # Errors
/// [`SdCardError::NoFirmware`] with the first file that is missing.
pub fn boot_files(
    card: &SdCard,
    firmware: &Path,
    kernel: Vec<u8>,
    payload: Vec<u8>,
) -> Result<Vec<CardFile>, SdCardError> {
    let mut files = Vec::new();
    for name in &card.firmware {
        let path = firmware.join(name);
        let bytes = files::read(&path, PROGRAM).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => {
                SdCardError::NoFirmware { folder: firmware.to_owned(), missing: name.clone() }
            }
            _ => SdCardError::Unreadable { path, reason },
        })?;
        files.push(CardFile { path: name.clone(), bytes });
    }
    let config = card.config.iter().map(|line| format!("{line}\n")).collect::<String>();
    files.push(CardFile { path: CONFIG.to_string(), bytes: config.into_bytes() });
    files.push(CardFile { path: KERNEL.to_string(), bytes: kernel });
    files.push(CardFile { path: PAYLOAD.to_string(), bytes: payload });
    Ok(files)
}

/// Bytes of the image that holds `files`.
///
/// # Errors
/// [`SdCardError::TooLarge`].
pub fn image_bytes(files: &[CardFile]) -> Result<u64, SdCardError> {
    let bytes: u64 = files.iter().map(|file| file.bytes.len() as u64).sum();
    // Tables, folders and the ends of clusters come on top.
    let needed = bytes + bytes / 32 + (4 << 20);
    match needed.next_power_of_two().max(MIN_BYTES) {
        size if size / u64::from(SECTOR) <= u64::from(u32::MAX) => Ok(size),
        _ => Err(SdCardError::TooLarge { bytes }),
    }
}

/// Makes the image in an empty file and reads it back.
///
/// # Errors
/// [`SdCardError`]; the file then holds nothing of use.
pub fn write_image(mut file: &File, files: &[CardFile]) -> Result<(), SdCardError> {
    let size = image_bytes(files)?;
    file.set_len(size)?;
    let mut table = MBR::new_from(&mut file, SECTOR, SIGNATURE)?;
    let sectors = u32::try_from(size / u64::from(SECTOR)).unwrap_or(u32::MAX) - FIRST_SECTOR;
    table[1] = MBRPartitionEntry {
        boot: BOOT_ACTIVE,
        first_chs: CHS::empty(),
        sys: PARTITION_TYPE,
        last_chs: CHS::empty(),
        starting_lba: FIRST_SECTOR,
        sectors,
    };
    table.write_into(&mut file)?;
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .volume_id(u32::from_le_bytes(SIGNATURE))
        .volume_label(*b"FIXNET     ");
    fatfs::format_volume(partition(file, FIRST_SECTOR, sectors)?, format)?;
    let volume = FileSystem::new(partition(file, FIRST_SECTOR, sectors)?, FsOptions::new())?;
    for CardFile { path, bytes } in files {
        create(volume.root_dir(), path)?.write_all(bytes)?;
    }
    // Counts the free clusters, which the volume then states.
    volume.stats()?;
    volume.unmount()?;
    fat_folders::fix_dot_entries(file, u64::from(FIRST_SECTOR) * u64::from(SECTOR))?;
    file.sync_all()?;
    let read = read_image(file)?;
    let mut expected = files.to_vec();
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    match read == expected {
        true => Ok(()),
        false => Err(SdCardError::Damaged("its files are not those that were written".into())),
    }
}

/// All files of the boot partition of an image, by path.
///
/// # Errors
/// [`SdCardError`], also if the partition is no FAT32.
pub fn read_image(mut file: &File) -> Result<Vec<CardFile>, SdCardError> {
    let table = MBR::read_from(&mut file, SECTOR)?;
    let entry = &table[1];
    if entry.sys != PARTITION_TYPE {
        return Err(SdCardError::Damaged("its first partition is no boot partition".into()));
    }
    let partition = partition(file, entry.starting_lba, entry.sectors)?;
    let volume = FileSystem::new(partition, FsOptions::new())?;
    if volume.fat_type() != FatType::Fat32 {
        return Err(SdCardError::Damaged(format!("its partition is {:?}", volume.fat_type())));
    }
    let mut files = Vec::new();
    collect(&volume.root_dir(), "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

type Partition<'f> = BufStream<StreamSlice<&'f File>>;

fn partition(file: &File, first: u32, sectors: u32) -> io::Result<Partition<'_>> {
    let start = u64::from(first) * u64::from(SECTOR);
    let end = start + u64::from(sectors) * u64::from(SECTOR);
    Ok(BufStream::new(StreamSlice::new(file, start, end)?))
}

/// Creates a file and the folders on the way to it.
fn create<'v, 'f>(
    mut folder: Dir<'v, Partition<'f>>,
    path: &str,
) -> io::Result<fatfs::File<'v, Partition<'f>>> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    for part in parts {
        // An existing folder is opened.
        folder = folder.create_dir(part)?;
    }
    folder.create_file(name)
}

fn collect(
    folder: &Dir<'_, Partition<'_>>,
    prefix: &str,
    files: &mut Vec<CardFile>,
) -> io::Result<()> {
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{prefix}{name}");
        if entry.is_file() {
            let mut bytes = Vec::new();
            entry.to_file().read_to_end(&mut bytes)?;
            files.push(CardFile { path, bytes });
        } else if name != "." && name != ".." {
            collect(&entry.to_dir(), &format!("{path}/"), files)?;
        }
    }
    Ok(())
}
