//! Where the agent keeps what was said in its sessions.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The lines of each session, for the process that opens it next.
pub(crate) enum Archive {
    /// As long as somebody holds the archive.
    Memory(Mutex<HashMap<String, Vec<u8>>>),
    /// In a file for each session.
    Folder(PathBuf),
}

impl Archive {
    pub(crate) fn in_memory() -> Self {
        Self::Memory(Mutex::default())
    }

    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self::Folder(folder.to_owned()))
    }

    /// Adds whole lines to a session, which is known from then on.
    pub(super) fn append(&self, session: &str, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(sessions) => {
                let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                match sessions.get_mut(session) {
                    Some(known) => known.extend_from_slice(lines),
                    None => drop(sessions.insert(session.to_owned(), lines.to_vec())),
                }
                Ok(())
            }
            Self::Folder(folder) => {
                let path = file(folder, session).ok_or(ErrorKind::InvalidInput)?;
                OpenOptions::new().create(true).append(true).open(path)?.write_all(lines)
            }
        }
    }

    /// All lines of a session, half a line of a killed process among them; `None` for a session
    /// that is not known.
    pub(super) fn read(&self, session: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Memory(sessions) => {
                let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(sessions.get(session).cloned())
            }
            Self::Folder(folder) => file(folder, session).map_or(Ok(None), |path| closed(&path)),
        }
    }

    /// The ids of all sessions that are known.
    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut ids: Vec<String> = match self {
            Self::Memory(sessions) => {
                let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions.keys().cloned().collect()
            }
            Self::Folder(folder) => {
                let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
                let names = names.collect::<io::Result<Vec<_>>>()?;
                let ids = names.into_iter().flatten();
                ids.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect()
            }
        };
        ids.sort();
        Ok(ids)
    }

    /// Forgets a session; one that is not known is forgotten already.
    pub(super) fn delete(&self, session: &str) -> io::Result<()> {
        match self {
            Self::Memory(sessions) => {
                sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
                Ok(())
            }
            Self::Folder(folder) => match file(folder, session).map(fs::remove_file) {
                Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

/// The file of a session; `None` for an id that could lead out of the folder.
fn file(folder: &Path, session: &str) -> Option<PathBuf> {
    let is_plain = session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain.then(|| folder.join(format!("{session}.jsonl")))
}

/// A process that was killed may have left half a line. It gets an end, so that the next line
/// does not continue it. Nothing is cut off: the other process may still be at it.
fn closed(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let lines = match fs::read(path) {
        Ok(lines) => lines,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        OpenOptions::new().append(true).open(path)?.write_all(b"\n")?;
    }
    Ok(Some(lines))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_never_continued() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::in_folder(folder.path()).unwrap();
        archive.append("a-1", b"one\ntw").unwrap();
        for _ in 0..2 {
            archive.read("a-1").unwrap();
        }
        archive.append("a-1", b"three\n").unwrap();
        assert_eq!(archive.read("a-1").unwrap().unwrap(), b"one\ntw\nthree\n");
    }

    #[test]
    fn an_id_never_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::in_folder(&folder.path().join("sessions")).unwrap();
        fs::write(folder.path().join("secret.jsonl"), "one\n").unwrap();
        assert_eq!(archive.read("../secret").unwrap(), None);
        assert_eq!(archive.append("../secret", b"x\n").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
