//! Boards without an operating system: a card for a Raspberry Pi, or a debug probe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use fixnet::format::payload_flags;
use serde_json::json;

use super::Job;
use crate::boards::{SdCard, fit_bare_metal};
use crate::cmd::InFile;
use crate::cmd::with_spinner;
use crate::files::{self, Destination, PROGRAM, ScratchFolder};
use crate::firmware::{BoardReport, Console, build, flat_binary, payload};
use crate::flash::block_device::{self, Disk, System, is_block_device};
use crate::flash::sd_card::{self, CardFile};
use crate::flash::{monitor, probe};

const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Writes a bootable card to a file or a disk.
pub(super) fn card(job: &Job<'_>, out: &Path, firmware: &Path) -> anyhow::Result<ExitCode> {
    let Some(card) = &job.board.sd_card else { bail!("{}", super::needs(job.board)) };
    fit_bare_metal(job.board, job.model).in_file(&job.args.file)?;
    if let Some(serial) = &job.args.serial {
        anyhow::ensure!(serial.exists(), "{}: there is no such device", serial.display());
    }
    let disk = disk(out)?;
    let payload = job_payload(job)?;
    let files = |kernel| sd_card::boot_files(card, firmware, kernel, payload.clone());
    // Before a build that takes long: the firmware is there, the disk may be written.
    let early = files(Vec::new())?;
    let size = sd_card::image_bytes(&early)?;
    if job.args.dry_run {
        return dry_run(job, card, &early, out, disk.as_ref(), size);
    }
    match &disk {
        Some(disk) => {
            job.say(&format!("will be overwritten:\n{disk}"))?;
            disk.check(size, job.args.yes)?;
        }
        None => drop(destination(job, out, firmware, &early)?),
    }
    let files = files(kernel(job)?)?;
    let size = sd_card::image_bytes(&files)?;
    match &disk {
        Some(disk) => {
            disk.check(size, job.args.yes)?;
            let image = tempfile::tempfile().context("a temporary file cannot be made")?;
            sd_card::write_image(&image, &files).in_file(out)?;
            with_spinner("writing and reading back", || block_device::write(&image, out))?;
        }
        None => {
            let pending = destination(job, out, firmware, &early)?.begin()?;
            sd_card::write_image(pending.file(), &files).in_file(out)?;
            pending.commit()?;
        }
    }
    let count = files.len();
    job.say(&format!("wrote {}: {size} B, FAT32 with {count} files, read back", out.display()))?;
    match &job.args.serial {
        Some(serial) => monitor_serial(job, serial),
        None => job.done("card", json!({ "out": out, "bytes": size, "files": paths(&files) })),
    }
}

/// The disk that `out` names, if it is one.
fn disk(out: &Path) -> anyhow::Result<Option<Disk>> {
    if is_block_device(out) {
        return Ok(Some(Disk::inspect(out, &System::default())?));
    }
    if out.starts_with("/dev") {
        bail!("{}: there is no such disk; is the card in its reader?", out.display());
    }
    Ok(None)
}

fn job_payload(job: &Job<'_>) -> anyhow::Result<Vec<u8>> {
    let inputs = [&job.smoke.content];
    payload(job.model, job.bytes, &inputs, payload_flags::CHECKSUMS).in_file(&job.args.file)
}

/// The flat image that the boot loader loads.
fn kernel(job: &Job<'_>) -> anyhow::Result<Vec<u8>> {
    let scratch = ScratchFolder::new()?;
    let path = match &job.args.kernel {
        Some(path) => path.clone(),
        None => built(job, scratch.path(), None)?,
    };
    let bytes = files::read(&path, PROGRAM).in_file(&path)?;
    if !bytes.starts_with(ELF_MAGIC) {
        return Ok(bytes);
    }
    flat_binary(&bytes).in_file(&path)
}

fn built(job: &Job<'_>, folder: &Path, payload: Option<&Path>) -> anyhow::Result<PathBuf> {
    let elf = folder.join("image.elf");
    with_spinner("building the image", || build(job.board, payload, Console::Board, &elf))?;
    Ok(elf)
}

/// A file for the card's image, which is none of those that it is made from.
fn destination(
    job: &Job<'_>,
    out: &Path,
    firmware: &Path,
    files: &[CardFile],
) -> anyhow::Result<Destination> {
    let firmware: Vec<PathBuf> = files.iter().map(|file| firmware.join(&file.path)).collect();
    let inputs = firmware.iter().map(PathBuf::as_path).chain(job.inputs());
    Ok(Destination::file(out)?.apart_from(inputs)?)
}

fn dry_run(
    job: &Job<'_>,
    card: &SdCard,
    files: &[CardFile],
    out: &Path,
    disk: Option<&Disk>,
    size: u64,
) -> anyhow::Result<ExitCode> {
    job.say(&match &job.args.kernel {
        Some(path) => format!("would take {} as {}", path.display(), sd_card::KERNEL),
        None => format!("would build {} with firmware/cargo.sh", sd_card::KERNEL),
    })?;
    job.say("would put into one FAT32 partition:")?;
    for CardFile { path, bytes } in files {
        match path.as_str() {
            sd_card::KERNEL => job.say(&format!("  {path}"))?,
            _ => job.say(&format!("  {path}: {} B", bytes.len()))?,
        }
    }
    job.say("config.txt:")?;
    card.config.iter().try_for_each(|line| job.say(&format!("  {line}")))?;
    match disk {
        Some(disk) => {
            job.say(&format!("would overwrite with {size} B, and read back:\n{disk}"))?;
            disk.check(size, job.args.yes)?;
        }
        None => job.say(&format!("would write {}: {size} B, and read it back", out.display()))?,
    }
    if let Some(serial) = &job.args.serial {
        job.say(&format!("would wait for the board's report on {}", serial.display()))?;
    }
    job.done("card", json!({ "out": out, "bytes": size, "files": paths(files) }))
}

fn paths(files: &[CardFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

fn monitor_serial(job: &Job<'_>, serial: &Path) -> anyhow::Result<ExitCode> {
    job.say(&format!(
        "waiting for the board's report on {}: put the card in and switch the board on",
        serial.display()
    ))?;
    let text = monitor::read_serial(serial, job.limit())?;
    job.judge(&BoardReport::parse(&text)?)
}

/// Flashes a microcontroller.
pub(super) fn probe(job: &Job<'_>, chip: &str) -> anyhow::Result<ExitCode> {
    fit_bare_metal(job.board, job.model).in_file(&job.args.file)?;
    let scratch = ScratchFolder::new()?;
    if job.args.dry_run {
        let elf = job.args.kernel.clone().unwrap_or_else(|| PathBuf::from("IMAGE.elf"));
        if job.args.kernel.is_none() {
            job.say("would build IMAGE.elf, with the model, with firmware/cargo.sh")?;
        }
        let commands = match job.args.monitor {
            true => vec![probe::monitor_command(chip, &elf)],
            false => probe::flash_commands(chip, &elf).into(),
        };
        commands.iter().try_for_each(|c| job.say(&format!("would run {}", command_line(c))))?;
        return job.done("probe", json!({ "chip": chip }));
    }
    let elf = match &job.args.kernel {
        Some(path) => {
            anyhow::ensure!(path.is_file(), "{}: there is no such file", path.display());
            path.clone()
        }
        None => {
            let path = scratch.path().join("payload");
            fs::write(&path, job_payload(job)?).in_file(&path)?;
            built(job, scratch.path(), Some(&path))?
        }
    };
    if job.args.monitor {
        let text = with_spinner("flashing and running", || probe::run(chip, &elf, job.limit()))?;
        return job.judge(&BoardReport::parse(&text)?);
    }
    with_spinner("flashing", || probe::flash(chip, &elf, job.limit()))?;
    job.say(&format!("flashed {chip} and started it; --monitor reads its report"))?;
    job.done("probe", json!({ "chip": chip }))
}

/// A command as one would type it.
pub(super) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> =
        words.map(|word| crate::flash::shell::quote(&word.to_string_lossy())).collect();
    quoted.join(" ")
}
