//! Boards that run Linux: over ssh, or into the image of their system.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;

use super::Job;
use super::bare_metal::command_line;
use crate::boards::{Linux, fit_linux};
use crate::cmd::InFile;
use crate::cmd::with_spinner;
use crate::files::Destination;
use crate::flash::os_image::{Item, OsImage, check_out};
use crate::flash::smoke::report_of_run;
use crate::flash::ssh::{Address, Board, Stage, UnitState, Upload};
use crate::flash::survey::Survey;
use crate::flash::{block_device, program, unit};
use crate::output;

/// Models of a board, below the deployment's folder.
const MODELS: &str = "models";

/// Deploys over ssh.
pub(super) fn ssh(job: &Job<'_>, host: &str) -> anyhow::Result<ExitCode> {
    let linux = job.board.require_linux()?;
    let model_path = format!("{MODELS}/{}", file_name(&job.args.file)?);
    if job.args.dry_run {
        return ssh_dry_run(job, linux, host, &model_path);
    }
    let address = Address {
        host: host.to_string(),
        port: job.args.port,
        identity: job.args.identity.clone(),
        options: job.args.ssh_option.clone(),
    };
    let survey = {
        // The survey has a limit of its own: a build may follow.
        let board = Board::new(address.clone(), job.limit());
        with_spinner("connecting", || board.survey(&job.args.remote_dir))?
    };
    let target = target(job, linux, host, &survey)?;
    let program = read_program(job, target)?;
    fit_linux(job.board, job.model, program.len()).in_file(&job.args.file)?;

    let board = Board::new(address, job.limit());
    let uploads = uploads(job, &survey, program, model_path);
    board.check_space(&survey, &uploads)?;
    let stage = with_spinner("making a folder", || board.stage(&survey))?;
    for upload in &uploads {
        with_spinner("uploading", || stage.upload(upload))?;
    }
    let text = with_spinner("running", || smoke_run(job, &stage, &uploads))?;
    let report = report_of_run(job.board, &text)
        .map_err(|reason| anyhow::anyhow!("{host}: the program's answer: {reason}"))?;
    let code = job.judge(&report)?;
    if code != ExitCode::SUCCESS {
        output::note(&format!("{host} keeps what it had"));
        return Ok(code);
    }
    stage.activate(&uploads)?;
    for upload in &uploads {
        let (folder, path, bytes) = (&survey.folder, &upload.path, upload.bytes.len());
        job.say(&format!("{host}: {folder}/{path}: {bytes} B"))?;
    }
    match board.install_unit(&survey)? {
        UnitState::Installed => {
            job.say(&format!("{host}: {} runs at every boot (journalctl -u fixnet)", unit::NAME))?;
        }
        UnitState::Left(reason) => {
            job.say(&format!("{host}: {} was not installed: {reason}", unit::NAME))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn file_name(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{}: the name is not UTF-8; rename it", path.display()))
}

/// The Rust target of the program for what the board says it is.
fn target(
    job: &Job<'_>,
    linux: &Linux,
    host: &str,
    survey: &Survey,
) -> anyhow::Result<&'static str> {
    let (machine, bits) = (&survey.machine, survey.word_bits);
    let Some(target) = survey.target() else {
        bail!("{host}: there is no program for `{machine}` ({bits} bits)");
    };
    // A program that is given is only compared with the machine that is there.
    if job.args.program.is_none() && !linux.targets.iter().any(|known| known == target) {
        let (board, targets) = (&job.board.name, linux.targets.join(", "));
        bail!(
            "{host} says it is `{machine}` ({bits} bits), but {board} runs programs for {targets}"
        );
    }
    Ok(target)
}

fn read_program(job: &Job<'_>, target: &str) -> anyhow::Result<Vec<u8>> {
    let path: PathBuf = match &job.args.program {
        Some(path) => path.clone(),
        None => with_spinner("building the program", || program::build(target))?,
    };
    Ok(program::read(&path, target)?)
}

/// Program, model, image and unit, in this order.
fn uploads(job: &Job<'_>, survey: &Survey, program: Vec<u8>, model_path: String) -> [Upload; 4] {
    let at = |path: &str| format!("{}/{path}", survey.folder);
    let image_path = job.smoke.file_name.clone();
    let user = unit::User::Named(survey.user.clone());
    let unit =
        unit::text(&at(program::NAME), &job.smoke.flags, &at(&model_path), &at(&image_path), &user);
    let data = |path: String, bytes: Vec<u8>| Upload { path, bytes, program: false };
    [
        Upload { path: program::NAME.to_string(), bytes: program, program: true },
        data(model_path, job.bytes.to_vec()),
        data(image_path, job.smoke.file.clone()),
        data(unit::NAME.to_string(), unit.into_bytes()),
    ]
}

fn smoke_run(job: &Job<'_>, stage: &Stage<'_>, uploads: &[Upload; 4]) -> anyhow::Result<String> {
    let [program, model, image, _] = uploads;
    let (model, image) = (stage.path(model), stage.path(image));
    let flags = job.smoke.flags.iter().map(String::as_str);
    let arguments =
        ["run", "--json", "--checksums"].into_iter().chain(flags).chain([&*model, &*image]);
    Ok(stage.run(program, &arguments.collect::<Vec<_>>())?)
}

fn ssh_dry_run(
    job: &Job<'_>,
    linux: &Linux,
    host: &str,
    model_path: &str,
) -> anyhow::Result<ExitCode> {
    let folder = &job.args.remote_dir;
    job.say(&format!("would ask {host} by ssh for its machine, free space, sudo and systemd"))?;
    match &job.args.program {
        Some(path) => job.say(&format!("would take the program {}", path.display()))?,
        None => {
            for target in &linux.targets {
                let command = command_line(&program::build_command(target));
                job.say(&format!("would build, if `uname -m` asks for it: {command}"))?;
            }
        }
    }
    let (model, image) = (job.bytes.len(), job.smoke.file.len());
    job.say(&format!("would upload to {folder} on {host}, beside what is there:"))?;
    job.say(&format!("  {}", program::NAME))?;
    job.say(&format!("  {model_path}: {model} B"))?;
    job.say(&format!("  {}: {image} B", job.smoke.file_name))?;
    job.say(&format!("  {}", unit::NAME))?;
    job.say("would run the model there and compare the logits with this machine's")?;
    job.say("would then put the files in place and enable the unit, if systemd runs")?;
    job.done("ssh", json!({ "host": host }))
}

/// What tells the target of a system's programs: their loader.
const LOADERS: [(&str, &str); 2] = [
    ("/lib/ld-linux-aarch64.so.1", "aarch64-unknown-linux-gnu"),
    ("/lib/ld-linux-armhf.so.3", "armv7-unknown-linux-gnueabihf"),
];
const FOLDER: &str = "/opt/fixnet";
const UNITS: &str = "/etc/systemd/system";

/// Adds program, model and unit to the image of an operating system.
pub(super) fn os_image(job: &Job<'_>, path: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    let linux = job.board.require_linux()?;
    if block_device::is_block_device(out) || out.starts_with("/dev") {
        bail!("{}: with --image, --out is a file; write that to the card", out.display());
    }
    check_out(path, out)?;
    let out = &Destination::file(out)?.apart_from(job.inputs())?;
    let image = with_spinner("checking the image", || OsImage::open(path))?;
    let target = image_target(job, linux, path, &image)?;
    let systemd = image.has(UNITS)?;
    let program = match (job.args.dry_run, &job.args.program) {
        (true, None) => {
            let command = command_line(&program::build_command(target));
            job.say(&format!("would build {command}"))?;
            Vec::new()
        }
        _ => read_program(job, target)?,
    };
    fit_linux(job.board, job.model, program.len()).in_file(&job.args.file)?;
    let items = items(job, program, systemd);
    image.check_space(&items).in_file(path)?;
    let root = &image.root().partition;
    let (number, label) = (root.number, &root.label);
    if !job.args.dry_run {
        with_spinner("writing the image", || image.write(&items, out))?;
    }
    let (verb, free) = match job.args.dry_run {
        true => ("would write", format!(", {} B free", image.root().free_bytes)),
        false => ("wrote", String::new()),
    };
    job.say(&format!(
        "{verb} {}: {} with, in partition {number} ({label}{free}):",
        out.path().display(),
        path.display()
    ))?;
    for item in &items {
        match item {
            Item::File { path, bytes, .. } => job.say(&format!("  {path}: {} B", bytes.len()))?,
            Item::Link { path, target } => job.say(&format!("  {path} -> {target}"))?,
        }
    }
    if !systemd {
        job.say(&format!("the image has no {UNITS}: no unit was added"))?;
    }
    let files: Vec<&str> = items.iter().map(Item::path).collect();
    job.done("image", json!({ "out": out.path(), "files": files }))
}

fn image_target(
    job: &Job<'_>,
    linux: &Linux,
    path: &Path,
    image: &OsImage<'_>,
) -> anyhow::Result<&'static str> {
    for (loader, target) in LOADERS {
        if linux.targets.iter().any(|known| known == target) && image.has(loader)? {
            return Ok(target);
        }
    }
    let (board, targets) = (&job.board.name, linux.targets.join(", "));
    bail!("{}: holds no system for {board}: no loader for {targets}", path.display())
}

fn items(job: &Job<'_>, program: Vec<u8>, systemd: bool) -> Vec<Item> {
    let at = |name: &str| format!("{FOLDER}/{name}");
    let (program_path, model_path) = (at(program::NAME), at("model.fxn"));
    let image_path = at(&job.smoke.file_name);
    let unit =
        unit::text(&program_path, &job.smoke.flags, &model_path, &image_path, &unit::User::Dynamic);
    let data = |path: String, bytes: Vec<u8>| Item::File { path, bytes, program: false };
    let mut items = vec![
        Item::File { path: program_path, bytes: program, program: true },
        data(model_path, job.bytes.to_vec()),
        data(image_path, job.smoke.file.clone()),
    ];
    if systemd {
        let unit_path = format!("{UNITS}/{}", unit::NAME);
        items.push(data(unit_path.clone(), unit.into_bytes()));
        // What `systemctl enable` would do.
        let path = format!("{UNITS}/multi-user.target.wants/{}", unit::NAME);
        items.push(Item::Link { path, target: unit_path });
    }
    items
}
