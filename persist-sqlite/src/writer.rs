//! The writing thread: one transaction for all that waits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use sandbox_agent_persist::{Inserted, PersistError, PersistErrorKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{closed, failed};
use crate::write::{Write, apply};
use crate::{SqliteOptions, schema};

/// Calls that may wait in the channel, and so the most that share a transaction.
const WAITING: usize = 256;

type Answer = oneshot::Sender<Result<Inserted, PersistError>>;

enum Job {
    Write(Write, Answer),
    Close,
}

/// The way to the writing thread, which ends when the last one is dropped and all is written.
pub(crate) struct Writer {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    /// Says no word, and ends when the thread has let go of the file.
    ended: watch::Receiver<()>,
    #[cfg(test)]
    pub(crate) commits: Arc<std::sync::atomic::AtomicUsize>,
}

impl Writer {
    /// Opens the file on a thread of its own and returns when its tables are ready.
    pub(crate) async fn open(path: Arc<Path>, options: &SqliteOptions) -> Result<Self, PersistError> {
        let (jobs, queue) = mpsc::channel(WAITING);
        let (opened, ready) = oneshot::channel();
        let (ending, ended) = watch::channel(());
        let patience = options.busy_timeout;
        let file = path.clone();
        #[cfg(test)]
        let commits = Arc::<std::sync::atomic::AtomicUsize>::default();
        #[cfg(test)]
        let counted = commits.clone();
        thread::Builder::new()
            .name("persist-sqlite".to_owned())
            .spawn(move || match schema::open_writer(&file, patience) {
                Ok(connection) => {
                    if opened.send(Ok(())).is_ok() {
                        let thread = WriterThread {
                            path: file,
                            connection,
                            ended: ending,
                            #[cfg(test)]
                            commits: counted,
                        };
                        thread.run(queue);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|error| {
                let message = format!("no thread to write {}: {error}", path.display());
                PersistError::new(PersistErrorKind::Unavailable, message).with_source(error)
            })?;
        ready.await.map_err(|_| closed(&path))??;
        Ok(Self {
            path,
            jobs,
            ended,
            #[cfg(test)]
            commits,
        })
    }

    /// Returns when it is on the disk.
    pub(crate) async fn write(&self, write: Write) -> Result<Inserted, PersistError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Write(write, answer);
        self.jobs.send(job).await.map_err(|_| closed(&self.path))?;
        answered.await.map_err(|_| closed(&self.path))?
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
    ended: watch::Sender<()>,
    #[cfg(test)]
    commits: Arc<std::sync::atomic::AtomicUsize>,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(WAITING);
        while queue.blocking_recv_many(&mut waiting, WAITING) > 0 {
            let mut group = Vec::with_capacity(waiting.len());
            for job in waiting.drain(..) {
                match job {
                    Job::Write(write, answer) => group.push((write, answer)),
                    Job::Close => queue.close(),
                }
            }
            if !group.is_empty() {
                self.write(group);
            }
        }
        // The last connection of all takes the WAL into the file; an error leaves it to the next.
        let _ = self.connection.close();
        drop(self.ended);
    }

    fn write(&mut self, mut group: Vec<(Write, Answer)>) {
        match self.transaction(&group) {
            Ok(outcomes) => {
                for ((_, answer), outcome) in group.into_iter().zip(outcomes) {
                    let outcome = outcome.map_err(|error| self.failed(&Arc::new(error)));
                    // Who no longer waits has dropped its call.
                    let _ = answer.send(outcome);
                }
            }
            // Nothing of the group is stored. One of them may be the cause: let each try alone.
            Err(error) if group.len() > 1 && !is_busy(&error) => {
                for alone in group.drain(..) {
                    self.write(vec![alone]);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for (_, answer) in group {
                    let _ = answer.send(Err(self.failed(&error)));
                }
            }
        }
    }

    fn transaction(
        &mut self,
        group: &[(Write, Answer)],
    ) -> rusqlite::Result<Vec<rusqlite::Result<Inserted>>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut next_indexes = HashMap::new();
        let mut outcomes = Vec::with_capacity(group.len());
        for (write, _) in group {
            match apply(&transaction, write, &mut next_indexes) {
                // SQLite gave the whole transaction up.
                Err(error) if transaction.is_autocommit() => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        transaction.commit()?;
        #[cfg(test)]
        self.commits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(outcomes)
    }

    fn failed(&self, error: &Arc<rusqlite::Error>) -> PersistError {
        failed(&self.path, error, error.clone())
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
    use std::sync::atomic::Ordering;

    use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;

    async fn open() -> (TempDir, Arc<Writer>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db").into();
        let writer = Writer::open(path, &SqliteOptions::new()).await.unwrap();
        (folder, Arc::new(writer))
    }

    fn insert(session_id: &str, index: u64, id: &str) -> Write {
        let payload = RawValue::NULL.to_owned();
        let event = SessionEvent::new(id, index, session_id, 0, "c", Sender::Agent, payload);
        Write::Insert { session_id: session_id.to_owned(), events: vec![event] }
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
            inserts.spawn(async move { writer.write(insert(&session_id, 1, &session_id)).await });
        }
        for inserted in inserts.join_all().await {
            assert_eq!(inserted.unwrap(), Inserted::Stored);
        }
        let commits = writer.commits.load(Ordering::Relaxed);
        assert!((1..=16).contains(&commits), "{commits} commits");
    }

    #[tokio::test]
    async fn each_insert_of_a_group_has_its_own_outcome() {
        let (_folder, writer) = open().await;
        let first = writer.write(insert("s", 1, "first")).await;
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
                    let write = insert(session_id, index, id);
                    tokio::spawn(async move { writer.write(write).await.unwrap() })
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
                writes.spawn(async move { (id, writer.write(insert(id, 1, id)).await) });
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
            let write = writer.write(insert("s", 1, "a"));
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
