//! A folder with the folders in it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

use super::{Fs, FsEntry, FsEntryType};
use crate::error::Result;
use crate::http::Problem;

impl Fs {
    /// What is in a folder and in the folders in it, `depth` levels of them: 1 is the folder itself, as
    /// [`entries`](Self::entries) has it. A folder comes before what is in it; links are not followed.
    ///
    /// A folder that goes while the stream is read is passed over. Each step is bounded as a call; at any time
    /// only one folder's entries, and the names of folders to come, are in memory.
    pub fn walk(&self, path: impl Into<String>, depth: usize) -> FsWalk {
        let walk = Walk {
            fs: self.clone(),
            ready: VecDeque::new(),
            folders: if depth == 0 { Vec::new() } else { vec![(path.into(), 1)] },
            depth,
        };
        let entries =
            stream::try_unfold(
                walk,
                |mut walk| async move { Ok(walk.next().await?.map(|entry| (entry, walk))) },
            );
        FsWalk { entries: entries.boxed() }
    }
}

struct Walk {
    fs: Fs,
    ready: VecDeque<FsEntry>,
    /// Those to read, the next one last, with their levels.
    folders: Vec<(String, usize)>,
    depth: usize,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<FsEntry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let Some((path, level)) = self.folders.pop() else { return Ok(None) };
            let mut entries = match self.fs.entries(&path).await {
                Ok(entries) => entries,
                Err(error) if level > 1 && error.problem().is_some() && self.is_gone(&path).await => continue,
                Err(error) => return Err(error),
            };
            entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            if level < self.depth {
                let folders = entries.iter().rev().filter(|entry| entry.entry_type == FsEntryType::Directory);
                self.folders.extend(folders.map(|folder| (folder.path.clone(), level + 1)));
            }
            self.ready = entries.into();
        }
    }

    /// Whether it is no folder any more. The server's refusals don't tell that from others.
    async fn is_gone(&self, path: &str) -> bool {
        match self.fs.stat(path).await {
            Ok(stat) => stat.entry_type != FsEntryType::Directory,
            Err(error) => error.problem().is_some_and(Problem::is_the_servers),
        }
    }
}

/// The entries below a folder: a `Stream`. After an error it is over.
#[must_use = "nothing is read before it is polled"]
pub struct FsWalk {
    entries: BoxStream<'static, Result<FsEntry>>,
}

impl fmt::Debug for FsWalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsWalk").finish_non_exhaustive()
    }
}

impl Stream for FsWalk {
    type Item = Result<FsEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.entries.poll_next_unpin(cx)
    }
}
