//! Folders, both ways.

use std::path::{Path, PathBuf};

use tokio::fs::File;

use super::scratch::{LONG, Scratch};
use super::up::name;
use super::{Tally, Transfer, Transferred, archive, local};
use crate::api::fs::{Fs, FsEntryType, MAX_WRITE, is_missing};
use crate::error::{Error, ErrorKind, Result};

/// Packs a folder, and says as what: two that are at work at once have two names.
const PACK: &str = r#"tar -c -f "$$.tar" -C "$1" . && echo "$$.tar""#;
/// Unpacks the archive into a folder, and says which. With the permissions that it has, whatever the sandbox takes from
/// new files, and without its owners, whom the sandbox doesn't know.
const UNPACK: &str = r#"mkdir "tree.$$" && tar -x -p -o -f whole.tar -C "tree.$$" && echo "tree.$$""#;

impl Fs {
    /// Puts a folder of this machine, with all that is in it, into the sandbox, where nothing may be yet.
    ///
    /// It is there at once when all of it is. What is in it keeps its permissions, links inside of it stay links;
    /// one that leads out of it, a device, a pipe or a socket is [`UnsafePath`](ErrorKind::UnsafePath), by name, before
    /// anything is sent. An archive of up to 2 MiB is unpacked by the server; a larger one needs `tar` in the sandbox,
    /// and what [`upload`](Self::upload) needs. The archive is in a file of this machine meanwhile, not in memory. Bounded
    /// as that, and unpacking by 300 s.
    pub async fn upload_dir(
        &self,
        from: impl AsRef<Path>,
        path: &str,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let fs = self.patient();
        match fs.stat(path).await {
            Ok(_) => {
                let message = format!("{path:?} is there already; delete it, or name another folder");
                return Err(Error::invalid(message));
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        let packed = LocalScratch::in_temp()?;
        let (folder, archive, bounds) = (from.as_ref().to_owned(), packed.0.join("whole"), transfer.bounds());
        let packing = archive.clone();
        self.apart(move || {
            let file =
                std::fs::File::create_new(&packing).map_err(|error| local("written", &packing, error))?;
            archive::pack(&folder, &file, bounds)
        })
        .await?;
        let unread = |error| local("read", &archive, error);
        let file = File::open(&archive).await.map_err(unread)?;
        let size = file.metadata().await.map_err(unread)?.len();
        // An archive is somewhat larger than what is in it, of which the bounds are.
        transfer.most_bytes = Some(u64::MAX);
        let scratch = Scratch::beside(&fs, path).await?;
        let (tree, done) = if size <= MAX_WRITE as u64 {
            let content = tokio::fs::read(&archive).await.map_err(unread)?;
            let mut tally = Tally::default();
            tally.add(&content);
            let tree = scratch.unpack(content.into()).await?;
            transfer.carried(size, Some(size));
            (tree, tally.done())
        } else {
            let done = fs.upload_sized(file, &scratch.file("whole.tar"), Some(size), transfer).await?;
            (scratch.script(UNPACK, &[], LONG).await?, done)
        };
        let target = format!("{}/../{}", scratch.path(), name(path));
        scratch.move_folder_to(tree.trim_end(), &target).await?;
        scratch.remove().await;
        Ok(done)
    }

    /// Puts a folder of the sandbox, with all that is in it, onto this machine, where nothing may be yet.
    ///
    /// It is there at once when all of it is. What is in it keeps its permissions, but those that would have a file run
    /// as somebody else. What the sandbox says is not trusted: a path that is absolute or leads out of the folder, a
    /// link that does, a device or a pipe is [`UnsafePath`](ErrorKind::UnsafePath), by name, and leaves nothing; the
    /// [bounds](Transfer::most_bytes) hold for what is unpacked, and of names before an entry 1 MiB is read: more is
    /// [`TooLarge`](ErrorKind::TooLarge). Needs `tar` in the sandbox, and what
    /// [`download`](Self::download) needs. Bounded as that, and packing by 300 s.
    pub async fn download_dir(
        &self,
        path: &str,
        to: impl AsRef<Path>,
        mut transfer: Transfer,
    ) -> Result<Transferred> {
        let to = to.as_ref().to_owned();
        if to.symlink_metadata().is_ok() {
            let message = format!("{} is there already; delete it, or name another folder", to.display());
            return Err(Error::invalid(message));
        }
        let fs = self.patient();
        let stat = fs.stat(path).await?;
        if stat.entry_type != FsEntryType::Directory {
            return Err(Error::invalid(format!("{path:?} is no folder in the sandbox")));
        }
        let local_scratch = LocalScratch::beside(&to)?;
        let scratch = Scratch::anywhere(&fs).await?;
        let packed = scratch.script(PACK, &[&stat.path], LONG).await?;
        let bounds = transfer.bounds();
        // Each entry has a head of 512 bytes, is filled up to as much, and may have a long name before it.
        let overhead = u64::try_from(bounds.entries).unwrap_or(u64::MAX).saturating_mul(4 * 1024);
        transfer.most_bytes = Some(bounds.bytes.saturating_add(overhead).saturating_add(64 * 1024));
        let archive = local_scratch.0.join("whole.tar");
        let done = fs.download_file(&scratch.file(packed.trim_end()), &archive, transfer).await?;
        scratch.remove().await;
        self.apart(move || {
            let tree = local_scratch.0.join("tree");
            std::fs::create_dir(&tree).map_err(|error| local("made", &tree, error))?;
            archive::unpack(&archive, &tree, bounds)?;
            std::fs::rename(&tree, &to).map_err(|error| local("made", &to, error))
        })
        .await?;
        Ok(done)
    }

    /// Work with files of this machine, on a thread that may wait.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let task = self.api.runtime.spawn_blocking(work);
        task.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Io, "the work on the folder broke off").with_source(error))
        })
    }
}

/// A folder of our own on this machine. It is deleted when this is dropped.
struct LocalScratch(PathBuf);

impl LocalScratch {
    fn in_temp() -> Result<Self> {
        Self::make(std::env::temp_dir().join(format!("sandbox-agent.{}", uuid::Uuid::new_v4().simple())))
    }

    fn beside(to: &Path) -> Result<Self> {
        let Some(name) = to.file_name() else {
            return Err(Error::invalid(format!("{} has no name that a folder could have", to.display())));
        };
        let name = format!(".{}.{}", name.to_string_lossy(), uuid::Uuid::new_v4().simple());
        Self::make(to.with_file_name(name))
    }

    fn make(path: PathBuf) -> Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| local("made", &path, error))?;
        Ok(Self(path))
    }
}

impl Drop for LocalScratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
