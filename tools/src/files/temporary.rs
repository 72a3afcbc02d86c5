//! Temporary files and folders that do not outlive the program.
//!
//! Each is removed when its value is dropped, and on SIGINT, SIGTERM and SIGHUP. What a power cut or SIGKILL
//! leaves is removed by the next run that makes one in the same place: a file that is in use is locked
//! by whoever uses it, and only names that are made here are ever looked at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tempfile::{NamedTempFile, TempDir};

use super::FileError;

const FILE_PREFIX: &str = ".fixnet-";
const FILE_SUFFIX: &str = ".tmp";
const FOLDER_PREFIX: &str = "fixnet-";
/// A file in each folder; that it is locked says that the folder is in use.
const LOCK: &str = ".lock";
/// Random letters in the middle of a name.
const RANDOM: usize = 6;
/// Another program may take a new name for a stale one before it is locked.
const ATTEMPTS: usize = 16;

/// Paths to remove when a signal ends the program.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(signals::handle);
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name in [`LIVE`].
#[derive(Debug)]
struct Registered(PathBuf);

impl Drop for Registered {
    fn drop(&mut self) {
        live().remove(&self.0);
    }
}

/// A file in the folder of the file that it will become.
#[derive(Debug)]
pub struct Temporary {
    // Dropped first: the file is removed while its path is still registered.
    file: NamedTempFile,
    _registered: Registered,
}

impl Temporary {
    /// Makes one in `folder`, of this mode less the umask (Unix).
    ///
    /// # Errors
    /// Those of the system.
    pub fn in_folder(folder: &Path, mode: u32) -> io::Result<Self> {
        sweep_files(folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(FILE_PREFIX).suffix(FILE_SUFFIX).rand_bytes(RANDOM);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        let _ = mode;
        for _ in 0..ATTEMPTS {
            let mut live = live();
            let file = builder.tempfile_in(folder)?;
            live.insert(file.path().to_owned());
            drop(live);
            let registered = Registered(file.path().to_owned());
            if lock(file.as_file()) && file.path().exists() {
                return Ok(Self { file, _registered: registered });
            }
        }
        Err(io::Error::other("another program removes temporary files"))
    }

    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its name, over whatever has it.
    ///
    /// # Errors
    /// Those of the system; the temporary file is then gone.
    pub fn persist(self, to: &Path) -> io::Result<()> {
        self.file.persist(to).map_err(|error| error.error)?;
        Ok(())
    }
}

/// A folder among the system's temporary ones.
#[derive(Debug)]
pub struct ScratchFolder {
    folder: TempDir,
    _lock: File,
    _registered: Registered,
}

impl ScratchFolder {
    /// Makes one.
    ///
    /// # Errors
    /// One line that names the folder it would be in.
    pub fn new() -> Result<Self, FileError> {
        let parent = std::env::temp_dir();
        Self::in_folder(&parent).map_err(|reason| FileError::Temporary { path: parent, reason })
    }

    fn in_folder(parent: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut live = live();
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(FOLDER_PREFIX).rand_bytes(RANDOM).tempdir_in(parent)?;
            live.insert(folder.path().to_owned());
            drop(live);
            let registered = Registered(folder.path().to_owned());
            let path = folder.path().join(LOCK);
            let file = File::create(&path)?;
            if lock(&file) && path.exists() {
                sweep_folders(parent, folder.path());
                return Ok(Self { folder, _lock: file, _registered: registered });
            }
        }
        Err(io::Error::other("another program removes temporary folders"))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether the lock is ours, or this filesystem has none.
fn lock(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Whether nobody uses the file at `path`.
fn is_stale(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn is_made_here(name: &OsStr, prefix: &str, suffix: &str) -> bool {
    let name = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix));
    name.is_some_and(|middle| {
        middle.len() == RANDOM && middle.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Removes files of earlier runs. What cannot be removed is no reason to fail.
fn sweep_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file
            && is_made_here(&entry.file_name(), FILE_PREFIX, FILE_SUFFIX)
            && is_stale(&entry.path())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes folders of earlier runs, of the owner of `own` alone.
fn sweep_folders(parent: &Path, own: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder
            && path != own
            && is_made_here(&entry.file_name(), FOLDER_PREFIX, "")
            && has_owner_of(&path, own)
            && fs::symlink_metadata(path.join(LOCK)).is_ok_and(|lock| lock.is_file())
            && is_stale(&path.join(LOCK))
        {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(unix)]
fn has_owner_of(path: &Path, own: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
    owner(path).is_some() && owner(path) == owner(own)
}

#[cfg(not(unix))]
fn has_owner_of(_path: &Path, _own: &Path) -> bool {
    true
}

#[cfg(unix)]
mod signals {
    use std::thread;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    /// Ends the program as ever on these signals, without leaving files. A signal that whoever started
    /// the program has it ignore, as `nohup` does, stays ignored.
    pub(super) fn handle() {
        let ignored = ignored();
        let taken = [SIGINT, SIGTERM, SIGHUP];
        let taken = taken.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        // Without handlers the files are left to the next run.
        let Ok(mut signals) = Signals::new(taken) else { return };
        thread::spawn(move || {
            for signal in signals.forever() {
                // Nothing new is made from here on: the lock is never given back.
                let live = super::live();
                for path in live.iter() {
                    let _ = match path.is_dir() {
                        true => std::fs::remove_dir_all(path),
                        false => std::fs::remove_file(path),
                    };
                }
                let _ = emulate_default_handler(signal);
            }
        });
    }

    /// The set of ignored signals, a bit each, where the system tells (proc(5)).
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut lines = status.lines().filter_map(|line| line.strip_prefix("SigIgn:"));
        lines.next().and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod signals {
    /// There are none.
    pub(super) fn handle() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_made_here_are_swept() {
        for name in [".fixnet-AbC123.tmp", ".fixnet-abcdef.tmp"] {
            assert!(is_made_here(name.as_ref(), FILE_PREFIX, FILE_SUFFIX), "{name}");
        }
        for name in
            [".fixnet-.tmp", ".fixnet-abc.tmp", "fixnet-abcdef.tmp", ".fixnet-abcde/.tmp", "x"]
        {
            assert!(!is_made_here(name.as_ref(), FILE_PREFIX, FILE_SUFFIX), "{name}");
        }
    }

    #[test]
    fn files_of_earlier_runs_go_and_those_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let used = Temporary::in_folder(folder.path(), 0o600).unwrap();
        let stale = folder.path().join(".fixnet-stale0.tmp");
        let others = folder.path().join(".fixnet-of-others.tmp");
        for path in [&stale, &others] {
            fs::write(path, "x").unwrap();
        }
        drop(Temporary::in_folder(folder.path(), 0o600).unwrap());
        assert!(!stale.exists() && others.exists() && used.path().exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }

    #[test]
    fn folders_of_earlier_runs_go_and_those_in_use_stay() {
        let parent = tempfile::tempdir().unwrap();
        let used = ScratchFolder::in_folder(parent.path()).unwrap();
        let [stale, others] =
            ["fixnet-stale0", "fixnet-other0"].map(|name| parent.path().join(name));
        for path in [&stale, &others] {
            fs::create_dir(path).unwrap();
        }
        fs::write(stale.join(LOCK), "").unwrap();
        fs::write(stale.join("model"), "x").unwrap();
        drop(ScratchFolder::in_folder(parent.path()).unwrap());
        assert!(!stale.exists() && others.exists() && used.path().exists());
    }
}
