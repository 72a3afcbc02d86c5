//! `fixnet fetch`: known models and data, and how to get them.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cmd::InFile;
use crate::output::{print, print_json};
use crate::report::{Table, left, names, prose, right, table};
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

    /// Print what is known, or what was fetched, as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let zoo = Zoo::open(args.zoo.as_deref())?;
    match &args.name {
        Some(name) => fetch_entry(zoo.get(name)?, args)?,
        None if args.json => print_json(&zoo.entries.iter().map(entry_json).collect::<Vec<_>>())?,
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
    if !args.json {
        print(&format!("{path}: {verdict}\n"))?;
    }
    let unpacked = match &entry.unpack {
        Some(extension) => {
            let folder = args.out.join(&entry.name);
            unpack(&fetched.path, extension, &folder).in_file(&fetched.path)?
        }
        None => Vec::new(),
    };
    if args.json {
        print_json(&json!({
            "name": entry.name,
            "file": fetched.path,
            "sha256": fetched.sha256,
            "verified": entry.verified,
            "present": fetched.present,
            "unpacked": unpacked,
        }))?;
        return Ok(());
    }
    for file in unpacked {
        print(&format!("{}\n", file.display()))?;
    }
    Ok(())
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "task": entry.task,
        "way": way(entry),
        "classes": entry.classes,
        "input": entry.input,
        "licence": entry.licence,
        "url": entry.url,
        "file": entry.file,
        "bytes": entry.size,
        "sha256": entry.sha256,
        "verified": entry.verified,
        "unpack": entry.unpack,
        "export": entry.export,
    })
}

fn listing(zoo: &Zoo) -> Table {
    let columns = [
        names("name"),
        left("get it by"),
        right("size").rank(1),
        left("checked by").rank(2),
        prose("what"),
    ];
    let mut table = table(&columns);
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
