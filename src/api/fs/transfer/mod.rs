//! Files and folders of any size, to and from the sandbox.
//!
//! The server takes 2 MiB at once. So a file goes in parts, which `dd` puts together in the sandbox, and comes in
//! parts that `dd` cuts; `sha256sum` says whether it is whole, and a move puts it in its place at once. Folders go as
//! `tar` archives. A part that was not answered is sent again: the same bytes to the same place.
//!
//! What was asked for and not answered may still be done later, beside what is asked for next. So each part has a name
//! of its own, and what takes longer is made under a name of its own each time.

mod archive;
mod down;
mod folder;
mod part;
mod paths;
mod scratch;
mod up;

#[cfg(all(unix, any(test, fuzzing)))]
pub use archive::fuzzing::archives;
pub(crate) use part::PartFile;

use std::fmt;

use sha2::{Digest, Sha256};

use super::Fs;
use crate::api::retry::patient;
use crate::error::{Delivery, Error, ErrorKind, Result};

/// How a file or a folder is carried.
///
/// A connection that breaks costs the part that was on its way: it is sent again, as often as it takes, while the server
/// is away for less than [`Limits::reconnect`](crate::Limits::reconnect), which counts from when the connection broke. No
/// try of one part begins after [`Limits::transfer`](crate::Limits::transfer).
///
/// ```
/// use sandbox_agent_sdk::api::fs::Transfer;
///
/// let transfer = Transfer::new().mode(0o755).progress(|progress| println!("{progress}"));
/// # let _ = transfer;
/// ```
#[derive(Default)]
pub struct Transfer {
    progress: Option<Box<dyn FnMut(TransferProgress) + Send>>,
    mode: Option<u32>,
    most_bytes: Option<u64>,
    most_entries: Option<usize>,
}

/// As much as an agent's workspace has; more is asked for by name.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// A large repository with its dependencies has so many.
const MOST_ENTRIES: usize = 200_000;

impl Transfer {
    /// Without progress, within 4 GiB and 200,000 entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to call after each part, on the task that carries: it should return soon.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(TransferProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The permissions of a file that is uploaded, such as `0o755`. Those of the local file unless set, or the
    /// server's default where there is none.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// How many bytes may be carried; 4 GiB unless set. More fails with [`TooLarge`](ErrorKind::TooLarge), and leaves
    /// nothing.
    #[must_use]
    pub fn most_bytes(mut self, bytes: u64) -> Self {
        self.most_bytes = Some(bytes);
        self
    }

    /// How many files, folders and links a folder may have; 200,000 unless set.
    #[must_use]
    pub fn most_entries(mut self, entries: usize) -> Self {
        self.most_entries = Some(entries);
        self
    }

    pub(crate) fn carried(&mut self, bytes: u64, total: Option<u64>) {
        if let Some(progress) = &mut self.progress {
            progress(TransferProgress { bytes, total });
        }
    }

    pub(crate) fn check_size(&self, bytes: u64) -> Result<()> {
        let most = self.most_bytes.unwrap_or(MOST_BYTES);
        if bytes <= most {
            return Ok(());
        }
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let message = format!("there are more than the {most} bytes that may be carried; allow more");
        Err(Error::new(ErrorKind::TooLarge { limit }, message))
    }

    fn bounds(&self) -> archive::Bounds {
        archive::Bounds {
            bytes: self.most_bytes.unwrap_or(MOST_BYTES),
            entries: self.most_entries.unwrap_or(MOST_ENTRIES),
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("mode", &self.mode)
            .field("most_bytes", &self.most_bytes)
            .field("most_entries", &self.most_entries)
            .finish_non_exhaustive()
    }
}

/// How far a transfer is. Of a folder it is its archive that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferProgress {
    /// Bytes that were carried.
    pub bytes: u64,
    /// All that there are, where that is known.
    pub total: Option<u64>,
}

impl fmt::Display for TransferProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total {
            Some(total) => write!(f, "{} of {total} bytes", self.bytes),
            None => write!(f, "{} bytes", self.bytes),
        }
    }
}

/// What was carried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal. That of a file or a folder is the same on both sides.
    pub sha256: String,
}

/// Refuses an archive of somebody's that leads out of the folder that it is to be unpacked into.
pub(super) fn look_at(archive: &[u8]) -> Result<()> {
    let looked = archive::look_at(archive, |_, _| Ok(())).map_err(|error| match error.kind() {
        ErrorKind::Io => Error::invalid("this is no archive of tar's").with_source(error),
        _ => error,
    });
    looked.map_err(|error| error.with_delivery(Delivery::NotSent))
}

impl Fs {
    /// The same for a transfer. All that it asks for can be asked for again, and starting over is dear: so the count of
    /// tries doesn't end it, but the time that the server may be away.
    fn patient(&self) -> Self {
        let mut fs = self.clone();
        fs.api.limits = patient(&fs.api.limits);
        fs
    }
}

/// Counts and hashes what goes by.
#[derive(Default)]
pub(crate) struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.hash.update(part);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn done(self) -> Transferred {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Transferred { bytes: self.bytes, sha256 }
    }
}

/// A file of this machine that could not be read or written.
fn local(what: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{} can't be {what}", path.display())).with_source(error)
}
