//! Outputs: where a command writes its result, whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::{FileError, Kind, STANDARD, Temporary, kind, same};
use crate::output;

/// Symbolic links that are followed one after another, as many as Linux follows.
const MAX_LINKS: usize = 40;
/// The mode of a new file, less the umask.
const NEW: u32 = 0o666;

/// Why a result that comes in pieces goes nowhere else.
const NOT_REGULAR: &str = "is no regular file; name one";

/// A file that a command writes: checked before long work, written at its end.
#[derive(Debug, Clone)]
pub struct Destination {
    path: PathBuf,
}

/// How it is written.
enum Way {
    /// To a temporary file, then renamed. A file that is replaced passes on its mode and owner.
    Replace {
        path: PathBuf,
        old: Option<Metadata>,
    },
    /// A device or a pipe.
    Through,
    Standard,
}

impl Destination {
    /// Whether a result can go to `path`, as far as can be told before there is one. `-` is standard
    /// output; what is printed then goes to standard error.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn new(path: &Path) -> Result<Self, FileError> {
        let destination = Self { path: path.to_owned() };
        if let Way::Standard = destination.way()? {
            let refused = "standard output is a terminal; redirect it, or name a file";
            if io::stdout().is_terminal() {
                return Err(FileError::wrong_kind(path, refused));
            }
            output::print_to_stderr();
        }
        Ok(destination)
    }

    /// A result that is written in pieces, which only a regular file can take.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn file(path: &Path) -> Result<Self, FileError> {
        let destination = Self { path: path.to_owned() };
        match destination.way()? {
            Way::Replace { .. } => Ok(destination),
            Way::Through | Way::Standard => Err(FileError::wrong_kind(path, NOT_REGULAR)),
        }
    }

    /// Refuses to overwrite what the result is made from.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn apart_from<'p>(
        self,
        inputs: impl IntoIterator<Item = &'p Path>,
    ) -> Result<Self, FileError> {
        let mut inputs = inputs.into_iter();
        match inputs.find(|input| self.exists() && same(&self.path, input)) {
            Some(input) => Err(FileError::IsInput { path: self.path, input: input.to_owned() }),
            None => Ok(self),
        }
    }

    /// Whether there is something to overwrite.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The name that was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it; on any failure a file that was there is untouched and no other is left.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn write(&self, bytes: &[u8]) -> Result<(), FileError> {
        match self.way()? {
            Way::Replace { .. } => {
                let pending = self.begin()?;
                pending.file().write_all(bytes).map_err(|reason| self.failed(reason))?;
                pending.commit()
            }
            Way::Through => self.write_through(bytes).map_err(|reason| self.failed(reason)),
            Way::Standard => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
                written.map_err(|reason| self.failed(reason))
            }
        }
    }

    fn write_through(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        if file.is_terminal() {
            return Err(io::Error::other("it is a terminal"));
        }
        file.write_all(bytes)
    }

    /// A file that will be the result.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn begin(&self) -> Result<Pending, FileError> {
        let Way::Replace { path, old } = self.way()? else {
            return Err(FileError::wrong_kind(&self.path, NOT_REGULAR));
        };
        let temporary = Temporary::in_folder(folder_of(&path), mode_of(old.as_ref()))
            .map_err(|reason| self.failed(reason))?;
        Ok(Pending { temporary, old, path, named: self.clone() })
    }

    fn failed(&self, reason: io::Error) -> FileError {
        FileError::Write { path: self.path.clone(), reason }
    }

    fn way(&self) -> Result<Way, FileError> {
        let refused = |what| Err(FileError::wrong_kind(&self.path, what));
        if is_standard_output(&self.path) {
            return Ok(Way::Standard);
        }
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.new_file(),
            Err(reason) => return Err(FileError::Unknown { path: self.path.clone(), reason }),
        };
        match kind(&self.path, &metadata) {
            Kind::File => {
                let path = self.path.canonicalize().map_err(|reason| self.failed(reason))?;
                Ok(Way::Replace { path, old: Some(metadata) })
            }
            Kind::Device | Kind::Pipe => Ok(Way::Through),
            Kind::Folder => refused("is a folder; name a file"),
            Kind::Disk => refused("is a disk; name a file"),
            Kind::Socket => refused("is a socket; name a file"),
            Kind::NamedPipe => {
                refused("is a named pipe; give `-` and redirect standard output to it")
            }
        }
    }

    /// A path at which there is no file yet, or a link to such a path.
    fn new_file(&self) -> Result<Way, FileError> {
        let mut path = self.path.clone();
        let mut links = 0;
        while let Ok(target) = fs::read_link(&path) {
            links += 1;
            if links > MAX_LINKS {
                return Err(FileError::Links { path: self.path.clone() });
            }
            path = folder_of(&path).join(target);
        }
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(FileError::NoName);
        }
        if bytes.ends_with(b"/") {
            return Err(FileError::wrong_kind(&self.path, "is a folder; name a file"));
        }
        let folder = folder_of(&path);
        if !folder.is_dir() {
            let (path, folder) = (self.path.clone(), folder.to_owned());
            return Err(FileError::NoFolder { path, folder });
        }
        Ok(Way::Replace { path, old: None })
    }
}

/// A result that is being written, under a temporary name.
#[derive(Debug)]
pub struct Pending {
    temporary: Temporary,
    old: Option<Metadata>,
    path: PathBuf,
    named: Destination,
}

impl Pending {
    #[must_use]
    pub fn file(&self) -> &File {
        self.temporary.file()
    }

    /// The temporary name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the result its name, when all of it is on the disk.
    ///
    /// # Errors
    /// One line that names the file; what was there is then untouched.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { temporary, old, path, named } = self;
        let commit = || {
            temporary.file().sync_all()?;
            if let Some(old) = &old {
                keep_attributes(temporary.file(), old)?;
            }
            temporary.persist(&path)
        };
        commit().map_err(|reason| named.failed(reason))
    }
}

#[cfg(unix)]
fn mode_of(old: Option<&Metadata>) -> u32 {
    use std::os::unix::fs::MetadataExt;
    old.map_or(NEW, |old| old.mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_old: Option<&Metadata>) -> u32 {
    NEW
}

/// Gives the new file the mode of the old one, and its owner if this user may change owners.
#[cfg(unix)]
fn keep_attributes(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Otherwise the new file belongs to this user, as after saving in an editor.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o777))
}

#[cfg(not(unix))]
fn keep_attributes(_file: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// `-`, or one of the system's names for it. Replacing the file behind those would leave the shell, which
/// has opened it, with the old one.
fn is_standard_output(path: &Path) -> bool {
    let names = [STANDARD, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    names.iter().any(|name| path == Path::new(name))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
