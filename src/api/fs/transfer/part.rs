//! A file of this machine that is there at once when all of it is.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::local;
use crate::error::{Error, Result};

/// A file that is not whole yet, beside the one that it will be. It is deleted when this is dropped.
pub(crate) struct PartFile {
    /// Nowhere once the file is in its place.
    at: PathBuf,
    to: PathBuf,
    file: File,
}

impl PartFile {
    pub(crate) async fn beside(to: &Path) -> Result<Self> {
        let Some(name) = to.file_name() else {
            return Err(Error::invalid(format!("{} has no name that a file could have", to.display())));
        };
        let name = format!(".{}.{}", name.to_string_lossy(), uuid::Uuid::new_v4().simple());
        let at = to.with_file_name(name);
        let file = File::create_new(&at).await.map_err(|error| local("written", to, error))?;
        Ok(Self { at, to: to.to_owned(), file })
    }

    pub(crate) fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) async fn add(&mut self, bytes: &Bytes) -> Result<()> {
        self.file.write_all(bytes).await.map_err(|error| local("written", &self.to, error))
    }

    /// Puts it in its place, durably; what was there is replaced.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let unwritten = |error| local("written", &self.to, error);
        self.file.flush().await.map_err(unwritten)?;
        self.file.sync_all().await.map_err(unwritten)?;
        fs::rename(&self.at, &self.to).await.map_err(unwritten)?;
        self.at = PathBuf::new();
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.at.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.at);
        }
    }
}
