//! `fixnet make-images`: the generated images, as files that other programs can read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::{parse_size, positive};
use crate::data::{Content, InputShape, Recipe, Wanted, to_png};
use crate::files::Destination;
use crate::images::Images;
use crate::output::print_json;

/// Rows and columns of an image at most.
const MAX_SIDE: usize = 1 << 13;

/// Write the images that networks are calibrated and compared on when none are given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// New or empty folder to write to: calibration/NNNN.png and comparison/NNNN.png.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Images of each kind.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive().range(..=9999))]
    count: usize,
    /// Rows and columns, one number if they are as many.
    #[arg(long, value_name = "N|HxW", default_value = "224", value_parser = parse_size)]
    size: (usize, usize),
    /// 1 for grey images, 3 for RGB, 4 for RGBA.
    #[arg(long, value_name = "N", default_value = "3", value_parser = PossibleValuesParser::new(["1", "3", "4"]))]
    channels: String,
    /// The series, as of `quantize --seed`.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (height, width) = args.size;
    ensure!(
        (1..=MAX_SIDE).contains(&height) && (1..=MAX_SIDE).contains(&width),
        "--size {height}x{width}: must be between 1 and {MAX_SIDE} rows and columns"
    );
    let channels = args.channels.parse()?;
    let shape = InputShape { height, width, channels };
    let wanted = Wanted::in_float(shape, Some(&Recipe::default()));
    let sets = [
        ("calibration", Images::for_calibration(args.seed, args.count)),
        ("comparison", Images::for_comparison(args.seed, args.count)),
    ];
    make_empty(&args.out)?;
    for (name, images) in sets {
        let folder = args.out.join(name);
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        write_all(&images, &wanted, &folder)?;
    }
    if args.json {
        print_json(&json!({ "folder": args.out, "images": args.count, "seed": args.seed }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(images: &Images, wanted: &Wanted, folder: &Path) -> anyhow::Result<()> {
    for index in 0..images.len() {
        let Content::Pixels(pixels) = images.sample(index, wanted)?.content else { continue };
        let file = folder.join(format!("{index:04}.png"));
        Destination::new(&file)?.write(&to_png(&pixels)?)?;
    }
    Ok(())
}

/// A folder that is there may hold nothing: images of another run would be read with these.
fn make_empty(folder: &Path) -> anyhow::Result<()> {
    let named = || folder.display().to_string();
    if !folder.exists() {
        return fs::create_dir(folder).with_context(named);
    }
    let empty = fs::read_dir(folder).with_context(named)?.next().is_none();
    ensure!(empty, "{}: is not empty; name a new folder", named());
    Ok(())
}
