//! What may be overwritten, decided on what a made-up kernel tells of made-up disks.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use tools::flash::block_device::{DeviceError, Disk, System, write};

const GIB: u64 = 1 << 30;

struct Kernel(TempDir);

impl Kernel {
    /// An 8 GiB card `mmcblk9` with two partitions, number 179:0 to 179:2.
    fn new() -> Self {
        let kernel = Self(tempfile::tempdir().unwrap());
        let disk = kernel.path().join("sys/devices/reader/mmcblk9");
        kernel.device(&disk, "179:0", 8 * GIB);
        kernel.write(&disk.join("device/name"), "SD8GB");
        kernel.write(&disk.join("removable"), "1");
        for (number, bytes) in [(1, GIB / 4), (2, 7 * GIB)] {
            let part = disk.join(format!("mmcblk9p{number}"));
            kernel.device(&part, &format!("179:{number}"), bytes);
            kernel.write(&part.join("partition"), &number.to_string());
        }
        kernel.mounts("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        kernel
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn device(&self, folder: &Path, number: &str, bytes: u64) {
        self.write(&folder.join("dev"), number);
        self.write(&folder.join("size"), &(bytes / 512).to_string());
        self.write(&folder.join("ro"), "0");
        let numbers = self.path().join("sys/dev/block");
        fs::create_dir_all(&numbers).unwrap();
        symlink(folder, numbers.join(number)).unwrap();
    }

    fn mounts(&self, lines: &str) {
        self.write(&self.path().join("proc/self/mountinfo"), lines);
    }

    fn disk(&self, number: &str) -> Disk {
        let system = System { sys: self.path().join("sys"), proc: self.path().join("proc") };
        Disk::by_number(number, &system).unwrap().expect("a disk")
    }

    fn refusal(&self, number: &str) -> DeviceError {
        self.disk(number).check(GIB, true).expect_err("must not be written to")
    }
}

#[test]
fn a_free_disk_is_shown_and_may_be_overwritten_if_agreed() {
    let disk = Kernel::new().disk("179:0");
    let shown = disk.to_string();
    for part in ["/dev/mmcblk9: SD8GB, 8.0 GiB, removable", "mmcblk9p1: 256.0 MiB", "mmcblk9p2"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(disk.check(8 * GIB, true).is_ok());
    let refusal = disk.check(8 * GIB, false).unwrap_err();
    assert!(matches!(refusal, DeviceError::NotAgreed { .. }), "{refusal}");
    assert!(refusal.to_string().contains("--yes"));
}

#[test]
fn a_disk_that_is_too_small_is_refused_with_both_sizes() {
    let refusal = Kernel::new().disk("179:0").check(8 * GIB + 1, true).unwrap_err();
    let DeviceError::TooSmall { needed, available, .. } = refusal else { panic!("{refusal}") };
    assert_eq!((needed, available), (8 * GIB + 1, 8 * GIB));
}

#[test]
fn a_partition_is_no_card() {
    let refusal = Kernel::new().refusal("179:1");
    assert!(matches!(refusal, DeviceError::IsPartition { .. }), "{refusal}");
}

#[test]
fn mounted_disks_are_refused_by_number_and_by_name() {
    let kernel = Kernel::new();
    for line in [
        "40 1 179:2 / /media/card\\040x rw,nosuid shared:9 - ext4 /dev/root rw",
        // btrfs has numbers of its own.
        "40 1 0:55 /sub /media/card rw - btrfs /dev/mmcblk9p2 rw",
        "40 1 179:0 / /media/card rw - vfat /dev/mmcblk9 rw",
    ] {
        kernel.mounts(line);
        let refusal = kernel.refusal("179:0");
        assert!(matches!(refusal, DeviceError::InUse { .. }), "{refusal}");
        assert!(refusal.to_string().contains("/media/card"), "{refusal}");
    }
}

#[test]
fn disks_under_swap_volumes_and_encryption_are_refused() {
    let kernel = Kernel::new();
    let swaps = "Filename Type Size Used Priority\n/dev/mmcblk9p2 partition 100 0 -2";
    kernel.write(&kernel.path().join("proc/swaps"), swaps);
    assert!(kernel.refusal("179:0").to_string().contains("mmcblk9p2 is swapped to"));

    let kernel = Kernel::new();
    let holder = "sys/devices/reader/mmcblk9/mmcblk9p2/holders/dm-0";
    fs::create_dir_all(kernel.path().join(holder)).unwrap();
    assert!(kernel.refusal("179:0").to_string().contains("mmcblk9p2 is part of dm-0"));
}

#[test]
fn a_locked_card_is_refused() {
    let kernel = Kernel::new();
    kernel.write(&kernel.path().join("sys/devices/reader/mmcblk9/ro"), "1");
    assert!(matches!(kernel.refusal("179:0"), DeviceError::ReadOnly { .. }));
}

#[test]
fn a_device_that_the_kernel_does_not_know_is_none() {
    let kernel = Kernel::new();
    let system = System { sys: kernel.path().join("sys"), proc: kernel.path().join("proc") };
    assert_eq!(Disk::by_number("7:7", &system).unwrap(), None);
}

#[test]
fn an_image_is_written_from_the_start_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let (image, device) = (folder.path().join("image"), folder.path().join("device"));
    let bytes: Vec<u8> = (0..3_000_001).map(|index: usize| (index * index / 5) as u8).collect();
    fs::write(&image, &bytes).unwrap();
    fs::write(&device, vec![7; 4_000_000]).unwrap();
    write(&fs::File::open(&image).unwrap(), &device).unwrap();
    let written = fs::read(&device).unwrap();
    assert!(written[..bytes.len()] == bytes);
    assert!(written[bytes.len()..].iter().all(|&byte| byte == 7) && written.len() == 4_000_000);
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_breaks_off_says_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, "image").unwrap();
    let error = write(&fs::File::open(&image).unwrap(), Path::new("/dev/full")).unwrap_err();
    assert!(matches!(error, DeviceError::Interrupted { written: 0, total: 5, .. }), "{error}");
    assert!(error.to_string().contains("not usable"), "{error}");
}
