//! `fixnet flash`: a model onto a board, and its first run checked against this machine's.

mod bare_metal;
mod linux;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use fixnet::Model;
use fixnet::format::CRC32;
use serde_json::{Value, json};

use super::{GeometryArgs, LimitArgs, positive, read_model};
use crate::boards::{Board, FIRMWARE_HELP};
use crate::cmd::InFile;
use crate::firmware::BoardReport;
use crate::flash::smoke::{Smoke, SmokeError};
use crate::output::{self, print, print_json};
use crate::report::BoardRun;

/// Bring a model to a board: an SD card, a system's image, ssh, or a debug probe.
///
/// A Raspberry Pi without an operating system: `--out CARD --firmware-dir DIR`. Linux boards: `--host
/// USER@HOST`, or `--image OS.img --out card.img`. Microcontrollers: no flag, but a debug probe.
#[derive(Debug, clap::Args)]
#[command(after_help = FIRMWARE_HELP)]
pub struct Args {
    /// The board; `fixnet boards` lists them.
    #[arg(long, value_name = "NAME")]
    board: String,
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// Print every step, file and command; build, connect and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Read the board's report afterwards (RTT, UART or ssh), print the time of every layer and check
    /// the logits.
    #[arg(long)]
    monitor: bool,
    /// The image that the board runs first [default: a generated one].
    #[arg(long, value_name = "IMAGE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    geometry: GeometryArgs,
    /// Give up after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = positive())]
    time_limit: usize,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print the board's run as JSON.
    #[arg(long)]
    json: bool,

    /// Where the card goes: a file, or a disk such as /dev/sdX.
    #[arg(long, value_name = "FILE|/dev/DISK", help_heading = "Cards", conflicts_with = "host")]
    out: Option<PathBuf>,
    /// Overwrite the disk that --out names.
    #[arg(long, help_heading = "Cards")]
    yes: bool,
    /// The Raspberry Pi's GPU firmware: the folder `boot` of github.com/raspberrypi/firmware.
    #[arg(long, value_name = "DIR", help_heading = "Cards", conflicts_with = "image")]
    firmware_dir: Option<PathBuf>,
    /// An image of Raspberry Pi OS or JetPack, to which program, model and systemd unit are added.
    #[arg(long, value_name = "OS.img", help_heading = "Cards", conflicts_with = "host")]
    image: Option<PathBuf>,
    /// The UART that --monitor reads, for a board without an operating system.
    #[arg(long, value_name = "/dev/TTY", help_heading = "Cards", requires = "monitor")]
    serial: Option<PathBuf>,

    /// A board that runs Linux; `ssh` must reach it without a password.
    #[arg(long, value_name = "USER@HOST", help_heading = "Linux over ssh")]
    host: Option<String>,
    /// Port of ssh.
    #[arg(long, help_heading = "Linux over ssh", requires = "host")]
    port: Option<u16>,
    /// Key file of ssh.
    #[arg(long, value_name = "KEY", help_heading = "Linux over ssh", requires = "host")]
    identity: Option<PathBuf>,
    /// As ssh's -o; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Linux over ssh", requires = "host")]
    ssh_option: Vec<String>,
    /// Folder on the board, absolute or below the user's home.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "fixnet",
        help_heading = "Linux over ssh",
        requires = "host"
    )]
    remote_dir: String,

    /// Take this program for Linux boards instead of building one.
    #[arg(long, value_name = "PROGRAM", help_heading = "Instead of building")]
    program: Option<PathBuf>,
    /// Take this image for a board without an operating system: kernel8.img, or an ELF file.
    #[arg(
        long,
        value_name = "FILE",
        visible_alias = "image-file",
        help_heading = "Instead of building"
    )]
    kernel: Option<PathBuf>,
}

/// How a model gets to a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    Card { out: &'a Path, firmware: &'a Path },
    Probe { chip: &'a str },
    Ssh { host: &'a str },
    OsImage { image: &'a Path, out: &'a Path },
}

/// Everything that each way needs.
struct Job<'a> {
    args: &'a Args,
    board: &'a Board,
    model: &'a Model<'a>,
    bytes: &'a [u8],
    smoke: &'a Smoke,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.limits.check_board()?;
    let board = Board::load(&args.board)?;
    let way = way(args, &board)?;
    let bytes = read_model(&args.file)?;
    let model = args.limits.check_model(&args.file, &bytes)?;
    if model.float_parts().next().is_some() {
        bail!(
            "{}: the model has parts in float, whose values differ between machines, so its first \
             run cannot be checked; copy it to a Linux board and use `fixnet-board run` there",
            args.file.display()
        );
    }
    let input = args.input.as_deref().map(|input| (input, args.geometry.resizing()));
    let smoke = Smoke::new(&model, input);
    let smoke = match smoke {
        Err(error @ SmokeError::Session(_)) => Err(error).in_file(&args.file),
        smoke => smoke.in_file(args.input.as_deref().unwrap_or(&args.file)),
    }?;
    smoke.note.iter().for_each(|note| output::note(note));
    let job = Job { args, board: &board, model: &model, bytes: &bytes, smoke: &smoke };
    match way {
        Way::Card { out, firmware } => bare_metal::card(&job, out, firmware),
        Way::Probe { chip } => bare_metal::probe(&job, chip),
        Way::Ssh { host } => linux::ssh(&job, host),
        Way::OsImage { image, out } => linux::os_image(&job, image, out),
    }
}

/// The way that flags and board name together, or what the board needs.
fn way<'a>(args: &'a Args, board: &'a Board) -> anyhow::Result<Way<'a>> {
    let found = match (&args.host, &args.image, &args.out, &args.firmware_dir) {
        (Some(host), ..) => board.linux.as_ref().map(|_| Way::Ssh { host }),
        (_, Some(image), Some(out), _) => board.linux.as_ref().map(|_| Way::OsImage { image, out }),
        (_, None, Some(out), Some(firmware)) => {
            board.sd_card.as_ref().map(|_| Way::Card { out, firmware })
        }
        (None, None, None, None) => board.probe_rs.as_ref().map(|p| Way::Probe { chip: &p.chip }),
        _ => None,
    };
    let Some(way) = found else { bail!("{}", needs(board)) };
    if args.monitor {
        match way {
            Way::OsImage { .. } => bail!(
                "--monitor needs a board that runs; boot the card, then use --host USER@HOST --monitor"
            ),
            Way::Card { .. } if args.serial.is_none() => {
                bail!("--monitor of {} needs its UART: --serial /dev/TTY", board.name)
            }
            _ => {}
        }
    }
    Ok(way)
}

/// What flags a board's ways need.
fn needs(board: &Board) -> String {
    let mut ways = Vec::new();
    if board.sd_card.is_some() {
        ways.push("--out FILE|/dev/DISK --firmware-dir DIR (a card without an operating system)");
    }
    if board.linux.is_some() {
        ways.push("--host USER@HOST (Linux over ssh)");
        ways.push("--image OS.img --out card.img (a card with Linux)");
    }
    if board.probe_rs.is_some() {
        ways.push("a debug probe and none of --host, --image, --out, --firmware-dir");
    }
    let name = &board.name;
    match ways.is_empty() {
        true => format!("board {name} is emulated; run it with `fixnet qemu --board {name}`"),
        false => format!("board {name} needs {}", ways.join(", or ")),
    }
}

impl Job<'_> {
    /// The files that are read, beside those of the system's image or of the GPU.
    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let Args { file, input, program, kernel, identity, .. } = self.args;
        let given = [input, program, kernel, identity].into_iter().flatten();
        given.chain([file]).map(PathBuf::as_path)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.args.time_limit as u64)
    }

    /// A line about what was or would be done; standard output is for figures if those are JSON.
    fn say(&self, line: &str) -> anyhow::Result<()> {
        if self.args.json {
            output::note(line);
            return Ok(());
        }
        Ok(print(&format!("{line}\n"))?)
    }

    /// Tells in JSON, if that was asked for, what was or would be done without a run of the board.
    fn done(&self, way: &str, what: Value) -> anyhow::Result<ExitCode> {
        if self.args.json {
            let mut json = what;
            json["board"] = json!(self.board.name);
            json["way"] = json!(way);
            json["dry_run"] = json!(self.args.dry_run);
            print_json(&json)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints the board's run if it was asked for; whether it equals this machine's.
    fn judge(&self, report: &BoardReport) -> anyhow::Result<ExitCode> {
        let [inference] = report.inferences.as_slice() else {
            bail!("the board ran {} inputs instead of one", report.inferences.len());
        };
        if let Some(crc32) = report.model_crc32
            && crc32 != CRC32.checksum(self.bytes)
        {
            bail!("the board runs another model, with CRC-32 {crc32:08x}; flash it again");
        }
        let run = BoardRun {
            board: self.board,
            model: self.model,
            image: &self.smoke.name,
            report,
            inference,
            host: Some(&self.smoke.host),
            emulated: false,
            instructions_per_tick: None,
            tract_instructions: None,
        };
        match (self.args.json, self.args.monitor) {
            (true, _) => print_json(&run.json())?,
            (false, true) => print(&run.text())?,
            (false, false) => {}
        }
        if run.equals_host() {
            self.say("the board's logits equal this machine's")?;
            return Ok(ExitCode::SUCCESS);
        }
        output::error(&format!(
            "the board's bytes are not this machine's: logits {:?}, here {:?}{}",
            inference.logits,
            self.smoke.host.logits,
            self.first_difference(report)
        ));
        Ok(ExitCode::from(1))
    }

    fn first_difference(&self, report: &BoardReport) -> String {
        let layers = report.inferences.iter().flat_map(|inference| &inference.layers);
        let mut pairs = layers.zip(&self.smoke.host.checksums);
        let different = pairs.find(|(layer, host)| layer.crc32.is_some_and(|own| own != **host));
        different.map_or_else(String::new, |(layer, _)| {
            format!("; the first layer that differs is {}", layer.name)
        })
    }
}
