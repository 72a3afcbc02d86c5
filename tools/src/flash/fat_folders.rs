//! Repairs the folders that fatfs 0.3 makes: their first two entries, `.` and `..`, get long names, which
//! Microsoft's FAT specification ("Directory Creation") does not allow them, and `..` below the root
//! must name cluster 0. Checkers, and readers that are strict, refuse such folders.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

const ENTRY: usize = 32;
const ATTRIBUTES: usize = 11;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;
const DELETED: u8 = 0xe5;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";
/// Larger cluster numbers end a chain.
const LAST_CLUSTER: u32 = 0x0fff_fff6;

/// Repairs all folders of the FAT32 volume at `start` of an image.
///
/// # Errors
/// Any of reading and writing; [`io::ErrorKind::InvalidData`] if a folder is not as fatfs makes it.
pub fn fix_dot_entries(file: &File, start: u64) -> io::Result<()> {
    let volume = Volume::open(file, start)?;
    volume.mend_below(volume.root, 0)
}

struct Volume<'f> {
    file: &'f File,
    table: u64,
    data: u64,
    cluster_bytes: usize,
    root: u32,
}

impl<'f> Volume<'f> {
    fn open(file: &'f File, start: u64) -> io::Result<Self> {
        let mut boot = [0; 512];
        read(file, start, &mut boot)?;
        let sector = u64::from(half(&boot, 11));
        let table = start + u64::from(half(&boot, 14)) * sector;
        let tables = u64::from(boot[16]) * u64::from(word(&boot, 36)) * sector;
        let cluster_bytes = usize::from(boot[13]) * usize::from(half(&boot, 11));
        Ok(Self { file, table, data: table + tables, cluster_bytes, root: word(&boot, 44) })
    }

    fn at(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster_bytes as u64
    }

    fn next(&self, cluster: u32) -> io::Result<Option<u32>> {
        let mut entry = [0; 4];
        read(self.file, self.table + u64::from(cluster) * 4, &mut entry)?;
        let next = u32::from_le_bytes(entry) & 0x0fff_ffff;
        Ok((2..=LAST_CLUSTER).contains(&next).then_some(next))
    }

    /// Repairs all folders below the one at `cluster`; `name` is the cluster that their `..` has to name.
    fn mend_below(&self, cluster: u32, name: u32) -> io::Result<()> {
        let mut entries = vec![0; self.cluster_bytes];
        let mut current = Some(cluster);
        while let Some(cluster) = current {
            read(self.file, self.at(cluster), &mut entries)?;
            for entry in entries.chunks_exact(ENTRY) {
                let folder = entry[ATTRIBUTES] != LONG_NAME && entry[ATTRIBUTES] & FOLDER != 0;
                if folder && ![0, DELETED, b'.'].contains(&entry[0]) {
                    let first = u32::from(half(entry, 20)) << 16 | u32::from(half(entry, 26));
                    self.mend_start(first, name)?;
                    self.mend_below(first, first)?;
                }
            }
            current = self.next(cluster)?;
        }
        Ok(())
    }

    /// Leaves `.` and `..` as a folder's first entries, without long names.
    fn mend_start(&self, cluster: u32, parent: u32) -> io::Result<()> {
        let mut start = [0; 4 * ENTRY];
        read(self.file, self.at(cluster), &mut start)?;
        let entry = |index: usize| &start[index * ENTRY..(index + 1) * ENTRY];
        let (dot, dot_dot) = (entry(1), entry(3));
        if !dot.starts_with(DOT) || !dot_dot.starts_with(DOT_DOT) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a folder of the card is odd"));
        }
        let mut mended = [dot, dot_dot, &[0; 2 * ENTRY]].concat();
        let (high, low) = ((parent >> 16) as u16, parent as u16);
        mended[ENTRY + 20..][..2].copy_from_slice(&high.to_le_bytes());
        mended[ENTRY + 26..][..2].copy_from_slice(&low.to_le_bytes());
        mended[2 * ENTRY] = DELETED;
        mended[3 * ENTRY] = DELETED;
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at(cluster)))?;
        file.write_all(&mended)
    }
}

fn read(mut file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}
