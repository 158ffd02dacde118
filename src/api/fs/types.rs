//! What goes to and comes from the server about files.

use serde::{Deserialize, Serialize};

use crate::api::values::{open_enum, options};

open_enum! {
    /// What a path is.
    FsEntryType {
        /// A file, or whatever else is no folder; in a listing also a link to a folder.
        File = "file",
        /// A folder.
        Directory = "directory",
    }
}

/// What a folder has in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its absolute path in the sandbox.
    pub path: String,
    /// What it is. A link is a file here, also one to a folder; [`stat`](super::Fs::stat) follows it.
    pub entry_type: FsEntryType,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed (RFC 3339).
    pub modified: Option<String>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsStat {
    /// Its absolute path in the sandbox.
    pub path: String,
    /// What it is, behind all links.
    pub entry_type: FsEntryType,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed (RFC 3339).
    pub modified: Option<String>,
}

/// A file or a folder to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsMoveRequest {
    /// Where it is.
    pub from: String,
    /// Where it is to be.
    pub to: String,
    /// Whether what is there may be replaced. A folder there goes with all that is in it.
    pub overwrite: Option<bool>,
}

impl FsMoveRequest {
    /// From one path to another, where nothing may be yet.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), overwrite: None }
    }

    options! {
        /// Whether what is there may be replaced. A folder there goes with all that is in it.
        overwrite: bool,
    }
}

/// Where something was, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsMoveResponse {
    /// Where it was.
    pub from: String,
    /// Where it is.
    pub to: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsWriteResponse {
    /// The file's absolute path in the sandbox.
    pub path: String,
    /// Its size in bytes.
    pub bytes_written: u64,
}

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FsUploadBatchResponse {
    /// Absolute paths of what was unpacked, the first 1,024.
    pub paths: Vec<String>,
    /// Whether there are more than are listed. All of them were unpacked.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FsActionResponse {
    pub(crate) path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FsPathQuery {
    pub(crate) path: String,
}

/// A folder; the server's home folder where none is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FsFolderQuery {
    pub(crate) path: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FsDeleteQuery {
    pub(crate) path: String,
    pub(crate) recursive: Option<bool>,
}
