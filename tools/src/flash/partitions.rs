//! Finds the root filesystem in the image of an operating system: an ext4 partition of an MBR or GPT
//! disk.
//!
//! The images of Raspberry Pi OS have an MBR, those of JetPack a GPT whose partition types say little;
//! so what decides is the filesystem itself: the largest that carries the magic of ext2, ext3 and ext4.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use mbrman::MBR;
use thiserror::Error;

const SECTOR: u32 = 512;
/// Where a filesystem's superblock begins, and how much of it is read.
const SUPERBLOCK_AT: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
/// An MBR that stands in front of a GPT has one partition of this type.
const PROTECTIVE: u8 = 0xee;
/// What a GPT has room for; more are an allegation that would cost memory.
const MAX_GPT_ENTRIES: u32 = 1024;
const GPT_ENTRY_BYTES: u32 = 128;

/// Why no root filesystem was found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartitionError {
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
    #[error("{}: is compressed ({kind}); unpack it first", path.display())]
    Compressed { path: PathBuf, kind: &'static str },
    #[error("{}: no partition table: {reason}", path.display())]
    NoTable { path: PathBuf, reason: String },
    #[error("{}: none of its partitions holds an ext4 filesystem: {found}", path.display())]
    NoExt4 { path: PathBuf, found: String },
    #[error(
        "{}: partition {number} ends at byte {needed} and the image has {available}; \
         is it a whole image?",
        path.display()
    )]
    Truncated { path: PathBuf, number: u32, needed: u64, available: u64 },
}

/// A partition of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As partitioning tools count, from 1.
    pub number: u32,
    pub offset: u64,
    pub bytes: u64,
    /// Type, and name if the table has names.
    pub label: String,
}

/// A root filesystem and what its superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub partition: Partition,
    /// Bytes that files may still fill.
    pub free_bytes: u64,
    /// Its journal holds changes that are not yet in place: it was not unmounted.
    pub needs_recovery: bool,
}

/// Finds the root filesystem of an image.
///
/// # Errors
/// [`PartitionError`] with the partitions that there are.
pub fn find_root(path: &Path) -> Result<Root, PartitionError> {
    let failed = |reason| PartitionError::Io { path: path.to_owned(), reason };
    let mut file = crate::files::open(path).map_err(failed)?;
    let available = file.seek(SeekFrom::End(0)).map_err(failed)?;
    if let Some(kind) = compression(&file).map_err(failed)? {
        return Err(PartitionError::Compressed { path: path.to_owned(), kind });
    }
    let partitions = read_table(&file)
        .map_err(|reason| PartitionError::NoTable { path: path.to_owned(), reason })?;
    let mut roots = Vec::new();
    for partition in &partitions {
        let Some(superblock) = read_superblock(&file, partition).map_err(failed)? else { continue };
        let needed = partition.offset.saturating_add(partition.bytes);
        if needed > available {
            let number = partition.number;
            return Err(PartitionError::Truncated {
                path: path.to_owned(),
                number,
                needed,
                available,
            });
        }
        roots.push(superblock.root(partition));
    }
    roots.into_iter().max_by_key(|root| root.partition.bytes).ok_or_else(|| {
        let labels: Vec<&str> = partitions.iter().map(|p| p.label.as_str()).collect();
        let found = if labels.is_empty() { "there are none".into() } else { labels.join(", ") };
        PartitionError::NoExt4 { path: path.to_owned(), found }
    })
}

/// The form in which images are downloaded.
fn compression(mut file: &File) -> io::Result<Option<&'static str>> {
    const KINDS: [(&[u8], &str); 5] = [
        (b"\xfd7zXZ", "xz"),
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    file.rewind()?;
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start)?;
    Ok(KINDS.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, kind)| kind))
}

fn read_table(mut file: &File) -> Result<Vec<Partition>, String> {
    let table = MBR::read_from(&mut file, SECTOR).map_err(|error| error.to_string())?;
    if table.iter().any(|(_, entry)| entry.sys == PROTECTIVE) {
        return read_gpt(file);
    }
    let used = table.iter().filter(|(_, entry)| entry.is_used() && !entry.is_extended());
    let partitions = used.map(|(number, entry)| Partition {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        offset: u64::from(entry.starting_lba) * u64::from(SECTOR),
        bytes: u64::from(entry.sectors) * u64::from(SECTOR),
        label: format!("type {:#04x}", entry.sys),
    });
    Ok(partitions.collect())
}

fn read_gpt(mut file: &File) -> Result<Vec<Partition>, String> {
    let bytes = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    for header in [u64::from(SECTOR), bytes.saturating_sub(u64::from(SECTOR))] {
        check_gpt_entries(file, header)?;
    }
    let config = GptConfig::new().writable(false).only_valid_headers(false);
    let table = config.logical_block_size(LogicalBlockSize::Lb512).open_from_device(file);
    let partitions = table.map_err(|error| error.to_string())?.take_partitions();
    let lba = |lba: u64| lba.saturating_mul(u64::from(SECTOR));
    let used = partitions.into_iter().filter(|(_, entry)| entry.is_used());
    let described = used.map(|(number, entry)| Partition {
        number,
        offset: lba(entry.first_lba),
        bytes: lba(entry.last_lba.saturating_add(1).saturating_sub(entry.first_lba)),
        label: format!("{:?} of type {}", entry.name, entry.part_type_guid.guid),
    });
    Ok(described.collect())
}

/// The crate asserts the size of an entry and allocates their number.
fn check_gpt_entries(mut file: &File, header: u64) -> Result<(), String> {
    let mut sector = [0; SECTOR as usize];
    file.seek(SeekFrom::Start(header)).map_err(|error| error.to_string())?;
    file.read_exact(&mut sector).map_err(|error| error.to_string())?;
    let word = |at: usize| {
        let bytes = sector.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let (entries, bytes) = (word(80), word(84));
    if sector.starts_with(b"EFI PART") && (bytes != GPT_ENTRY_BYTES || entries > MAX_GPT_ENTRIES) {
        return Err(format!("{entries} GPT entries of {bytes} bytes are not supported"));
    }
    Ok(())
}

/// The fields of an ext4 superblock that matter here, at their offsets of the kernel's documentation
/// (filesystems/ext4, "Super Block").
struct Superblock([u8; SUPERBLOCK_BYTES]);

impl Superblock {
    const MAGIC: u16 = 0xef53;
    const INCOMPAT_RECOVER: u32 = 0x4;
    const INCOMPAT_64BIT: u32 = 0x80;

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }

    fn root(&self, partition: &Partition) -> Root {
        let incompatible = self.u32(0x60);
        let high = if incompatible & Self::INCOMPAT_64BIT != 0 { self.u32(0x158) } else { 0 };
        let blocks = u64::from(self.u32(0xc)) | u64::from(high) << 32;
        let block_bytes = 1024u64.checked_shl(self.u32(0x18)).unwrap_or(0);
        Root {
            partition: partition.clone(),
            free_bytes: blocks.saturating_mul(block_bytes),
            needs_recovery: incompatible & Self::INCOMPAT_RECOVER != 0,
        }
    }
}

fn read_superblock(mut file: &File, partition: &Partition) -> io::Result<Option<Superblock>> {
    file.seek(SeekFrom::Start(partition.offset.saturating_add(SUPERBLOCK_AT)))?;
    let mut superblock = Superblock([0; SUPERBLOCK_BYTES]);
    match file.read_exact(&mut superblock.0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    Ok((superblock.u16(0x38) == Superblock::MAGIC).then_some(superblock))
}
