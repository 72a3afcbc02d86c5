//! What a block device is and holds, and whether an image may be written over it.
//!
//! What may not be broken: nothing that is in use - mounted, swapped to, part of a volume of several
//! disks - and no partition is ever written to, even with `--yes`; and the kernel is asked for
//! exclusive use, which it refuses of a disk in use.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise, major, minor};
use thiserror::Error;

/// Bytes of a sector in sysfs, whatever the device's own are.
const SYSFS_SECTOR: u64 = 512;
const CHUNK: usize = 1 << 20;

/// Why a device is not written to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
    #[error("{}: is not known to this system's /sys; is it a block device?", path.display())]
    Unknown { path: PathBuf },
    #[error("{device} is a partition; name the whole disk")]
    IsPartition { device: String },
    #[error("{device} is in use: {by}; unmount it first, and be sure that it is the card")]
    InUse { device: String, by: String },
    #[error("{device} is read-only; is the card's lock open?")]
    ReadOnly { device: String },
    #[error("{device} is too small: the image needs {needed} bytes and {available} are there")]
    TooSmall { device: String, needed: u64, available: u64 },
    #[error("{device} would be overwritten; add --yes if that is what you want")]
    NotAgreed { device: String },
    #[error(
        "{}: {written} of {total} bytes were written, then: {reason}; the card is not usable",
        path.display()
    )]
    Interrupted { path: PathBuf, written: u64, total: u64, reason: io::Error },
    #[error("{}: what was written from byte {at} on does not read back; the card is not usable", path.display())]
    Damaged { path: PathBuf, at: u64 },
}

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    pub mounted_at: Vec<String>,
}

/// A disk, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub name: String,
    pub model: Option<String>,
    pub bytes: u64,
    pub removable: bool,
    pub read_only: bool,
    pub is_partition: bool,
    pub mounted_at: Vec<String>,
    pub parts: Vec<Part>,
    /// Swap areas, and volumes that other disks may belong to, on the disk or its partitions.
    pub other_uses: Vec<String>,
}

/// Where the kernel describes devices (sysfs, procfs); tests make folders of their own.
#[derive(Debug, Clone)]
pub struct System {
    pub sys: PathBuf,
    pub proc: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into() }
    }
}

/// Whether `path` is a block device; links are followed.
#[must_use]
pub fn is_block_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

impl Disk {
    /// Asks the kernel about the device `path`.
    ///
    /// # Errors
    /// [`DeviceError::Io`] or [`DeviceError::Unknown`].
    pub fn inspect(path: &Path, system: &System) -> Result<Self, DeviceError> {
        let failed = |reason| DeviceError::Io { path: path.to_owned(), reason };
        let number = fs::metadata(path).map_err(failed)?.rdev();
        let number = format!("{}:{}", major(number), minor(number));
        Self::by_number(&number, system)
            .map_err(failed)?
            .ok_or_else(|| DeviceError::Unknown { path: path.to_owned() })
    }

    /// The device with the number `MAJOR:MINOR`, or nothing.
    ///
    /// # Errors
    /// Those of reading the kernel's description.
    pub fn by_number(number: &str, system: &System) -> io::Result<Option<Self>> {
        let folder = system.sys.join("dev/block").join(number);
        if !folder.is_dir() {
            return Ok(None);
        }
        let folder = fs::canonicalize(folder)?;
        let uses = Uses::read(system)?;
        let mut parts = Vec::new();
        let mut other_uses = uses.others(&folder);
        for entry in fs::read_dir(&folder)? {
            let entry = entry?.path();
            if !entry.join("partition").is_file() {
                continue;
            }
            other_uses.extend(uses.others(&entry));
            let (name, bytes) = (name_of(&entry), bytes_of(&entry));
            parts.push(Part { name, bytes, mounted_at: uses.mounts(&entry) });
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(Self {
            name: name_of(&folder),
            model: attribute(&folder, "device/model").or_else(|| attribute(&folder, "device/name")),
            bytes: bytes_of(&folder),
            removable: attribute(&folder, "removable").as_deref() == Some("1"),
            read_only: attribute(&folder, "ro").as_deref() == Some("1"),
            is_partition: folder.join("partition").is_file(),
            mounted_at: uses.mounts(&folder),
            parts,
            other_uses,
        }))
    }

    /// Whether an image of `needed` bytes may be written over the disk.
    ///
    /// # Errors
    /// [`DeviceError`] with the reason; a missing `--yes` is the last that is looked at.
    pub fn check(&self, needed: u64, agreed: bool) -> Result<(), DeviceError> {
        let device = || format!("/dev/{}", self.name);
        if self.is_partition {
            return Err(DeviceError::IsPartition { device: device() });
        }
        if let Some(by) = self.use_of_it() {
            return Err(DeviceError::InUse { device: device(), by });
        }
        if self.read_only {
            return Err(DeviceError::ReadOnly { device: device() });
        }
        if self.bytes < needed {
            let available = self.bytes;
            return Err(DeviceError::TooSmall { device: device(), needed, available });
        }
        if !agreed {
            return Err(DeviceError::NotAgreed { device: device() });
        }
        Ok(())
    }

    fn use_of_it(&self) -> Option<String> {
        let whole = self.mounted_at.iter().map(|at| (&self.name, at));
        let parts = self.parts.iter().flat_map(|p| p.mounted_at.iter().map(|at| (&p.name, at)));
        let mounts = whole.chain(parts).map(|(name, at)| format!("{name} is mounted at {at}"));
        let all: Vec<String> = mounts.chain(self.other_uses.iter().cloned()).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// What would be lost.
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("unnamed");
        let kind = if self.removable { "removable" } else { "NOT removable" };
        write!(f, "/dev/{}: {model}, {}, {kind}", self.name, size(self.bytes))?;
        if self.parts.is_empty() {
            f.write_str(", no partitions")?;
        }
        for Part { name, bytes, mounted_at } in &self.parts {
            write!(f, "\n  /dev/{name}: {}", size(*bytes))?;
            for at in mounted_at {
                write!(f, ", mounted at {at}")?;
            }
        }
        Ok(())
    }
}

fn size(bytes: u64) -> String {
    let mut text = String::new();
    let _ = match bytes >> 30 {
        0 => write!(text, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => write!(text, "{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    };
    text
}

fn name_of(folder: &Path) -> String {
    // The kernel writes `!` where a device's name has a slash.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.replace('!', "/")
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}

fn bytes_of(folder: &Path) -> u64 {
    let sectors = attribute(folder, "size").and_then(|text| text.parse::<u64>().ok());
    sectors.unwrap_or(0).saturating_mul(SYSFS_SECTOR)
}

/// Mounts and swap areas of the whole system.
struct Uses {
    /// Device number, source and mount point.
    mounts: Vec<(String, String, String)>,
    swaps: Vec<String>,
}

impl Uses {
    fn read(system: &System) -> io::Result<Self> {
        let text = fs::read_to_string(system.proc.join("self/mountinfo"))?;
        let swaps = fs::read_to_string(system.proc.join("swaps")).unwrap_or_default();
        let mounts = text.lines().filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(2);
            let (number, at) = (mount.next()?, mount.nth(1)?);
            let source = source.split(' ').nth(1)?;
            Some((number.to_string(), source.to_string(), at.to_string()))
        });
        let swaps = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        Ok(Self { mounts: mounts.collect(), swaps: swaps.map(str::to_string).collect() })
    }

    /// Where a device is mounted. Filesystems over several disks have numbers of their own, so the
    /// source counts, too.
    fn mounts(&self, folder: &Path) -> Vec<String> {
        let number = attribute(folder, "dev").unwrap_or_default();
        let path = format!("/dev/{}", name_of(folder));
        let on_it = self.mounts.iter().filter(|(n, source, _)| *n == number || *source == path);
        on_it.map(|(_, _, at)| at.clone()).collect()
    }

    /// Uses other than mounts, in words.
    fn others(&self, folder: &Path) -> Vec<String> {
        let name = name_of(folder);
        let path = format!("/dev/{name}");
        let swapped = self.swaps.contains(&path);
        let swap = swapped.then(|| format!("{name} is swapped to"));
        let holders = fs::read_dir(folder.join("holders")).into_iter().flatten().flatten();
        let held = holders
            .map(|holder| format!("{name} is part of {}", holder.file_name().to_string_lossy()));
        swap.into_iter().chain(held).collect()
    }
}

/// Writes an image over a disk that [`Disk::check`] has passed, and reads it back.
///
/// # Errors
/// [`DeviceError`] that says how far it came.
pub fn write(mut image: &File, path: &Path) -> Result<(), DeviceError> {
    let failed = |reason| DeviceError::Io { path: path.to_owned(), reason };
    let total = image.seek(SeekFrom::End(0)).map_err(failed)?;
    let exclusive = (OFlags::EXCL | OFlags::NOFOLLOW).bits().cast_signed();
    let mut options = OpenOptions::new();
    let device = options.read(true).write(true).custom_flags(exclusive);
    let resolved = fs::canonicalize(path).map_err(failed)?;
    let mut device = device.open(resolved).map_err(failed)?;
    image.rewind().map_err(failed)?;
    let mut written = 0;
    copy(image, &mut device, &mut written).and_then(|()| device.sync_all()).map_err(|reason| {
        DeviceError::Interrupted { path: path.to_owned(), written, total, reason }
    })?;
    match first_difference(image, &mut device).map_err(failed)? {
        None => Ok(()),
        Some(at) => Err(DeviceError::Damaged { path: path.to_owned(), at }),
    }
}

fn copy(mut image: &File, device: &mut File, written: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = image.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        device.write_all(&buffer[..count])?;
        *written += count as u64;
    }
}

/// Where the device differs from the image, to the chunk.
fn first_difference(mut image: &File, device: &mut File) -> io::Result<Option<u64>> {
    drop_cache(device);
    image.rewind()?;
    device.rewind()?;
    let (mut expected, mut found) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    loop {
        let count = image.read(&mut expected)?;
        if count == 0 {
            return Ok(None);
        }
        device.read_exact(&mut found[..count])?;
        if expected[..count] != found[..count] {
            return Ok(Some(at));
        }
        at += count as u64;
    }
}

/// What is read back must come from the card. The kernel may decline, which only weakens the check.
fn drop_cache(device: &File) {
    let _ = fadvise(device, 0, None, Advice::DontNeed);
}
