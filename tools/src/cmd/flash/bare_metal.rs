//! Boards without an operating system: a card for a Raspberry Pi, or a debug probe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use fixnet::format::payload_flags;

use super::Job;
use crate::boards::{SdCard, fit_bare_metal};
use crate::cmd::with_spinner;
use crate::firmware::{BoardReport, Console, build, flat_binary, payload};
use crate::flash::block_device::{self, Disk, System, is_block_device};
use crate::flash::sd_card::{self, CardFile};
use crate::flash::{monitor, probe};
use crate::output::check_destination;

const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Writes a bootable card to a file or a disk.
pub(super) fn card(job: &Job<'_>, out: &Path, firmware: &Path) -> anyhow::Result<ExitCode> {
    let Some(card) = &job.board.sd_card else { bail!("{}", super::needs(job.board)) };
    fit_bare_metal(job.board, job.model)?;
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
        None => check_destination(out)?,
    }
    let files = files(kernel(job)?)?;
    let size = sd_card::image_bytes(&files)?;
    match &disk {
        Some(disk) => {
            disk.check(size, job.args.yes)?;
            let image = tempfile::tempfile().context("a temporary file cannot be made")?;
            sd_card::write_image(&image, &files)?;
            with_spinner("writing and reading back", || block_device::write(&image, out))?;
        }
        None => write_file(out, &files)?,
    }
    let files = files.len();
    job.say(&format!("wrote {}: {size} B, FAT32 with {files} files, read back", out.display()))?;
    monitor_serial(job)
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
    let inputs = [job.smoke.rgb.clone()];
    Ok(payload(job.model, job.bytes, &inputs, payload_flags::CHECKSUMS)?)
}

/// The flat image that the boot loader loads.
fn kernel(job: &Job<'_>) -> anyhow::Result<Vec<u8>> {
    let scratch = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let path = match &job.args.kernel {
        Some(path) => path.clone(),
        None => built(job, scratch.path(), None)?,
    };
    let bytes = fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    if !bytes.starts_with(ELF_MAGIC) {
        return Ok(bytes);
    }
    flat_binary(&bytes).with_context(|| path.display().to_string())
}

fn built(job: &Job<'_>, folder: &Path, payload: Option<&Path>) -> anyhow::Result<PathBuf> {
    let elf = folder.join("image.elf");
    with_spinner("building the image", || build(job.board, payload, Console::Board, &elf))?;
    Ok(elf)
}

/// To a temporary name, then renamed.
fn write_file(out: &Path, files: &[CardFile]) -> anyhow::Result<()> {
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let named = || format!("{}: cannot be written", out.display());
    let temporary = builder.tempfile_in(folder).with_context(named)?;
    sd_card::write_image(temporary.as_file(), files).with_context(named)?;
    temporary.persist(out).map_err(|error| error.error).with_context(named)?;
    Ok(())
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
    Ok(ExitCode::SUCCESS)
}

fn monitor_serial(job: &Job<'_>) -> anyhow::Result<ExitCode> {
    let Some(serial) = &job.args.serial else { return Ok(ExitCode::SUCCESS) };
    job.say(&format!(
        "waiting for the board's report on {}: put the card in and switch the board on",
        serial.display()
    ))?;
    let text = monitor::read_serial(serial, job.limit())?;
    job.judge(&BoardReport::parse(&text)?)
}

/// Flashes a microcontroller.
pub(super) fn probe(job: &Job<'_>, chip: &str) -> anyhow::Result<ExitCode> {
    fit_bare_metal(job.board, job.model)?;
    let scratch = tempfile::tempdir().context("a temporary folder cannot be made")?;
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
        return Ok(ExitCode::SUCCESS);
    }
    let elf = match &job.args.kernel {
        Some(path) => {
            anyhow::ensure!(path.is_file(), "{}: there is no such file", path.display());
            path.clone()
        }
        None => {
            let path = scratch.path().join("payload");
            fs::write(&path, job_payload(job)?).context("the payload cannot be written")?;
            built(job, scratch.path(), Some(&path))?
        }
    };
    if job.args.monitor {
        let text = with_spinner("flashing and running", || probe::run(chip, &elf, job.limit()))?;
        return job.judge(&BoardReport::parse(&text)?);
    }
    with_spinner("flashing", || probe::flash(chip, &elf, job.limit()))?;
    job.say(&format!("flashed {chip} and started it; --monitor reads its report"))?;
    Ok(ExitCode::SUCCESS)
}

/// A command as one would type it.
pub(super) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> =
        words.map(|word| crate::flash::shell::quote(&word.to_string_lossy())).collect();
    quoted.join(" ")
}
