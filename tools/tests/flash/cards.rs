//! Cards for a Raspberry Pi without an operating system: the image is read back, and booted as far as
//! QEMU allows, which has no GPU firmware: it gets kernel and payload out of the image.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fixnet::AlignedBytes;
use fixnet::format::Payload;
use tempfile::TempDir;
use tools::boards::Board;
use tools::firmware::BoardReport;
use tools::flash::monitor::Lines;
use tools::flash::sd_card::{self, CardFile};
use tools::process::{Stream, follow};

use super::{flash, have, model_bytes, names, on_a_full_disk, refusal, smoke, success, text};

const BOARD: &str = "raspberry-pi-3";
const SECTOR: usize = 512;

/// A folder with stand-ins for the GPU firmware and a kernel.
fn firmware(board: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, name) in Board::load(board).unwrap().sd_card.unwrap().firmware.iter().enumerate() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![index as u8; 1000 * index]).unwrap();
    }
    fs::write(folder.path().join("kernel"), bytes(70_001)).unwrap();
    folder
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * index / 7) as u8).collect()
}

/// Makes a card of stand-ins in `folder`.
fn card(board: &str, firmware: &Path, out: &Path) -> String {
    let kernel = firmware.join("kernel");
    success(&mut flash(
        board,
        &["--firmware-dir", text(firmware), "--kernel", text(&kernel), "--out", text(out)],
    ))
}

fn file<'f>(files: &'f [CardFile], path: &str) -> &'f [u8] {
    let file = files.iter().find(|file| file.path == path);
    &file.unwrap_or_else(|| panic!("no {path}")).bytes
}

#[test]
fn the_card_holds_firmware_configuration_kernel_and_payload_byte_for_byte() {
    for board in [BOARD, "raspberry-pi-4"] {
        let (firmware, folder) = (firmware(board), tempfile::tempdir().unwrap());
        let out = folder.path().join("card.img");
        card(board, firmware.path(), &out);
        let files = sd_card::read_image(&File::open(&out).unwrap()).unwrap();
        let data = Board::load(board).unwrap().sd_card.unwrap();
        assert_eq!(files.len(), data.firmware.len() + 3);
        for name in &data.firmware {
            assert_eq!(file(&files, name), fs::read(firmware.path().join(name)).unwrap());
        }
        assert_eq!(file(&files, "config.txt"), format!("{}\n", data.config.join("\n")).as_bytes());
        assert_eq!(file(&files, "kernel8.img"), bytes(70_001));
        let payload = AlignedBytes::from_slice(file(&files, "payload.bin"));
        let payload = Payload::new_checked(&payload).unwrap();
        assert_eq!(payload.model(), &*model_bytes());
        assert_eq!(
            payload.inputs().collect::<Vec<_>>(),
            [smoke().content.pixels().unwrap().data.clone()]
        );
        assert_eq!(names(folder.path()), ["card.img"]);
    }
}

#[test]
fn the_configuration_names_the_files_that_the_card_holds() {
    let boards = Board::all().unwrap();
    let cards =
        boards.iter().filter_map(|b| Some((b, b.sd_card.as_ref()?, b.bare_metal.as_ref()?)));
    let mut count = 0;
    for (board, card, bare_metal) in cards {
        let origin = bare_metal.payload.expect("memory for the payload").origin;
        let kernel = format!("kernel={}", sd_card::KERNEL);
        let payload = format!("initramfs {} {origin:#010x}", sd_card::PAYLOAD);
        for line in [kernel, payload, "arm_64bit=1".to_string(), "enable_uart=1".to_string()] {
            assert!(card.config.contains(&line), "{}: {line}", board.name);
        }
        count += 1;
    }
    assert!(count >= 2);
}

/// By the bytes, not by the library that wrote them: Microsoft's FAT specification, "FAT Volume
/// Initialization", tells FAT32 by the number of clusters alone.
#[test]
fn the_partition_is_fat32_and_the_card_a_power_of_two() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let out = folder.path().join("card.img");
    card(BOARD, firmware.path(), &out);
    let image = fs::read(&out).unwrap();
    assert!(image.len().is_power_of_two());
    assert_eq!(image[510..512], [0x55, 0xaa]);
    let entry = &image[446..462];
    assert_eq!((entry[0], entry[4]), (0x80, 0x0c));
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let half =
        |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (start, sectors) = (word(entry, 8), word(entry, 12));
    assert_eq!((start + sectors) * SECTOR, image.len());
    let boot = &image[start * SECTOR..][..SECTOR];
    assert_eq!(
        (half(boot, 11), &boot[82..87], boot[510..512].as_ref()),
        (SECTOR, &b"FAT32"[..], &[0x55, 0xaa][..])
    );
    let (cluster, reserved, fats) = (usize::from(boot[13]), half(boot, 14), usize::from(boot[16]));
    let data = word(boot, 32) - reserved - fats * word(boot, 36);
    assert!(data / cluster >= 65_525, "{} clusters", data / cluster);
}

#[test]
fn a_checker_of_fat_finds_nothing() {
    if !have("flash", "fsck.fat on a card") {
        return;
    }
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let out = folder.path().join("card.img");
    card(BOARD, firmware.path(), &out);
    let volume = folder.path().join("volume");
    fs::write(&volume, &fs::read(&out).unwrap()[2048 * SECTOR..]).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let said = success(Command::new("fsck.fat").args(["-n", "-v"]).arg(&volume).env("PATH", path));
    for complaint in ["Bad", "Wrong", "uninitialized", "Truncating", "differ"] {
        assert!(!said.contains(complaint), "{said}");
    }
}

#[test]
fn the_same_files_give_the_same_card() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let cards = ["a.img", "b.img"].map(|name| {
        let out = folder.path().join(name);
        card(BOARD, firmware.path(), &out);
        fs::read(out).unwrap()
    });
    assert!(cards[0] == cards[1]);
}

#[test]
fn a_missing_firmware_file_is_named_and_nothing_is_written() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    fs::remove_file(firmware.path().join("fixup.dat")).unwrap();
    let out = folder.path().join("card.img");
    fs::write(&out, "kept").unwrap();
    let kernel = firmware.path().join("kernel");
    let line = refusal(&mut flash(
        BOARD,
        &["--firmware-dir", text(firmware.path()), "--kernel", text(&kernel), "--out", text(&out)],
    ));
    assert!(line.contains("no fixup.dat") && line.contains("raspberrypi/firmware"), "{line}");
    assert_eq!(fs::read(&out).unwrap(), b"kept");
    assert_eq!(names(folder.path()), ["card.img"]);
}

#[test]
fn a_full_disk_leaves_an_existing_card_alone() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let (out, kernel) = (folder.path().join("card.img"), firmware.path().join("kernel"));
    fs::write(&out, "kept").unwrap();
    let args = ["--firmware-dir", text(firmware.path()), "--kernel", text(&kernel), "--out"];
    let line = refusal(&mut on_a_full_disk(flash(BOARD, &args).arg(&out)));
    assert!(line.contains("card.img"), "{line}");
    assert_eq!(fs::read(&out).unwrap(), b"kept");
    assert_eq!(names(folder.path()), ["card.img"]);
}

#[test]
fn a_uart_that_is_not_there_is_told_before_anything_is_written() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let out = folder.path().join("card.img");
    let args = ["--firmware-dir", text(firmware.path()), "--out", text(&out)];
    let monitor = ["--monitor", "--serial", "/dev/fixnet-no-tty"];
    let line = refusal(flash(BOARD, &args).args(monitor));
    assert!(line.contains("/dev/fixnet-no-tty"), "{line}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_dry_run_shows_every_file_and_writes_none() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let out = folder.path().join("card.img");
    let args = ["--firmware-dir", text(firmware.path()), "--out", text(&out), "--dry-run"];
    let shown = success(&mut flash(BOARD, &args));
    for part in ["kernel8.img", "payload.bin", "start.elf", "arm_64bit=1", "would write", "build"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_disk_that_does_not_exist_is_not_created_in_dev() {
    let firmware = firmware(BOARD);
    let args = ["--firmware-dir", text(firmware.path()), "--out", "/dev/fixnet-no-disk", "--yes"];
    let line = refusal(&mut flash(BOARD, &args));
    assert!(line.contains("no such disk"), "{line}");
    assert!(!Path::new("/dev/fixnet-no-disk").exists());
}

#[test]
fn kernel_and_payload_out_of_the_card_boot_and_give_the_hosts_bytes() {
    if !have("bare-metal", "the card of an emulated Raspberry Pi") {
        return;
    }
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let out = folder.path().join("card.img");
    let args = ["--firmware-dir", text(firmware.path()), "--out", text(&out)];
    success(&mut flash(BOARD, &args));
    let files = sd_card::read_image(&File::open(&out).unwrap()).unwrap();
    for name in ["kernel8.img", "payload.bin"] {
        fs::write(folder.path().join(name), file(&files, name)).unwrap();
    }
    let report = boot(folder.path(), &out);
    let [inference] = report.inferences.as_slice() else { panic!("{report:?}") };
    let host = smoke().host;
    let layers: Vec<Option<u32>> = inference.layers.iter().map(|layer| layer.crc32).collect();
    assert_eq!(layers, host.checksums.iter().copied().map(Some).collect::<Vec<_>>());
    assert_eq!((inference.input_crc32, &inference.logits), (host.input_crc32, &host.logits));
}

/// The report of an emulated Raspberry Pi 3 that has the card in its reader.
fn boot(folder: &Path, card: &Path) -> BoardReport {
    let payload = Board::load(BOARD).unwrap().bare_metal.unwrap().payload.unwrap();
    let loader = format!("loader,file=payload.bin,addr={},force-raw=on", payload.origin);
    let mut command = Command::new("qemu-system-aarch64");
    command
        .current_dir(folder)
        .args(["-machine", "raspi3b", "-display", "none", "-monitor", "none"])
        .args(["-serial", "stdio", "-kernel", "kernel8.img", "-device", &loader])
        .args(["-drive", &format!("if=sd,format=raw,file={}", text(card))]);
    let (mut lines, mut qemu) = (Lines::default(), Vec::new());
    // The image never ends on a board.
    let ended = follow(command, Stdio::null(), Duration::from_secs(400), |stream, bytes| {
        match stream {
            Stream::Stdout => return lines.push(bytes),
            Stream::Stderr => qemu.extend_from_slice(bytes),
        }
        ControlFlow::Continue(())
    });
    let said = String::from_utf8_lossy(&qemu);
    assert!(ended.is_ok(), "{ended:?}: {} {said}", lines.text());
    BoardReport::parse(lines.text()).unwrap_or_else(|e| panic!("{e}: {} {said}", lines.text()))
}

#[test]
fn the_uart_report_is_checked_against_the_host() {
    let (firmware, folder) = (firmware(BOARD), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let (right, wrong) = (super::probes::report(BOARD, 0), super::probes::report(BOARD, 1));
    let kernel = firmware.path().join("kernel");
    let monitor = |report: &str| {
        fs::write(at("uart"), report.replace('\n', "\r\n")).unwrap();
        super::run(&mut flash(
            BOARD,
            &[
                "--firmware-dir",
                text(firmware.path()),
                "--kernel",
                text(&kernel),
                "--out",
                text(&at("card.img")),
                "--monitor",
                "--serial",
                text(&at("uart")),
            ],
        ))
    };
    let output = monitor(&format!("boot loader noise\n{right}"));
    assert_eq!(output.status.code(), Some(0), "{}", super::stderr(&output));
    let shown = super::stdout(&output);
    assert!(shown.contains("equal this machine's") && shown.contains("whole run"), "{shown}");
    let output = monitor(&wrong);
    assert_eq!(output.status.code(), Some(1), "{}", super::stderr(&output));
    assert!(super::stderr(&output).contains("not this machine's"));
    let output = monitor(right.trim_end().trim_end_matches("done"));
    assert_eq!(output.status.code(), Some(2));
    assert!(super::stderr(&output).contains("breaks off"), "{}", super::stderr(&output));
}
