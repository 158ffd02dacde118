//! A state in a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::file::{self, Version};
use crate::json::Members;
use crate::{ActorState, Content};

/// A state that is a JSON file, an object with the driver's member and any others.
///
/// It is durable: a save writes a new file beside it, brings that to the disk, and puts it in the place
/// of the old one, so that the file is whole at every moment. Its neighbours are that new file,
/// with `.saving` behind the name, which is left behind only by a process that died, and an empty one
/// with `.lock` behind the name. Many calls that write at once share a save.
///
/// The last one that was opened writes the file. A file that was changed since, by another
/// program or through another handle, is not written over: the call is a `Fenced` error.
///
/// # Errors
/// Each names the path and the way out. `Corrupt`: the file is torn, or is not a JSON object; it
/// stays as it is. `Unavailable`: the disk is full, or another process that saves did not come to its
/// end within 5 s. `Other`: the folder isn't there, or may not be written.
#[derive(Clone, Debug)]
pub struct FileState {
    path: Arc<Path>,
    known: Arc<Mutex<Option<Known>>>,
}

/// The file as it was last read or written here.
#[derive(Debug)]
struct Known {
    /// Where it really is, should the path be a link.
    target: PathBuf,
    version: Option<Version>,
    /// All members in their order; that of a driver may be out of date.
    members: Members,
}

impl FileState {
    /// A state in this file, which is made by the first save. Nothing is read yet.
    ///
    /// # Errors
    /// `Other`: it is no path of a file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, PersistError> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path).map_err(|error| {
            PersistError::new(
                PersistErrorKind::Other,
                format!("{path:?} is no path of a file: {error}; give the path of one"),
            )
            .with_source(error)
        })?;
        Ok(Self { path: absolute.into(), known: Arc::default() })
    }

    /// Runs what waits for the disk where that holds nobody up.
    async fn blocking<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Path, &mut Option<Known>) -> Result<T, PersistError> + Send + 'static,
    ) -> Result<T, PersistError> {
        let (path, known) = (self.path.clone(), self.known.clone());
        let done = tokio::task::spawn_blocking(move || {
            // What is known is replaced at once, and whole whatever panicked.
            what(&path, &mut known.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.unwrap_or_else(|error| {
            let message = format!("{}: the call was broken off: {error}", self.path.display());
            Err(PersistError::new(PersistErrorKind::Other, message).with_source(error))
        })
    }
}

#[async_trait]
impl ActorState for FileState {
    async fn read(&self, key: &str) -> Result<Option<String>, PersistError> {
        let key = key.to_owned();
        self.blocking(move |path, known| {
            let target = file::target(path);
            let (text, version) = file::read(&target)?.unzip();
            let mut members = match text {
                Some(text) => Members::read(&text).map_err(|error| file::torn(path, error))?,
                None => Members::default(),
            };
            let value = members.get(&key).map(|value| value.get().to_owned());
            members.forget(&key);
            *known = Some(Known { target, version, members });
            Ok(value)
        })
        .await
    }

    async fn save(&self, key: &str, content: &Content) -> Result<(), PersistError> {
        let (key, content) = (key.to_owned(), content.clone());
        self.blocking(move |path, known| {
            let Some(known) = known else {
                let message = format!("{} was not read; open a driver on it", path.display());
                return Err(PersistError::new(PersistErrorKind::Other, message));
            };
            let text = known.members.with(&key, &content.json());
            file::replace(&known.target, &text, &mut known.version)
        })
        .await
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
