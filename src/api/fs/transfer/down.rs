//! From the sandbox.

use std::path::Path;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::part::PartFile;
use super::scratch::{SHORT, Scratch};
use super::{Tally, Transfer, Transferred};
use crate::api::fs::{Fs, FsEntryType};
use crate::error::{Error, ErrorKind, Result};

/// So much is in memory. Each part costs two calls and a program in the sandbox.
const PART: usize = 4 * 1024 * 1024;
/// Cuts a part out, which is there at once when all of it is, and deletes the one before, which nobody reads any more.
const CUT: &str = r#"rm -f "part.$(($1 - 1))"
dd if="$3" of="cut.$$" bs="$2" skip="$1" count=1 && exec mv -f "cut.$$" "part.$1""#;

impl Fs {
    /// Writes a file of the sandbox, of any size, into a writer, with 4 MiB of it in memory.
    ///
    /// Returns once all of it was written and flushed and its SHA-256 compared. A file that is changed meanwhile
    /// fails with [`Protocol`](ErrorKind::Protocol), as one that was not carried whole; the writer has then got some of
    /// it. Needs `dd`, `sh`, `mv`, `rm` and `sha256sum` in the sandbox, and room in its `/tmp` for two parts. Each part is
    /// bounded as a [`read`](Self::read), the comparison by 300 s.
    pub async fn download(
        &self,
        path: &str,
        mut writer: impl AsyncWrite + Send + Unpin,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let fs = self.patient();
        let stat = fs.stat(path).await?;
        if stat.entry_type == FsEntryType::Directory {
            return Err(Error::invalid(format!("{path:?} is a folder in the sandbox; download it as one")));
        }
        transfer.check_size(stat.size)?;
        let scratch = Scratch::anywhere(&fs).await?;
        let mut tally = Tally::default();
        loop {
            let part = fs.part(&scratch, &stat.path, tally.bytes / PART as u64).await?;
            tally.add(&part);
            transfer.check_size(tally.bytes)?;
            writer.write_all(&part).await.map_err(unwritten)?;
            if !part.is_empty() {
                transfer.carried(tally.bytes, Some(stat.size));
            }
            if part.len() < PART {
                break;
            }
        }
        writer.flush().await.map_err(unwritten)?;
        let done = tally.done();
        let theirs = scratch.sha256(&stat.path).await?;
        scratch.remove().await;
        if theirs != done.sha256 {
            let message = format!("{path:?} was changed while it was read: its SHA-256 is {theirs}");
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        Ok(done)
    }

    /// [Downloads](Self::download) into a file of this machine, which is there at once when all of it is; a file that
    /// was there is replaced.
    pub async fn download_file(
        &self,
        path: &str,
        to: impl AsRef<Path>,
        transfer: Transfer,
    ) -> Result<Transferred> {
        let mut part = PartFile::beside(to.as_ref()).await?;
        let done = self.download(path, part.writer(), transfer).await?;
        part.finish().await?;
        Ok(done)
    }

    async fn part(&self, scratch: &Scratch, path: &str, index: u64) -> Result<bytes::Bytes> {
        scratch.script(CUT, &[&index.to_string(), &PART.to_string(), path], SHORT).await?;
        self.read(&scratch.file(&format!("part.{index}"))).await
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "what was downloaded can't be written").with_source(error)
}
