//! The list of known models and data (`models/zoo.toml`): origin, checksum and preprocessing.
//!
//! What may not be broken: an entry marked as verified carries a digest and says where that digest
//! was read; one without a digest is marked as unverified. Loading refuses a list that breaks this.

#[cfg(feature = "fetch")]
pub mod fetch;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::{Preprocessing, Recipe};
use crate::graph::InputLayout;

const BUILT_IN: &str = include_str!("../../models/zoo.toml");

/// Known models and data, in the order of the file.
#[derive(Debug, Clone)]
pub struct Zoo {
    pub entries: Vec<Entry>,
}

/// One model, data set or preprocessing preset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub task: String,
    pub classes: Option<usize>,
    /// Height and width.
    pub input: Option<[usize; 2]>,
    pub licence: Option<String>,
    /// Name under which the download is stored.
    pub file: Option<String>,
    pub url: Option<String>,
    /// Lower-case hexadecimal digits.
    pub sha256: Option<String>,
    pub size: Option<u64>,
    /// Where `sha256` and `size` were read.
    pub checksum_source: Option<String>,
    #[serde(default)]
    pub verified: bool,
    /// The download is a .tar.gz; files with this extension are taken out of it.
    pub unpack: Option<String>,
    /// How to make the file with its own framework.
    pub export: Option<String>,
    /// Name of the entry whose preprocessing applies.
    preset: Option<String>,
    layout: Option<String>,
    #[serde(default)]
    preprocessing: Recipe,
}

/// Why a zoo or one of its entries cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZooError {
    #[error("{}: {reason}", path.display())]
    Read { path: PathBuf, reason: std::io::Error },
    #[error("{file}: {reason}")]
    Parse { file: String, reason: String },
    #[error("{file}: entry {entry}: {reason}")]
    Entry { file: String, entry: String, reason: String },
    #[error("no zoo entry \"{name}\"; known are {known}")]
    Unknown { name: String, known: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    entry: Vec<Entry>,
}

impl Zoo {
    /// The given list, or the built-in one.
    pub fn open(file: Option<&Path>) -> Result<Self, ZooError> {
        let Some(path) = file else {
            return Self::parse("models/zoo.toml", BUILT_IN);
        };
        let text = crate::files::read_text(path)
            .map_err(|reason| ZooError::Read { path: path.to_owned(), reason })?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, ZooError> {
        let document: Document = toml::from_str(text).map_err(|error| ZooError::Parse {
            file: located(file, text, error.span().map(|span| span.start)),
            reason: error.message().replace('\n', " "),
        })?;
        let mut entries = document.entry;
        resolve_presets(&mut entries).map_err(|error| error.in_file(file))?;
        for (at, entry) in entries.iter().enumerate() {
            let twice = entries[..at].iter().any(|earlier| earlier.name == entry.name);
            entry.check(twice).map_err(|error| error.in_file(file))?;
        }
        Ok(Self { entries })
    }

    pub fn get(&self, name: &str) -> Result<&Entry, ZooError> {
        self.entries.iter().find(|entry| entry.name == name).ok_or_else(|| ZooError::Unknown {
            name: name.to_owned(),
            known: self.names().join(", "),
        })
    }

    fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }
}

/// What is wrong with an entry, before the file's name is known.
struct Fault {
    entry: String,
    reason: String,
}

impl Fault {
    fn in_file(self, file: &str) -> ZooError {
        ZooError::Entry { file: file.to_owned(), entry: self.entry, reason: self.reason }
    }
}

impl Entry {
    /// The entry's recipe and layout.
    pub fn preprocessing(&self) -> Preprocessing {
        Preprocessing { recipe: self.preprocessing.clone(), layout: self.layout() }
    }

    fn layout(&self) -> Option<InputLayout> {
        self.layout.as_deref()?.parse().ok()
    }

    fn check(&self, twice: bool) -> Result<(), Fault> {
        match self.find_fault(twice) {
            None => Ok(()),
            Some(reason) => Err(self.fault(reason)),
        }
    }

    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault { entry: self.name.clone(), reason: reason.into() }
    }

    fn find_fault(&self, twice: bool) -> Option<String> {
        let digest_ok = self.sha256.as_deref().is_none_or(is_sha256);
        let sourced = self.sha256.is_some() && self.checksum_source.is_some();
        let bare = |name: &str| Path::new(name).file_name() == Some(name.as_ref());
        let checks = [
            (!twice, "listed twice"),
            (digest_ok, "sha256 must be 64 lower-case hexadecimal digits"),
            (!self.verified || sourced, "verified needs sha256 and checksum_source"),
            (self.verified || self.sha256.is_none(), "a sha256 needs verified = true"),
            (self.url.is_none() || self.file.is_some(), "a url needs a file name"),
            (self.file.as_deref().is_none_or(bare), "file must be a name without a folder"),
            (self.layout.is_none() || self.layout().is_some(), "layout must be nchw or nhwc"),
        ];
        let fault = checks.iter().find(|(good, _)| !good).map(|(_, reason)| (*reason).to_owned());
        fault.or_else(|| self.preprocessing.validate().err().map(|error| error.to_string()))
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn resolve_presets(entries: &mut [Entry]) -> Result<(), Fault> {
    for at in 0..entries.len() {
        let Some(preset) = entries[at].preset.clone() else {
            continue;
        };
        let source = entries.iter().find(|e| e.name == preset && e.preset.is_none());
        let Some(recipe) = source.map(|entry| entry.preprocessing.clone()) else {
            return Err(entries[at].fault(format!("no preprocessing named {preset}")));
        };
        if entries[at].preprocessing != Recipe::default() {
            return Err(entries[at].fault("has both a preset and its own preprocessing"));
        }
        entries[at].preprocessing = recipe;
    }
    Ok(())
}

fn located(file: &str, text: &str, offset: Option<usize>) -> String {
    match offset.and_then(|offset| text.get(..offset)) {
        Some(before) => format!("{file}:{}", before.matches('\n').count() + 1),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "4e8f8653e7a2222b3904cc3fe8e304cd8b339ce1d05fd24688162f86fb6df52c";

    #[test]
    fn the_built_in_list_is_sound() {
        let zoo = Zoo::open(None).unwrap();
        let imagenet = zoo.get("imagenet").unwrap().preprocessing().recipe;
        let resnet = zoo.get("resnet18-v1-7").unwrap();
        assert_eq!(resnet.preprocessing().recipe, imagenet);
        assert_eq!(resnet.preprocessing().layout, Some(InputLayout::Nchw));
        assert_eq!((imagenet.resize, imagenet.crop), (Some(256), Some(224)));
        let raw = zoo.get("mlperf-tiny-resnet8").unwrap().preprocessing().recipe;
        assert_eq!(raw.normalise(0, 255.0), 255.0);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Zoo::open(None).unwrap().get("resnet19").unwrap_err().to_string();
        assert!(error.contains("resnet18-v1-7, resnet34-v1-7"), "{error}");
    }

    #[test]
    fn a_list_that_cannot_be_trusted_is_refused() {
        let entry = |rest: &str| format!("[[entry]]\nname = \"a\"\ntask = \"t\"\n{rest}\n");
        let cases = [
            (entry("verified = true"), "verified needs"),
            (entry(&format!("sha256 = \"{DIGEST}\"")), "verified = true"),
            (entry("sha256 = \"12\""), "64 lower-case"),
            (entry("url = \"http://a\""), "file name"),
            (entry("file = \"../a\""), "without a folder"),
            (entry("preset = \"b\""), "no preprocessing named b"),
            (entry("layout = \"chw\""), "nchw or nhwc"),
            (entry("[entry.preprocessing]\nstd = [0, 1, 1]"), "--std"),
            (entry("[entry.preprocessing]\nstdd = 1"), "unknown field"),
            (entry("").repeat(2), "listed twice"),
            ("entry = 3".to_owned(), "zoo.toml:1"),
        ];
        for (text, expected) in cases {
            let error = Zoo::parse("zoo.toml", &text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error} / {expected}");
        }
    }
}
