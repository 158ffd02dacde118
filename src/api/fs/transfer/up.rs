//! To the sandbox.

use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::scratch::{SHORT, Scratch};
use super::{Tally, Transfer, Transferred, local};
use crate::api::fs::{Fs, FsEntryType, is_missing};
use crate::error::{Error, ErrorKind, Result};

/// Half of what the server takes at once.
const PART: usize = 1024 * 1024;
/// Copies a part to its place, and deletes the one before, which nobody copies any more.
const COPY: &str =
    r#"rm -f "part.$(($1 - 1))"; exec dd if="part.$1" of=whole bs="$2" seek="$1" conv=notrunc"#;
/// Gives what was put together a name under which no late copy writes, and takes the parts from those that come.
const READY: &str = r#"rm -f part.*; test -e ready || mv -f whole ready; exec sha256sum < ready"#;

impl Fs {
    /// Writes all that a reader gives into a file in the sandbox, of any size, with 1 MiB of it in memory.
    ///
    /// The file is there at once when all of it is, its SHA-256 compared; a file that was there is replaced. Until
    /// then it is in a folder beside it, which is deleted however this ends. Needs `dd`, `sh`, `mv`, `rm` and `sha256sum`
    /// in the sandbox. Each part is bounded as a [`write`](Self::write), the comparison by 300 s.
    pub async fn upload(
        &self,
        reader: impl AsyncRead + Send + Unpin,
        path: &str,
        transfer: Transfer,
    ) -> Result<Transferred> {
        self.upload_sized(reader, path, None, transfer).await
    }

    /// [Uploads](Self::upload) a file of this machine, with its permissions.
    pub async fn upload_file(
        &self,
        from: impl AsRef<Path>,
        path: &str,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let from = from.as_ref();
        let unread = |error| local("read", from, error);
        let file = File::open(from).await.map_err(unread)?;
        let metadata = file.metadata().await.map_err(unread)?;
        if !metadata.is_file() {
            return Err(Error::invalid(format!("{} is no file", from.display())));
        }
        #[cfg(unix)]
        if transfer.mode.is_none() {
            use std::os::unix::fs::PermissionsExt;
            transfer.mode = Some(metadata.permissions().mode() & 0o777);
        }
        transfer.check_size(metadata.len())?;
        self.upload_sized(file, path, Some(metadata.len()), transfer).await
    }

    pub(super) async fn upload_sized(
        &self,
        mut reader: impl AsyncRead + Send + Unpin,
        path: &str,
        total: Option<u64>,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let fs = self.patient();
        match fs.stat(path).await {
            Ok(stat) if stat.entry_type == FsEntryType::Directory => {
                return Err(Error::invalid(format!("{path:?} is a folder in the sandbox; name a file")));
            }
            Ok(_) => {}
            Err(error) if is_missing(&error) => {}
            // What is not known to be no folder might be one, into which the file would go.
            Err(error) => return Err(error),
        }
        let scratch = Scratch::beside(&fs, path).await?;
        let mut tally = Tally::default();
        loop {
            let part = read_part(&mut reader).await?;
            if part.is_empty() {
                break;
            }
            let (index, last) = (tally.bytes / PART as u64, part.len() < PART);
            tally.add(&part);
            transfer.check_size(tally.bytes)?;
            fs.write(&scratch.file(&format!("part.{index}")), part).await?;
            scratch.script(COPY, &[&index.to_string(), &PART.to_string()], SHORT).await?;
            transfer.carried(tally.bytes, total);
            if last {
                break;
            }
        }
        if tally.bytes == 0 {
            fs.write(&scratch.file("whole"), "").await?;
        }
        let done = tally.done();
        let theirs = scratch.printed_sha256(READY, &[]).await?;
        if theirs != done.sha256 {
            let message = format!("{path:?} is another file in the sandbox than was sent: SHA-256 {theirs}");
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        if let Some(mode) = transfer.mode {
            scratch.run("chmod", &[&format!("{mode:o}"), "ready"], SHORT).await?;
        }
        scratch.move_to("ready", &format!("../{}", name(path))).await?;
        scratch.remove().await;
        Ok(done)
    }
}

/// The last name of a path; [`Scratch::beside`] has seen that there is one.
pub(super) fn name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// A whole part, or what is left.
async fn read_part(reader: &mut (impl AsyncRead + Send + Unpin)) -> Result<Vec<u8>> {
    let mut part = Vec::new();
    reader.take(PART as u64).read_to_end(&mut part).await.map_err(|error| {
        Error::new(ErrorKind::Io, "what is to be uploaded can't be read").with_source(error)
    })?;
    Ok(part)
}
