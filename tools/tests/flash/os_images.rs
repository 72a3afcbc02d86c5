//! Images of operating systems: made here with e2fsprogs, changed by `fixnet flash`, and judged by
//! e2fsprogs again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{BASIC, EFI, LINUX_FS, Type};
use mbrman::{CHS, MBR, MBRPartitionEntry};
use tempfile::TempDir;

use super::{flash, have, model_bytes, names, on_a_full_disk, refusal, smoke, success, text};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Machine of an ELF file.
const AARCH64: u16 = 183;
const ARM: u16 = 40;

#[derive(Clone, Copy)]
enum Table {
    Gpt,
    Mbr,
}

/// A system's image: a small boot partition, a root of `root_mib`, a small data partition.
struct System {
    folder: TempDir,
    offset: u64,
}

impl System {
    fn new(table: Table, root_mib: u64, loader: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("os.img");
        let offset = partition(&image, table, root_mib);
        let system = Self { folder, offset };
        let tree = system.at("tree");
        let units = tree.join("etc/systemd/system/multi-user.target.wants");
        for folder in [&units, &tree.join("usr/lib"), &tree.join("opt")] {
            fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink("usr/lib", tree.join("lib")).unwrap();
        fs::write(tree.join("usr/lib").join(loader), "loader").unwrap();
        fs::write(tree.join("etc/hostname"), "board").unwrap();
        let size = format!("{root_mib}M");
        system.e2fsprogs("mke2fs", &["-q", "-t", "ext4", "-d", text(&tree)], &[&size]);
        for (name, machine) in [("program", AARCH64), ("program32", ARM)] {
            fs::write(system.at(name), program(machine)).unwrap();
        }
        system
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program of e2fsprogs on the root of the original, or returns what it prints.
    fn e2fsprogs(&self, program: &str, before: &[&str], after: &[&str]) -> String {
        let offset = format!("offset={}", self.offset);
        let mut command = Command::new(program);
        command.args(before).args(["-E", &offset]).arg(self.at("os.img")).args(after);
        success(command.env("PATH", path()))
    }

    fn debugfs(&self, image: &str, request: &str) -> String {
        let device = format!("{}?offset={}", text(&self.at(image)), self.offset);
        success(Command::new("debugfs").args(["-R", request, &device]).env("PATH", path()))
    }

    /// What lies at `path` in the root of `image`.
    fn read(&self, image: &str, path: &str) -> Vec<u8> {
        let out = self.at("dumped");
        let _ = fs::remove_file(&out);
        self.debugfs(image, &format!("dump {path} {}", text(&out)));
        fs::read(out).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn flash(&self, board: &str, args: &[&str]) -> Command {
        let mut command = flash(board, &["--image", text(&self.at("os.img"))]);
        command.args(["--out", text(&self.at("card.img"))]).args(args);
        command
    }

    fn with_program(&self, board: &str) -> Command {
        self.flash(board, &["--program", text(&self.at("program"))])
    }

    /// Checks that the command refuses and leaves no file.
    fn refusal(&self, command: &mut Command) -> String {
        let before = names(self.folder.path());
        let line = refusal(command);
        assert_eq!(names(self.folder.path()), before);
        line
    }
}

/// e2fsprogs lie where only root looks by default.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap())
}

/// A program for another processor: this machine's `true` with the number of the other.
fn program(machine: u16) -> Vec<u8> {
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_fixnet")).unwrap();
    bytes.truncate(4096);
    // No sections are left.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes
}

/// Makes a disk with three partitions; the offset of the second.
fn partition(image: &Path, table: Table, root_mib: u64) -> u64 {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(image).unwrap();
    file.set_len((root_mib + 20) * MIB).unwrap();
    let parts = [(MIB, 8 * MIB), (9 * MIB, root_mib * MIB), ((9 + root_mib) * MIB, 8 * MIB)];
    match table {
        Table::Mbr => {
            let mut table = MBR::new_from(&mut file, 512, [1, 2, 3, 4]).unwrap();
            for (index, (start, bytes)) in parts.into_iter().enumerate() {
                table[index + 1] = MBRPartitionEntry {
                    boot: 0,
                    first_chs: CHS::empty(),
                    sys: if index == 0 { 0x0c } else { 0x83 },
                    last_chs: CHS::empty(),
                    starting_lba: u32::try_from(start / SECTOR).unwrap(),
                    sectors: u32::try_from(bytes / SECTOR).unwrap(),
                };
            }
            table.write_into(&mut file).unwrap();
        }
        Table::Gpt => {
            let sectors = u32::try_from((root_mib + 20) * MIB / SECTOR - 1).unwrap();
            ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file).unwrap();
            let config =
                GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
            let mut disk = config.create_from_device(file, None).unwrap();
            // JetPack's own types say little.
            let kinds: [(&str, Type); 3] = [("esp", EFI), ("APP", BASIC), ("data", LINUX_FS)];
            for (index, ((start, bytes), (name, kind))) in parts.into_iter().zip(kinds).enumerate()
            {
                let (first, length) = (start / SECTOR, bytes / SECTOR);
                disk.add_partition_at(name, index as u32 + 1, first, length, kind, 0).unwrap();
            }
            disk.write().unwrap();
        }
    }
    parts[1].0
}

fn check_result(system: &System, program: &str) {
    let program = fs::read(system.at(program)).unwrap();
    assert_eq!(system.read("card.img", "/opt/fixnet/fixnet-board"), program);
    assert_eq!(system.read("card.img", "/opt/fixnet/model.fxn"), *model_bytes());
    assert_eq!(system.read("card.img", "/opt/fixnet/self-test.png"), smoke().file);
    assert_eq!(system.read("card.img", "/etc/hostname"), b"board");
    let unit = system.read("card.img", "/etc/systemd/system/fixnet.service");
    let unit = String::from_utf8(unit).unwrap();
    let start = "ExecStart=\"/opt/fixnet/fixnet-board\" run --checksums \"/opt/fixnet/model.fxn\" \
                 \"/opt/fixnet/self-test.png\"";
    assert!(unit.lines().any(|line| line == start), "{unit}");
    assert!(unit.contains("DynamicUser=yes") && unit.contains("WantedBy=multi-user.target"));
    for (path, mode) in [("fixnet-board", "0755"), ("model.fxn", "0644"), ("self-test.png", "0644")]
    {
        let status = system.debugfs("card.img", &format!("stat /opt/fixnet/{path}"));
        assert!(status.contains(&format!("Mode:  {mode}")), "{status}");
        assert!(status.contains("User:     0   Group:     0"), "{status}");
    }
    let link = "/etc/systemd/system/multi-user.target.wants/fixnet.service";
    let status = system.debugfs("card.img", &format!("stat {link}"));
    assert!(status.contains("symlink"), "{status}");
    assert!(status.contains("/etc/systemd/system/fixnet.service"), "{status}");
    let device = format!("{}?offset={}", text(&system.at("card.img")), system.offset);
    success(Command::new("e2fsck").args(["-f", "-n", &device]).env("PATH", path()));
}

#[test]
fn a_gpt_image_gets_program_model_and_unit() {
    if !have("flash", "a GPT image of a system") {
        return;
    }
    let system = System::new(Table::Gpt, 24, "ld-linux-aarch64.so.1");
    let before = fs::read(system.at("os.img")).unwrap();
    let shown = success(&mut system.with_program("jetson-nano"));
    assert!(shown.contains("partition 2") && shown.contains("/opt/fixnet/model.fxn"), "{shown}");
    check_result(&system, "program");
    assert!(fs::read(system.at("os.img")).unwrap() == before, "the given image was changed");
    // Outside of the root nothing changes.
    let after = fs::read(system.at("card.img")).unwrap();
    let root = usize::try_from(system.offset).unwrap();
    let end = root + 24 * usize::try_from(MIB).unwrap();
    assert_eq!(after.len(), before.len());
    assert!(after[..root] == before[..root] && after[end..] == before[end..]);
}

#[test]
fn an_mbr_image_gets_them_and_an_image_with_an_older_model_the_new_one() {
    if !have("flash", "an MBR image of a system") {
        return;
    }
    let system = System::new(Table::Mbr, 24, "ld-linux-armhf.so.3");
    let program = system.at("program32");
    let args = ["--program", text(&program)];
    success(&mut system.flash("raspberry-pi-4", &args));
    check_result(&system, "program32");
    fs::rename(system.at("card.img"), system.at("os.img")).unwrap();
    success(&mut system.flash("raspberry-pi-4", &args));
    check_result(&system, "program32");
}

#[test]
fn a_dry_run_of_an_image_writes_nothing() {
    if !have("flash", "a dry run on an image of a system") {
        return;
    }
    let system = System::new(Table::Mbr, 24, "ld-linux-aarch64.so.1");
    let before = names(system.folder.path());
    let shown = success(&mut system.flash("raspberry-pi-5", &["--dry-run"]));
    for part in ["would build", "aarch64-unknown-linux-gnu", "would write", "fixnet.service"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(names(system.folder.path()), before);
}

#[test]
fn an_image_without_space_is_refused_with_both_sizes() {
    if !have("flash", "a full image of a system") {
        return;
    }
    let system = System::new(Table::Gpt, 4, "ld-linux-aarch64.so.1");
    fs::write(system.at("program"), [program(AARCH64), vec![0; 4 << 20]].concat()).unwrap();
    let line = system.refusal(&mut system.with_program("jetson-orin"));
    assert!(line.contains("too small") && line.contains("are needed and"), "{line}");
}

#[test]
fn a_full_disk_leaves_an_existing_image_alone() {
    if !have("flash", "an image of a system on a full disk") {
        return;
    }
    let system = System::new(Table::Gpt, 24, "ld-linux-aarch64.so.1");
    fs::write(system.at("card.img"), "kept").unwrap();
    let command = system.with_program("jetson-orin");
    let line = system.refusal(&mut on_a_full_disk(&command));
    assert!(line.contains("card.img"), "{line}");
    assert_eq!(fs::read(system.at("card.img")).unwrap(), b"kept");
}

#[test]
fn images_that_are_not_what_they_should_be_are_refused() {
    if !have("flash", "wrong images of systems") {
        return;
    }
    let system = System::new(Table::Gpt, 24, "ld-linux-aarch64.so.1");
    let good = fs::read(system.at("os.img")).unwrap();
    let root = usize::try_from(system.offset).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(system.at("os.img"), bytes).unwrap();
        system.refusal(&mut system.with_program("jetson-nano"))
    };
    let magic = root + 1024 + 0x38;
    let line = with(&|bytes| bytes[magic] = 0);
    assert!(line.contains("ext4") && line.contains("\"APP\""), "{line}");
    let line = with(&|bytes| bytes[root + 1024 + 0x60] |= 4);
    assert!(line.contains("was not unmounted"), "{line}");
    let line = with(&|bytes| bytes[root + 1024 + 0x10] ^= 1);
    assert!(line.contains("e2fsck"), "{line}");
    let line = with(&|bytes| bytes.truncate(root + (12 << 20)));
    assert!(line.contains("whole image"), "{line}");
    let line = with(&|bytes| bytes[512 + 84] = 0);
    assert!(line.contains("partition table"), "{line}");
    let line = with(&|bytes| bytes[..512].fill(0));
    assert!(line.contains("no partition table"), "{line}");
    let line = with(&|bytes| bytes[..6].copy_from_slice(b"\xfd7zXZ\0"));
    assert!(line.contains("compressed (xz)"), "{line}");
    let line = with(&|bytes| bytes.truncate(100));
    assert!(line.contains("no partition table"), "{line}");
    // A 32-bit system for a board that runs 64-bit programs only.
    let system = System::new(Table::Mbr, 24, "ld-linux-armhf.so.3");
    let line = system.refusal(&mut system.with_program("jetson-nano"));
    assert!(line.contains("no system for jetson-nano"), "{line}");
}

#[test]
fn wrong_programs_and_destinations_are_refused() {
    if !have("flash", "wrong destinations of images") {
        return;
    }
    let system = System::new(Table::Mbr, 24, "ld-linux-aarch64.so.1");
    let wrong = system.at("program32");
    let line = system.refusal(&mut system.flash("jetson-nano", &["--program", text(&wrong)]));
    assert!(line.contains("program32") && line.contains("aarch64"), "{line}");
    let text_file = system.at("tree/etc/hostname");
    let line = system.refusal(&mut system.flash("jetson-nano", &["--program", text(&text_file)]));
    assert!(line.contains("no program (ELF)"), "{line}");
    let image = system.at("os.img");
    let program = system.at("program");
    for (out, part) in [(text(&image), "the image itself"), ("/dev/null", "--out is a file")] {
        let args = ["--image", text(&image), "--out", out, "--program", text(&program)];
        let line = system.refusal(&mut flash("jetson-nano", &args));
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_system_without_systemd_gets_no_unit() {
    if !have("flash", "an image without systemd") {
        return;
    }
    let system = System::new(Table::Mbr, 24, "ld-linux-aarch64.so.1");
    fs::remove_dir_all(system.at("tree/etc/systemd")).unwrap();
    system.e2fsprogs(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-d", text(&system.at("tree"))],
        &["24M"],
    );
    let shown = success(&mut system.with_program("jetson-nano"));
    assert!(shown.contains("no unit was added"), "{shown}");
    assert_eq!(system.read("card.img", "/opt/fixnet/model.fxn"), *model_bytes());
}

/// A GPT whose checksums are right and whose figures are not.
#[test]
fn a_hostile_gpt_is_an_error() {
    if !have("flash", "a hostile GPT") {
        return;
    }
    let system = System::new(Table::Gpt, 24, "ld-linux-aarch64.so.1");
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let end = fs::metadata(system.at("os.img")).unwrap().len();
    for (at, value) in [(84, 64u32), (84, 0), (80, u32::MAX)] {
        for header in [SECTOR, end - SECTOR] {
            let mut file =
                File::options().read(true).write(true).open(system.at("os.img")).unwrap();
            let mut bytes = [0; 512];
            file.seek(SeekFrom::Start(header)).unwrap();
            file.read_exact(&mut bytes).unwrap();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            bytes[16..20].fill(0);
            let checksum = crc.checksum(&bytes[..92]);
            bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
            file.seek(SeekFrom::Start(header)).unwrap();
            file.write_all(&bytes).unwrap();
        }
        let line = system.refusal(&mut system.with_program("jetson-nano"));
        assert!(line.contains("GPT entries"), "{line}");
    }
}
