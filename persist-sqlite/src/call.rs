//! A call that waits to be written, and its answer.

use std::path::Path;
use std::sync::Arc;

use sandbox_agent_persist::PersistError;
use tokio::sync::oneshot;

use crate::error::failed;
use crate::work::{Failure, Work};

pub(crate) type Answer<T> = oneshot::Receiver<Result<T, PersistError>>;

/// A call of whatever kind.
pub(crate) trait Call: Send {
    /// About how many bytes it writes.
    fn size(&self) -> usize;

    /// Runs it in the transaction; an error only if SQLite gave that up. May be run again in another one.
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()>;

    /// Tells the caller how it ended, or how the transaction failed.
    fn answer(self: Box<Self>, path: &Path, committed: Result<(), Arc<rusqlite::Error>>);
}

/// A call that gives a `T`.
struct CallOf<T, W> {
    size: usize,
    write: W,
    outcome: Option<Result<T, Failure>>,
    answer: oneshot::Sender<Result<T, PersistError>>,
}

/// The call, and its answer to be.
pub(crate) fn call<T, W>(size: usize, write: W) -> (Box<dyn Call>, Answer<T>)
where
    T: Send + 'static,
    W: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (Box::new(CallOf { size, write, outcome: None, answer }), answered)
}

impl<T, W> Call for CallOf<T, W>
where
    T: Send,
    W: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send,
{
    fn size(&self) -> usize {
        self.size
    }

    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()> {
        match (self.write)(work) {
            Err(Failure::Sqlite(error)) if work.connection.is_autocommit() => return Err(error),
            outcome => self.outcome = Some(outcome),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, path: &Path, committed: Result<(), Arc<rusqlite::Error>>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome.map_err(|failure| failure.into_error(path)),
            (Err(error), _) => Err(failed(path, &error, error.clone())),
            // Not run: its caller is told so by the answer that never comes.
            (Ok(()), None) => return,
        };
        // Who no longer waits has dropped its call.
        let _ = self.answer.send(answer);
    }
}
