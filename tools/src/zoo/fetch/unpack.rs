//! Takes the wanted files out of a .tar.gz.
//!
//! Only regular files with the wanted extension are taken, and only their names are used, never the
//! folders inside the archive: nothing can be written outside of the target folder.

use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::FetchError;
use crate::files::{self, Destination};
use flate2::read::GzDecoder;

/// Largest sum of the sizes of all unpacked files.
const MAX_UNPACKED: u64 = 2 << 30;

/// Writes every file of `archive` that ends in `.extension` into `folder`, and names them in order.
pub fn unpack(archive: &Path, extension: &str, folder: &Path) -> Result<Vec<PathBuf>, FetchError> {
    let file = files::open(archive).map_err(FetchError::io(archive))?;
    std::fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
    let damaged = |reason: String| FetchError::Archive { path: archive.to_owned(), reason };
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut unpacked: Vec<PathBuf> = Vec::new();
    let mut left = MAX_UNPACKED;
    for entry in tar.entries().map_err(|e| damaged(e.to_string()))? {
        let entry = entry.map_err(|e| damaged(e.to_string()))?;
        let path = entry.path().map_err(|e| damaged(e.to_string()))?.into_owned();
        let wanted = path.extension().is_some_and(|found| found == extension);
        if !wanted || !entry.header().entry_type().is_file() {
            continue;
        }
        let name = safe_name(&path).map_err(damaged)?;
        let destination = folder.join(name);
        left = left
            .checked_sub(entry.size())
            .ok_or_else(|| damaged(format!("it unpacks to more than {MAX_UNPACKED} bytes")))?;
        if unpacked.contains(&destination) {
            return Err(damaged(format!("it holds two files named {}", name.display())));
        }
        write_entry(entry, &destination, damaged)?;
        unpacked.push(destination);
    }
    if unpacked.is_empty() {
        return Err(damaged(format!("it holds no .{extension} file")));
    }
    unpacked.sort();
    Ok(unpacked)
}

/// The file name of a path that does not leave its folder.
fn safe_name(path: &Path) -> Result<&Path, String> {
    let inside =
        path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match path.file_name() {
        Some(name) if inside => Ok(Path::new(name)),
        _ => Err(format!("unsafe path {} in the archive", path.display())),
    }
}

fn write_entry(
    mut entry: impl Read,
    destination: &Path,
    damaged: impl Fn(String) -> FetchError,
) -> Result<(), FetchError> {
    let pending = Destination::file(destination)?.begin()?;
    std::io::copy(&mut entry, &mut pending.file())
        .map_err(|error| damaged(format!("{}: {error}", destination.display())))?;
    Ok(pending.commit()?)
}
