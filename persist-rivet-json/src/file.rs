//! Reading a file, and putting another one in its place.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sandbox_agent_persist::{PersistError, PersistErrorKind};

/// How long another process may take for its save.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells a file from every other one that was in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino()),
        }
    }

    /// That of the file which is there now.
    fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The file that the path leads to; the path itself where that is nothing yet.
pub(crate) fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

pub(crate) fn read(path: &Path) -> Result<Option<(String, Version)>, PersistError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "can't be opened", error)),
    };
    let mut bytes = Vec::new();
    let metadata = file.read_to_end(&mut bytes).and_then(|_| file.metadata());
    let metadata = metadata.map_err(|error| failed(path, "can't be read", error))?;
    let text = String::from_utf8(bytes).map_err(|error| torn(path, error))?;
    Ok(Some((text, Version::of(&metadata))))
}

/// Puts the text in the place of the known version, on the disk when it returns.
pub(crate) fn replace(path: &Path, text: &str, known: &mut Option<Version>) -> Result<(), PersistError> {
    let lock = lock(path)?;
    let there = Version::at(path).map_err(|error| failed(path, "can't be looked at", error))?;
    if there != *known {
        return Err(PersistError::new(
            PersistErrorKind::Fenced,
            format!(
                "{} was changed by another program, or opened again, since it was opened here; it is left as it is: open it again",
                path.display()
            ),
        ));
    }
    let new = beside(path, ".saving");
    let written = write(&new, text, path).map_err(|error| failed(&new, "can't be written", error))?;
    fs::rename(&new, path).map_err(|error| failed(path, "can't be replaced", error))?;
    *known = Some(written);
    sync_folder(path).map_err(|error| failed(path, "can't be brought to the disk", error))?;
    drop(lock);
    Ok(())
}

/// A new file that is on the disk, with the permissions of the one that it will replace.
fn write(new: &Path, text: &str, old: &Path) -> io::Result<Version> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(new)?;
    if let Ok(metadata) = fs::metadata(old) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(Version::of(&file.metadata()?))
}

/// Only one process looks at the file and replaces it at a time. Freed when it is dropped, and when the
/// process ends.
fn lock(path: &Path) -> Result<File, PersistError> {
    let path = beside(path, ".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| failed(&path, "can't be opened", error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => {
                let message =
                    format!("{} is locked by another process that saves; try again", path.display());
                return Err(PersistError::new(PersistErrorKind::Unavailable, message));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, "can't be locked", error)),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The error of a file that holds no whole state.
pub(crate) fn torn(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> PersistError {
    PersistError::new(
        PersistErrorKind::Corrupt,
        format!(
            "{} is no whole state, which is a JSON object: {error}; it is left as it is: put a whole copy in its place, or move it away to begin anew",
            path.display()
        ),
    )
    .with_source(error)
}

fn failed(path: &Path, what: &str, error: io::Error) -> PersistError {
    let (kind, way_out) = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => (PersistErrorKind::Other, "its folder must exist"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (PersistErrorKind::Other, "make the file and its folder writable")
        }
        ErrorKind::IsADirectory => (PersistErrorKind::Other, "give the path of a file"),
        ErrorKind::Unsupported => (PersistErrorKind::Other, "put it on a local disk"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (PersistErrorKind::Unavailable, "make room"),
        _ => (PersistErrorKind::Unavailable, "try again"),
    };
    PersistError::new(kind, format!("{} {what}: {error}; {way_out}", path.display())).with_source(error)
}
