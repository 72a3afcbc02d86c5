//! External tensor data: files that a model names beside itself.
//!
//! A model file is downloaded material: it may name only files inside its own folder, which is where
//! it was found, or, if that is a symbolic link, where it really lies: caches keep a model and its data
//! as blobs under other names, and link to both from a folder that reads like the original. Absolute
//! paths, `..` and links that lead elsewhere are refused before anything is opened, and a range is
//! checked against the file's size before it is read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use tract_onnx::pb::{ModelProto, TensorProto, tensor_proto::DataLocation};

use super::error::TensorProblem;

/// The folder that holds the model, the only place where its external data may lie.
#[derive(Debug)]
pub(crate) struct ModelFolder {
    /// Where the model was found: names are relative to it.
    named: PathBuf,
    /// Where the model really lies, if it was found through a link.
    real: Option<PathBuf>,
}

pub(super) fn is_external(proto: &TensorProto) -> bool {
    proto.data_location == Some(DataLocation::External as i32)
}

impl ModelFolder {
    /// Folder of the model file at `path`.
    pub fn containing(path: &Path) -> Self {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let target = path.is_symlink().then(|| path.canonicalize().ok()).flatten();
        let real = target.and_then(|target| Some(target.parent()?.to_path_buf()));
        Self { named: parent.unwrap_or(Path::new(".")).to_path_buf(), real }
    }

    /// The `needed` bytes of an external tensor.
    pub fn read(&self, proto: &TensorProto, needed: usize) -> Result<Vec<u8>, TensorProblem> {
        let location = entry(proto, "location").unwrap_or_default();
        let failed = |error: std::io::Error| TensorProblem::ExternalRead {
            tensor: proto.name.clone(),
            location: location.to_string(),
            reason: error.to_string(),
        };
        let path = self.resolve(proto, location)?;
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let offset = checked_range(proto, location, needed as u64, size)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = vec![0; needed];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn resolve(&self, proto: &TensorProto, location: &str) -> Result<PathBuf, TensorProblem> {
        let tensor = || proto.name.clone();
        if location.is_empty() {
            return Err(TensorProblem::ExternalEntry { tensor: tensor(), key: "location" });
        }
        let outside =
            || TensorProblem::ExternalOutside { tensor: tensor(), location: location.to_string() };
        let failed = |reason: String| TensorProblem::ExternalRead {
            tensor: tensor(),
            location: location.to_string(),
            reason,
        };
        let stays_inside = |c| matches!(c, Component::Normal(_) | Component::CurDir);
        if !Path::new(location).components().all(stays_inside) {
            return Err(outside());
        }
        let named = self.named.canonicalize().map_err(|e| failed(e.to_string()))?;
        let beside_the_real_one = || self.real.as_ref()?.join(location).canonicalize().ok();
        let path = match named.join(location).canonicalize() {
            Ok(path) => path,
            Err(error) => beside_the_real_one().ok_or_else(|| failed(error.to_string()))?,
        };
        let mut folders = std::iter::once(&named).chain(&self.real);
        if !folders.any(|folder| path.starts_with(folder)) {
            return Err(outside());
        }
        if !path.is_file() {
            return Err(failed("not a regular file".to_string()));
        }
        Ok(path)
    }
}

/// The files beside the model at `path` that it names, without any check; none if it is no model.
pub fn external_files(path: &Path) -> Vec<PathBuf> {
    let bytes = crate::files::read(path, crate::files::ONNX).unwrap_or_default();
    let graph = ModelProto::decode(bytes.as_slice()).unwrap_or_default().graph.unwrap_or_default();
    let real = path.canonicalize().unwrap_or_default();
    let folders = [path.parent(), real.parent()];
    let named: BTreeSet<&str> =
        graph.initializer.iter().filter_map(|tensor| entry(tensor, "location")).collect();
    let beside = |name| folders.into_iter().flatten().map(move |folder| folder.join(name));
    named.into_iter().flat_map(beside).collect()
}

fn entry<'a>(proto: &'a TensorProto, key: &str) -> Option<&'a str> {
    proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

fn number(proto: &TensorProto, key: &'static str) -> Result<Option<u64>, TensorProblem> {
    let bad = |_| TensorProblem::ExternalEntry { tensor: proto.name.clone(), key };
    entry(proto, key).map(|text| text.parse().map_err(bad)).transpose()
}

/// Where the tensor starts, after its whole range was found to lie inside the file.
fn checked_range(
    proto: &TensorProto,
    location: &str,
    needed: u64,
    size: u64,
) -> Result<u64, TensorProblem> {
    let offset = number(proto, "offset")?.unwrap_or(0);
    if let Some(length) = number(proto, "length")?
        && length != needed
    {
        return Err(TensorProblem::Length {
            tensor: proto.name.clone(),
            needed: needed as usize,
            found: length as usize,
            unit: "bytes",
        });
    }
    let end = offset.saturating_add(needed);
    if end > size {
        return Err(TensorProblem::ExternalRange {
            tensor: proto.name.clone(),
            location: location.to_string(),
            offset,
            end,
            size,
        });
    }
    Ok(offset)
}
