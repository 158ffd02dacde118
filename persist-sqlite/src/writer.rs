//! The writing thread: one transaction for all that waits.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, TransactionBehavior};
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::SqliteOptions;
use crate::call::{Answer, Call, call};
use crate::connect;
use crate::error::closed;
use crate::followers::Followers;
use crate::pace::Pace;
use crate::stats::Counters;
use crate::vacuum::vacuum;
use crate::work::{Failure, Work};

/// Calls that may wait in the channel, and so about the most that share a transaction.
const WAITING: usize = 256;

/// Bytes after which a transaction takes no more calls, some thousand small events: enough that the disk
/// is reached seldom, and few enough that nobody, in whatever process, waits long for its end.
const BYTES: usize = 2 * 1024 * 1024;

enum Job {
    Call(Box<dyn Call>),
    Vacuum(oneshot::Sender<Result<(), PersistError>>),
    Close,
}

/// The way to the writing thread, which ends when the last one is dropped and all is written.
pub(crate) struct Writer {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    /// Says no word, and ends when the thread has let go of the file.
    ended: watch::Receiver<()>,
    pub(crate) counters: Arc<Counters>,
}

impl Writer {
    /// Opens the file on a thread of its own and returns when its tables are ready.
    pub(crate) async fn open(
        path: Arc<Path>,
        options: &SqliteOptions,
        followers: Arc<Followers>,
    ) -> Result<Self, PersistError> {
        let (jobs, queue) = mpsc::channel(WAITING);
        let (opened, ready) = oneshot::channel();
        let (ending, ended) = watch::channel(());
        let counters = Arc::<Counters>::default();
        let patience = options.busy_timeout;
        let (file, counted) = (path.clone(), counters.clone());
        thread::Builder::new()
            .name("persist-sqlite".to_owned())
            .spawn(move || match connect::open_writer(&file, patience) {
                Ok(connection) => {
                    if opened.send(Ok(())).is_ok() {
                        let thread = WriterThread {
                            path: file,
                            connection,
                            followers,
                            counters: counted,
                            pace: Pace::default(),
                            waiting: VecDeque::new(),
                        };
                        thread.run(queue);
                        drop(ending);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|error| {
                let message = format!("no thread to write {}: {error}", path.display());
                PersistError::new(PersistErrorKind::Unavailable, message).with_source(error)
            })?;
        ready.await.map_err(|_| closed(&path))??;
        Ok(Self { path, jobs, ended, counters })
    }

    /// Returns when it is on the disk. `size` is about how many bytes that are.
    pub(crate) async fn write<T, W>(&self, size: usize, write: W) -> Result<T, PersistError>
    where
        T: Send + 'static,
        W: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (call, answer) = call(size, write);
        self.ask(Job::Call(call), answer).await
    }

    /// Returns when the room of what was deleted is given back.
    pub(crate) async fn vacuum(&self) -> Result<(), PersistError> {
        let (answered, answer) = oneshot::channel();
        self.ask(Job::Vacuum(answered), answer).await
    }

    async fn ask<T>(&self, job: Job, answer: Answer<T>) -> Result<T, PersistError> {
        self.jobs.send(job).await.map_err(|_| closed(&self.path))?;
        answer.await.map_err(|_| closed(&self.path))?
    }

    /// Returns when all that waits is written and the file is let go of.
    pub(crate) async fn close(&self) {
        // Both fail only because another has closed it: just as well.
        let _ = self.jobs.send(Job::Close).await;
        let _ = self.ended.clone().changed().await;
    }
}

struct WriterThread {
    path: Arc<Path>,
    connection: Connection,
    followers: Arc<Followers>,
    counters: Arc<Counters>,
    pace: Pace,
    /// What was taken from the queue and is not done yet, in its order.
    waiting: VecDeque<Job>,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while self.await_job(&mut queue) {
            let waiting = &mut self.waiting;
            self.pace.gather(|| {
                take_waiting(&mut queue, waiting);
                waiting.len()
            });
            let group = self.group();
            if !group.is_empty() {
                self.write(group);
            }
            match self.waiting.pop_front() {
                Some(Job::Vacuum(answer)) => drop(answer.send(vacuum(&self.connection, &self.path))),
                Some(Job::Close) => queue.close(),
                Some(call) => self.waiting.push_front(call),
                None => {}
            }
        }
        // The last connection of all takes the WAL into the file; an error leaves it to the next.
        let _ = self.connection.close();
    }

    /// Returns when there is something to do; `false` when there never will be.
    fn await_job(&mut self, queue: &mut mpsc::Receiver<Job>) -> bool {
        if self.waiting.is_empty() {
            self.waiting.extend(queue.blocking_recv());
        }
        !self.waiting.is_empty()
    }

    /// The calls that are written next: those at the front, as far as one transaction takes them.
    fn group(&mut self) -> Vec<Box<dyn Call>> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < WAITING && bytes < BYTES {
            match self.waiting.pop_front() {
                Some(Job::Call(call)) => {
                    bytes += call.size();
                    group.push(call);
                }
                Some(other) => {
                    self.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        group
    }

    fn write(&mut self, mut group: Vec<Box<dyn Call>>) {
        match self.transaction(&mut group) {
            Ok(()) => {
                for call in group {
                    call.answer(&self.path, Ok(()));
                }
            }
            // Nothing of the group is stored. One of them may be the cause: let each try alone.
            Err(error) if group.len() > 1 && !is_busy(&error) => {
                for alone in group {
                    self.write(vec![alone]);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for call in group {
                    call.answer(&self.path, Err(error.clone()));
                }
            }
        }
    }

    fn transaction(&mut self, group: &mut [Box<dyn Call>]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let began = Instant::now();
        let mut work = Work::new(&transaction, &self.path);
        for call in group.iter_mut() {
            call.run(&mut work)?;
        }
        let next_indexes = work.next_indexes();
        transaction.commit()?;
        self.counters.committed(group.len());
        self.pace.wrote(group.len(), began.elapsed());
        self.followers.tell(&next_indexes);
        Ok(())
    }
}

fn take_waiting(queue: &mut mpsc::Receiver<Job>, waiting: &mut VecDeque<Job>) {
    while waiting.len() < WAITING
        && let Ok(job) = queue.try_recv()
    {
        waiting.push_back(job);
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::slice;
    use std::time::Duration;

    use sandbox_agent_persist::{Inserted, RawValue, Sender, SessionEvent};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;

    async fn open() -> (TempDir, Arc<Writer>) {
        let folder = tempfile::tempdir().unwrap();
        let path: Arc<Path> = folder.path().join("sessions.db").into();
        let followers = Arc::new(Followers::new(Arc::clone(&path), Duration::ZERO));
        let writer = Writer::open(path, &SqliteOptions::new(), followers).await.unwrap();
        (folder, Arc::new(writer))
    }

    async fn insert(
        writer: &Writer,
        session_id: &str,
        index: u64,
        id: &str,
    ) -> Result<Inserted, PersistError> {
        let payload = RawValue::NULL.to_owned();
        let event = SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload);
        let session_id = session_id.to_owned();
        writer.write(1, move |work| work.insert(None, &session_id, slice::from_ref(&event))).await
    }

    /// Lets nobody else write until it is rolled back.
    fn block(writer: &Writer) -> Connection {
        let other = Connection::open(&writer.path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    #[tokio::test]
    async fn inserts_at_once_share_their_commits() {
        let (_folder, writer) = open().await;
        let mut inserts = JoinSet::new();
        for number in 0..64 {
            let writer = writer.clone();
            let session_id = format!("session {number}");
            inserts.spawn(async move { insert(&writer, &session_id, 1, &session_id).await });
        }
        for inserted in inserts.join_all().await {
            assert_eq!(inserted.unwrap(), Inserted::Stored);
        }
        let commits = writer.counters.read().commits;
        assert!((1..=16).contains(&commits), "{commits} commits");
    }

    #[tokio::test]
    async fn each_insert_of_a_group_has_its_own_outcome() {
        let (_folder, writer) = open().await;
        let first = insert(&writer, "s", 1, "first").await;
        assert_eq!(first.unwrap(), Inserted::Stored);
        let other = block(&writer);
        let calls = [
            ("s", 2, "second", Inserted::Stored),
            ("s", 2, "late", Inserted::Conflict { next_index: 3 }),
            ("s", 3, "first", Inserted::Duplicate),
            ("t", 1, "alone", Inserted::Stored),
            ("s", 3, "third", Inserted::Stored),
        ];
        let (got, ()) = tokio::join!(
            async {
                let writes = calls.map(|(session_id, index, id, _)| {
                    let writer = writer.clone();
                    tokio::spawn(async move { insert(&writer, session_id, index, id).await.unwrap() })
                });
                let mut got = Vec::new();
                for write in writes {
                    got.push(write.await.unwrap());
                }
                got
            },
            async {
                // Behind the tasks above on this one thread: they all wait by now.
                tokio::task::yield_now().await;
                other.execute_batch("ROLLBACK").unwrap();
            }
        );
        assert_eq!(got, calls.map(|(_, _, _, want)| want));
    }

    #[tokio::test]
    async fn a_write_that_fails_does_not_lose_its_neighbours() {
        for loses in ["ABORT", "ROLLBACK"] {
            let (_folder, writer) = open().await;
            let other = Connection::open(&writer.path).unwrap();
            let refuse = format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.id = 'bad'
                 BEGIN SELECT RAISE({loses}, 'refused'); END"
            );
            other.execute_batch(&refuse).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();

            let ids = ["a", "b", "bad", "c", "d"];
            let mut writes = JoinSet::new();
            for id in ids {
                let writer = writer.clone();
                writes.spawn(async move { (id, insert(&writer, id, 1, id).await) });
            }
            tokio::task::yield_now().await;
            other.execute_batch("ROLLBACK").unwrap();
            for (id, outcome) in writes.join_all().await {
                match outcome {
                    Ok(inserted) => assert_eq!((id != "bad", inserted), (true, Inserted::Stored)),
                    Err(error) => {
                        assert_eq!(id, "bad", "{error}");
                        assert!(error.to_string().contains("refused"), "{error}");
                        assert!(std::error::Error::source(&error).is_some());
                    }
                }
            }
            let count = "SELECT count(*) FROM events";
            let held: i64 = other.query_row(count, [], |row| row.get(0)).unwrap();
            assert_eq!(held, 4, "{loses}");
        }
    }

    #[tokio::test]
    async fn what_waits_when_the_last_handle_goes_is_written() {
        let (folder, writer) = open().await;
        let other = block(&writer);
        {
            let write = insert(&writer, "s", 1, "a");
            tokio::pin!(write);
            tokio::select! {
                biased;
                _ = &mut write => unreachable!("the file is locked"),
                () = tokio::task::yield_now() => {}
            }
        }
        let mut ended = writer.ended.clone();
        drop(writer);
        other.execute_batch("ROLLBACK").unwrap();
        drop(other);
        ended.changed().await.unwrap_err();

        let file = Connection::open(folder.path().join("sessions.db")).unwrap();
        let count = "SELECT count(*) FROM events";
        let held: i64 = file.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(held, 1);
    }
}
