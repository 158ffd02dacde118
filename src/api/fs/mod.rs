//! Files in the sandbox.

#[cfg(feature = "files")]
mod transfer;
mod types;
mod walk;

use bytes::Bytes;

#[cfg(all(unix, feature = "files", any(test, fuzzing)))]
#[doc(hidden)]
pub use transfer::archives;
#[cfg(feature = "files")]
pub(crate) use transfer::{PartFile, Tally};
#[cfg(feature = "files")]
pub use transfer::{Transfer, TransferProgress, Transferred};
pub use types::{
    FsEntry, FsEntryType, FsMoveRequest, FsMoveResponse, FsStat, FsUploadBatchResponse, FsWriteResponse,
};
pub use walk::FsWalk;

use types::{FsFolderQuery, FsPathQuery};

use super::ByteStream;
use super::call::{Api, Content, read};
use crate::error::{Delivery, Error, ErrorKind, Result};

pub(crate) mod operations {
    //! Where they are.

    use super::super::operation::{Octets, Operation};
    use super::types::*;

    pub(crate) const ENTRIES: Operation<FsFolderQuery, (), Vec<FsEntry>> = Operation::get("/v1/fs/entries");
    pub(crate) const READ: Operation<FsPathQuery, (), Octets> = Operation::get("/v1/fs/file");
    pub(crate) const WRITE: Operation<FsPathQuery, Octets, FsWriteResponse> = Operation::put("/v1/fs/file");
    pub(crate) const DELETE: Operation<FsDeleteQuery, (), FsActionResponse> =
        Operation::delete_once("/v1/fs/entry");
    pub(crate) const MKDIR: Operation<FsPathQuery, (), FsActionResponse> =
        Operation::post_idempotent("/v1/fs/mkdir");
    pub(crate) const MOVE: Operation<(), FsMoveRequest, FsMoveResponse> = Operation::post("/v1/fs/move");
    pub(crate) const STAT: Operation<FsPathQuery, (), FsStat> = Operation::get("/v1/fs/stat");
    pub(crate) const UPLOAD_BATCH: Operation<FsFolderQuery, Octets, FsUploadBatchResponse> =
        Operation::post("/v1/fs/upload-batch");
}

/// All that the server takes in one body.
pub(crate) const MAX_WRITE: usize = 2 * 1024 * 1024;

/// Files in the sandbox. A cheap clone.
///
/// A path that is not absolute is taken from the server's home folder. Each call is bounded by
/// [`Limits::call`](crate::Limits::call) a try, unless it says otherwise. What the server can't do is
/// [`Refused`](crate::ErrorKind::Refused): a path that isn't there with the code `invalid_request`, what the system
/// refuses with `stream_error`; the detail says which.
#[derive(Clone, Debug)]
pub struct Fs {
    pub(in crate::api) api: Api,
}

impl Fs {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }

    /// What is in a folder, in no order. [`walk`](Self::walk) goes deeper.
    pub async fn entries(&self, path: &str) -> Result<Vec<FsEntry>> {
        self.api.call(&operations::ENTRIES, &[], &folder(path), &()).await
    }

    /// What is at a path, behind all links.
    pub async fn stat(&self, path: &str) -> Result<FsStat> {
        self.api.call(&operations::STAT, &[], &at(path), &()).await
    }

    /// The content of a file.
    ///
    /// Fails with [`TooLarge`](ErrorKind::TooLarge) over [`Limits::answer_bytes`](crate::Limits::answer_bytes). Bounded
    /// by [`Limits::transfer`](crate::Limits::transfer).
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        let limit = self.api.limits.transfer;
        Ok(self.api.exchange(limit, &operations::READ, &[], &at(path), Content::default()).await?.into())
    }

    /// The content of a file, as it comes, of any size.
    pub async fn read_stream(&self, path: &str) -> Result<ByteStream> {
        self.api.download(&operations::READ, &[], &at(path)).await
    }

    /// Writes a file, whole, with its folders where they are missing; what was in it is replaced, not atomically.
    ///
    /// Takes 2 MiB, all that the server takes: more fails with [`TooLarge`](ErrorKind::TooLarge) before it is sent.
    /// Bounded by [`Limits::transfer`](crate::Limits::transfer).
    pub async fn write(&self, path: &str, content: impl Into<Bytes>) -> Result<FsWriteResponse> {
        let content = sized(path, content.into(), "application/octet-stream")?;
        let limit = self.api.limits.transfer;
        let answer = self.api.exchange(limit, &operations::WRITE, &[], &at(path), content).await?;
        read(&operations::WRITE, &answer)
    }

    /// Deletes a file, a link, or a folder: one that isn't empty only when `recursive`.
    ///
    /// A link to a folder needs `recursive` too; what it leads to stays. Never tried again.
    pub async fn delete(&self, path: &str, recursive: bool) -> Result<()> {
        let query = types::FsDeleteQuery { path: path.into(), recursive: Some(recursive) };
        self.api.call(&operations::DELETE, &[], &query, &()).await?;
        Ok(())
    }

    /// Makes a folder, with those above it; one that is there already is no error.
    pub async fn mkdir(&self, path: &str) -> Result<()> {
        self.api.call(&operations::MKDIR, &[], &at(path), &()).await?;
        Ok(())
    }

    /// Moves a file or a folder, and makes the folders above its new place. Never tried again.
    pub async fn move_entry(&self, request: &FsMoveRequest) -> Result<FsMoveResponse> {
        self.api.call(&operations::MOVE, &[], &(), request).await
    }

    /// Unpacks a tar archive, not compressed, into a folder, which is made where it is missing.
    ///
    /// With the feature `files`, the archive is looked at before it is sent: a path in it that is absolute or leads out
    /// of the folder, a link that does, a device or a pipe is [`UnsafePath`](ErrorKind::UnsafePath), by name. The server
    /// by itself refuses such paths alone, and keeps what it had unpacked before them; it writes through links that
    /// lead out, and makes empty files of devices.
    ///
    /// Takes 2 MiB, as [`write`](Self::write). Bounded by [`Limits::transfer`](crate::Limits::transfer). Never tried
    /// again.
    pub async fn upload_batch(&self, path: &str, tar: impl Into<Bytes>) -> Result<FsUploadBatchResponse> {
        let tar = tar.into();
        let content = sized(path, tar.clone(), "application/x-tar")?;
        #[cfg(feature = "files")]
        transfer::look_at(&tar)?;
        let limit = self.api.limits.transfer;
        let answer = self.api.exchange(limit, &operations::UPLOAD_BATCH, &[], &folder(path), content).await?;
        read(&operations::UPLOAD_BATCH, &answer)
    }
}

/// Whether the server itself says that nothing is at the path that it was asked about.
#[cfg(feature = "files")]
fn is_missing(error: &Error) -> bool {
    // Of a call that it doesn't know it says the same with a 404.
    error.problem().is_some_and(|problem| {
        problem.is_the_servers() && problem.status == 400 && problem.code() == "invalid_request"
    })
}

/// A body that the server takes; what is larger is refused before it is sent.
fn sized(path: &str, content: Bytes, kind: &'static str) -> Result<Content> {
    if content.len() <= MAX_WRITE {
        return Ok(Content::new(content, kind));
    }
    let message = format!(
        "{path:?}: {} bytes are more than the {MAX_WRITE} that the server takes at once",
        content.len()
    );
    Err(Error::new(ErrorKind::TooLarge { limit: MAX_WRITE }, message).with_delivery(Delivery::NotSent))
}

fn folder(path: &str) -> FsFolderQuery {
    FsFolderQuery { path: Some(path.to_owned()) }
}

fn at(path: &str) -> FsPathQuery {
    FsPathQuery { path: path.to_owned() }
}
