//! Who waits for events of which session, and the look-out for what other processes store.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::watch;

use crate::connect::open_reader;
use crate::error::{closed, sqlite};
use crate::work::last_index;

/// How often it is looked for commits of other processes while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An index that a session came to, or why that can't be known.
type News = Result<u64, Arc<PersistError>>;

/// Those who wait, on an open file.
pub(crate) struct Followers {
    path: Arc<Path>,
    patience: Duration,
    state: Mutex<State>,
    /// Somebody waits who did not before, or it is the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Each session that somebody waits for.
    sessions: HashMap<String, watch::Sender<News>>,
    /// Ends when the look-out has let go of the file; `None` before it was needed.
    look_out: Option<watch::Receiver<()>>,
    ended: bool,
}

impl Followers {
    pub(crate) fn new(path: Arc<Path>, patience: Duration) -> Self {
        Self { path, patience, state: Mutex::default(), changed: Condvar::new() }
    }

    /// From now on, what the session comes to is told.
    pub(crate) fn wait_for(self: &Arc<Self>, session_id: &str) -> Result<Waiting, PersistError> {
        let mut state = self.state();
        if state.ended {
            return Err(closed(&self.path));
        }
        if state.look_out.is_none() {
            state.look_out = Some(self.start_look_out()?);
        }
        let news = state.sessions.entry(session_id.to_owned()).or_insert_with(|| watch::Sender::new(Ok(0)));
        let news = news.subscribe();
        self.changed.notify_all();
        Ok(Waiting { followers: self.clone(), session_id: session_id.to_owned(), news: Some(news) })
    }

    /// Tells those who wait for one of these sessions which index is its next.
    pub(crate) fn tell(&self, next_indexes: &HashMap<String, u64>) {
        let state = self.state();
        if state.sessions.is_empty() {
            return;
        }
        for (session_id, next_index) in next_indexes {
            if let Some(news) = state.sessions.get(session_id) {
                tell(news, Ok(next_index - 1));
            }
        }
    }

    /// Refuses those who wait, and lets the look-out end.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.sessions.clear();
        self.changed.notify_all();
    }

    /// Ends it, and returns when the look-out has let go of the file.
    pub(crate) async fn close(&self) {
        self.end();
        let look_out = self.state().look_out.clone();
        if let Some(mut look_out) = look_out {
            let _ = look_out.changed().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so that a poisoned state is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_look_out(self: &Arc<Self>) -> Result<watch::Receiver<()>, PersistError> {
        let (ending, ended) = watch::channel(());
        let followers = self.clone();
        thread::Builder::new()
            .name("sqlite-follow".to_owned())
            .spawn(move || {
                followers.look_out();
                drop(ending);
            })
            .map_err(|error| self.blind(Arc::new(error)))?;
        Ok(ended)
    }

    fn look_out(&self) {
        let mut connection = None;
        while self.somebody_waits() {
            // A connection that broke is replaced once before anybody is told.
            let looked = self.look(&mut connection).or_else(|_| self.look(&mut connection));
            if let Err(error) = looked {
                let error = Arc::new(error);
                for news in self.state().sessions.values() {
                    tell(news, Err(error.clone()));
                }
            }
            let pause = |state: &mut State| !state.ended;
            drop(self.changed.wait_timeout_while(self.state(), LOOK_EVERY, pause));
        }
    }

    /// Sleeps until somebody waits; `false` at the end.
    fn somebody_waits(&self) -> bool {
        let idle = |state: &mut State| state.sessions.is_empty() && !state.ended;
        let state = self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        !state.ended
    }

    /// Tells of what was stored since the last look on this connection, by whomever.
    fn look(&self, place: &mut Option<(Connection, i64)>) -> Result<(), PersistError> {
        let (connection, seen) = match place.take() {
            Some((connection, seen)) => (connection, Some(seen)),
            None => (open_reader(&self.path, self.patience)?, None),
        };
        let version = connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(sqlite(&self.path))?;
        if seen != Some(version) {
            let sessions: Vec<_> = self.state().sessions.keys().cloned().collect();
            for session_id in sessions {
                let last = last_index(&connection, &session_id).map_err(sqlite(&self.path))?;
                if let Some(news) = self.state().sessions.get(&session_id) {
                    tell(news, Ok(last));
                }
            }
        }
        *place = Some((connection, version));
        Ok(())
    }

    fn blind<E>(&self, error: Arc<E>) -> PersistError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        PersistError::new(
            PersistErrorKind::Unavailable,
            format!("{}: it can't be seen what other processes store: {error}", self.path.display()),
        )
        .with_source(error)
    }
}

fn tell(waiting: &watch::Sender<News>, news: News) {
    // What they were told before.
    drop(waiting.send_replace(news));
}

/// Somebody who waits; none any more when it is dropped.
pub(crate) struct Waiting {
    followers: Arc<Followers>,
    session_id: String,
    /// `None` only while it is dropped.
    news: Option<watch::Receiver<News>>,
}

impl Waiting {
    /// Waits until the session has come to another index, which may be one that it had before.
    pub(crate) async fn next(&mut self) -> Result<u64, PersistError> {
        let ended = || closed(&self.followers.path);
        let news = self.news.as_mut().ok_or_else(ended)?;
        news.changed().await.map_err(|_| ended())?;
        let news = news.borrow_and_update().clone();
        news.map_err(|error| self.followers.blind(error))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.followers.state();
        self.news = None;
        if state.sessions.get(&self.session_id).is_some_and(|news| news.receiver_count() == 0) {
            state.sessions.remove(&self.session_id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(path: &Path) -> Arc<Followers> {
        Arc::new(Followers::new(path.into(), Duration::ZERO))
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_waited() {
        let folder = tempfile::tempdir().unwrap();
        let followers = of(&folder.path().join("sessions.db"));
        let mut waiting: Vec<_> =
            (0..9).map(|of| followers.wait_for(&format!("{}", of % 3)).unwrap()).collect();
        for left in [3, 3, 3, 3, 3, 3, 2, 1, 0] {
            drop(waiting.remove(0));
            assert_eq!(followers.state().sessions.len(), left);
        }
        followers.close().await;
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let followers = of(&folder.path().join("no such file"));
        let error = followers.wait_for("s").unwrap().next().await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains("no such file: it can't be seen"), "{error}");
        followers.close().await;
    }
}
