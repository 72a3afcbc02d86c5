//! Puts files into the root filesystem of an operating system's image, without mounting it and thus
//! without being root: e2fsprogs' `debugfs` writes into a copy, which gets the name that was asked for
//! only after every file was read back and `e2fsck` found nothing.
//!
//! What may not be broken: the image that was given is only read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::partitions::{PartitionError, Root, find_root};
use crate::files::{self, Destination, FileError, ScratchFolder};
use crate::process::{ProcessError, last_line, run_limited};

/// For one call of debugfs or e2fsck; the check of a large image takes tens of seconds.
const TIME_LIMIT: Duration = Duration::from_secs(600);
const CHUNK: usize = 1 << 20;
/// Space for folders and the ends of blocks, on top of the files.
const OVERHEAD: u64 = 256 << 10;

/// Why an image was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OsImageError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
    #[error("{program} is not installed (Debian: apt-get install e2fsprogs)")]
    NoE2fsprogs { program: String },
    #[error(transparent)]
    Process(ProcessError),
    #[error(
        "{}: the root filesystem is too small: {needed} bytes are needed and {available} are free",
        path.display()
    )]
    TooSmall { path: PathBuf, needed: u64, available: u64 },
    #[error(
        "{}: the root filesystem was not unmounted; take an image of a system that was shut down",
        path.display()
    )]
    Mounted { path: PathBuf },
    #[error("{}: e2fsck finds the root filesystem damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{}: debugfs could not write: {reason}; nothing was kept", path.display())]
    NotWritten { path: PathBuf, reason: String },
    #[error("{}: {file} does not read back from the image; nothing was kept", path.display())]
    NotReadBack { path: PathBuf, file: String },
    #[error(transparent)]
    Output(#[from] FileError),
    #[error("{}: is the image itself; name another file", path.display())]
    InPlace { path: PathBuf },
}

/// Something to put into the root filesystem, owned by root. Paths are absolute and hold nothing but
/// letters, digits, `/`, `.`, `_` and `-`, since debugfs reads them from a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    File {
        path: String,
        bytes: Vec<u8>,
        /// May be executed.
        program: bool,
    },
    Link {
        path: String,
        target: String,
    },
}

impl Item {
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }

    fn mode(&self) -> u32 {
        match self {
            Self::File { program: true, .. } => 0o755,
            Self::File { program: false, .. } => 0o644,
            Self::Link { .. } => 0o777,
        }
    }
}

/// The root filesystem of an image, checked and able to take more files.
#[derive(Debug)]
pub struct OsImage<'p> {
    path: &'p Path,
    root: Root,
}

impl<'p> OsImage<'p> {
    /// Finds the root filesystem of an image and checks it.
    ///
    /// # Errors
    /// [`OsImageError`] with the reason why nothing should be written to it.
    pub fn open(path: &'p Path) -> Result<Self, OsImageError> {
        let root = find_root(path)?;
        if root.needs_recovery {
            return Err(OsImageError::Mounted { path: path.to_owned() });
        }
        let image = Self { path, root };
        Volume::new(path, image.root.partition.offset)?.check()?;
        Ok(image)
    }

    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether the root filesystem has a folder or file.
    ///
    /// # Errors
    /// [`OsImageError`] if debugfs does not run.
    pub fn has(&self, path: &str) -> Result<bool, OsImageError> {
        Volume::new(self.path, self.root.partition.offset)?.has(path)
    }

    /// Whether there is space for `items`.
    ///
    /// # Errors
    /// [`OsImageError::TooSmall`] with the bytes that are needed and available.
    pub fn check_space(&self, items: &[Item]) -> Result<(), OsImageError> {
        let bytes = items.iter().map(|item| match item {
            Item::File { bytes, .. } => bytes.len().next_multiple_of(4096) as u64,
            Item::Link { .. } => 4096,
        });
        let needed = bytes.sum::<u64>() + OVERHEAD;
        let available = self.root.free_bytes;
        if needed <= available {
            return Ok(());
        }
        Err(OsImageError::TooSmall { path: self.path.to_owned(), needed, available })
    }

    /// Writes the image with `items` to `out`.
    ///
    /// # Errors
    /// [`OsImageError`]; `out` is then as it was.
    pub fn write(&self, items: &[Item], out: &Destination) -> Result<(), OsImageError> {
        self.check_space(items)?;
        check_out(self.path, out.path())?;
        let failed = |reason| OsImageError::Io { path: out.path().to_owned(), reason };
        let copy = out.begin()?;
        copy_with_holes(self.path, copy.file()).map_err(failed)?;
        let volume = Volume::new(copy.path(), self.root.partition.offset)?;
        let named = |error| rename_in(error, out.path());
        volume.install(items).map_err(named)?;
        volume.check().map_err(named)?;
        drop(volume);
        Ok(copy.commit()?)
    }
}

/// Errors name the file that the user knows, not the copy.
fn rename_in(error: OsImageError, out: &Path) -> OsImageError {
    let path = out.to_owned();
    match error {
        OsImageError::Damaged { reason, .. } => OsImageError::Damaged { path, reason },
        OsImageError::NotWritten { reason, .. } => OsImageError::NotWritten { path, reason },
        OsImageError::NotReadBack { file, .. } => OsImageError::NotReadBack { path, file },
        OsImageError::Io { reason, .. } => OsImageError::Io { path, reason },
        other => other,
    }
}

/// Whether `out` may take the result, asked before long work.
///
/// # Errors
/// [`OsImageError::InPlace`].
pub fn check_out(image: &Path, out: &Path) -> Result<(), OsImageError> {
    match files::same(image, out) {
        true => Err(OsImageError::InPlace { path: out.to_owned() }),
        false => Ok(()),
    }
}

/// Images are mostly empty; their zeros take no space in the copy.
fn copy_with_holes(from: &Path, mut to: &File) -> io::Result<()> {
    let mut from = files::open(from)?;
    to.set_len(from.seek(SeekFrom::End(0))?)?;
    from.rewind()?;
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        let count = (&mut from).take(CHUNK as u64).read_to_end(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if buffer.iter().all(|&byte| byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(count).unwrap_or(i64::MAX)))?;
        } else {
            to.write_all(&buffer)?;
        }
    }
}

/// An ext4 filesystem inside a file, as e2fsprogs see it.
///
/// They run in a folder of their own, where the image is a link and the files have fixed names: what
/// the user's files are called never becomes part of a command.
struct Volume<'p> {
    path: &'p Path,
    folder: ScratchFolder,
    device: String,
}

const IMAGE_LINK: &str = "image";

impl<'p> Volume<'p> {
    fn new(path: &'p Path, offset: u64) -> Result<Self, OsImageError> {
        let failed = |reason| OsImageError::Io { path: path.to_owned(), reason };
        let folder = ScratchFolder::new()?;
        let absolute = fs::canonicalize(path).map_err(failed)?;
        std::os::unix::fs::symlink(absolute, folder.path().join(IMAGE_LINK)).map_err(failed)?;
        Ok(Self { path, folder, device: format!("{IMAGE_LINK}?offset={offset}") })
    }

    fn run(&self, program: &str, options: &[&str]) -> Result<std::process::Output, OsImageError> {
        let mut command = Command::new(program);
        command.args(options).arg(&self.device).current_dir(self.folder.path());
        // The tools translate their messages.
        command.env("LC_ALL", "C").env("DEBUGFS_PAGER", "cat").env("PATH", system_path());
        run_limited(command, TIME_LIMIT).map_err(|error| match error {
            ProcessError::NotFound { program } => OsImageError::NoE2fsprogs { program },
            error => OsImageError::Process(error),
        })
    }

    /// Runs commands of debugfs; what they print, or what they complain about.
    fn debugfs(&self, writable: bool, commands: &str) -> Result<String, OsImageError> {
        self.file("commands", commands.as_bytes())?;
        let options = if writable { &["-w", "-f", "commands"][..] } else { &["-f", "commands"] };
        let output = self.run("debugfs", options)?;
        // Its exit code tells nothing before version 1.46, and the first line is its version.
        let errors = String::from_utf8_lossy(&output.stderr);
        let complaint = errors.lines().map(str::trim).find(|line| {
            !line.is_empty() && !line.starts_with("debugfs 1.") && !line.starts_with("debugfs 2.")
        });
        match complaint {
            Some(reason) => Err(self.not_written(reason.to_string())),
            None => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        }
    }

    fn not_written(&self, reason: String) -> OsImageError {
        OsImageError::NotWritten { path: self.path.to_owned(), reason }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), OsImageError> {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).map_err(|reason| OsImageError::Io { path, reason })
    }

    fn has(&self, path: &str) -> Result<bool, OsImageError> {
        match self.debugfs(false, &format!("stat {path}\n")) {
            Ok(_) => Ok(true),
            Err(OsImageError::NotWritten { reason, .. }) if reason.contains("not found") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self) -> Result<(), OsImageError> {
        let output = self.run("e2fsck", &["-f", "-n"])?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        // The first question is the first defect; the last line is a summary.
        let defect = text.lines().find(|line| line.ends_with("? no")).map(str::to_string);
        let reason = defect.or_else(|| last_line(&said)).unwrap_or_default();
        Err(OsImageError::Damaged { path: self.path.to_owned(), reason })
    }

    fn install(&self, items: &[Item]) -> Result<(), OsImageError> {
        let mut commands = String::new();
        let mut made: Vec<String> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            for folder in folders_of(item.path()) {
                if !made.contains(&folder) && !self.has(&folder)? {
                    commands.push_str(&format!("mkdir {folder}\n"));
                }
                made.push(folder);
            }
            if self.has(item.path())? {
                commands.push_str(&format!("rm {}\n", item.path()));
            }
            match item {
                Item::File { path, bytes, .. } => {
                    let source = format!("file{index}");
                    self.file(&source, bytes)?;
                    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                    // `write` takes a name, not a path.
                    commands.push_str(&format!("cd {folder}/\nwrite {source} {name}\ncd /\n"));
                    commands.push_str(&format!("sif {path} mode 0100{:o}\n", item.mode()));
                    commands.push_str(&format!("sif {path} uid 0\nsif {path} gid 0\n"));
                }
                Item::Link { path, target } => {
                    commands.push_str(&format!("symlink {path} {target}\n"));
                }
            }
        }
        self.debugfs(true, &commands)?;
        items.iter().try_for_each(|item| self.read_back(item))
    }

    fn read_back(&self, item: &Item) -> Result<(), OsImageError> {
        let path = item.path();
        let status = self.debugfs(false, &format!("stat {path}\n"))?;
        let words: Vec<&str> = status.split_whitespace().collect();
        let field = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let mode = format!("{:04o}", item.mode());
        let same = field("Mode:") == Some(mode.as_str()) && field("User:") == Some("0");
        let same = same
            && match item {
                Item::File { bytes, .. } => self.dump(path)? == *bytes,
                Item::Link { target, .. } => status.contains(&format!("\"{target}\"")),
            };
        match same {
            true => Ok(()),
            false => {
                let file = path.to_string();
                Err(OsImageError::NotReadBack { path: self.path.to_owned(), file })
            }
        }
    }

    fn dump(&self, path: &str) -> Result<Vec<u8>, OsImageError> {
        self.debugfs(false, &format!("dump {path} dumped\n"))?;
        let dumped = self.folder.path().join("dumped");
        fs::read(&dumped).map_err(|reason| OsImageError::Io { path: dumped, reason })
    }
}

/// All folders on the way to an absolute path, the outermost first.
fn folders_of(path: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let mut folder = String::new();
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        folder = format!("{folder}/{name}");
        folders.push(folder.clone());
    }
    folders
}

/// e2fsprogs lie where only root looks by default.
fn system_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
