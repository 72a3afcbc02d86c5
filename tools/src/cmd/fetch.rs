//! `fixnet fetch`: known models and data, and how to get them.

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{Table, presets::NOTHING};

use crate::output::print;
use crate::zoo::fetch::{agent, fetch, unpack};
use crate::zoo::{Entry, Zoo};

/// Download a known model or data set and verify it; without a name, list what is known.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Entry of the zoo, as resnet18-v1-7 or cifar10.
    name: Option<String>,

    /// Folder to put the files into.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Read zoo entries from this file instead of the built-in list.
    #[arg(long, value_name = "FILE.toml")]
    zoo: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let zoo = Zoo::open(args.zoo.as_deref())?;
    match &args.name {
        Some(name) => fetch_entry(zoo.get(name)?, args)?,
        None => print(&format!("{}\n", listing(&zoo)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch_entry(entry: &Entry, args: &Args) -> anyhow::Result<()> {
    let fetched = fetch(&agent(), entry, &args.out)?;
    let path = fetched.path.display();
    let verdict = match (entry.verified, fetched.present) {
        (true, true) => "already there, sha256 verified".to_owned(),
        (true, false) => "sha256 verified".to_owned(),
        (false, _) => {
            format!("NOT verified, no checksum was published; its sha256 is {}", fetched.sha256)
        }
    };
    print(&format!("{path}: {verdict}\n"))?;
    if let Some(extension) = &entry.unpack {
        let folder = args.out.join(&entry.name);
        for file in unpack(&fetched.path, extension, &folder)? {
            print(&format!("{}\n", file.display()))?;
        }
    }
    Ok(())
}

fn listing(zoo: &Zoo) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["name", "get it by", "size", "checked by", "what"]);
    for entry in &zoo.entries {
        let size = entry.size.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        table.add_row([
            entry.name.clone(),
            way(entry).to_owned(),
            size.unwrap_or_default(),
            check(entry).to_owned(),
            entry.task.clone(),
        ]);
    }
    table
}

fn way(entry: &Entry) -> &'static str {
    match (&entry.url, &entry.export) {
        (Some(_), _) => "fetch",
        (None, Some(_)) => "export",
        (None, None) => "--preset only",
    }
}

fn check(entry: &Entry) -> &'static str {
    match (&entry.url, entry.verified) {
        (Some(_), true) => "sha256",
        (Some(_), false) => "unverified",
        (None, _) => "",
    }
}
